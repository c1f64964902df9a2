//! Pictures of the pages of a room for the documentation: see `docs/pictures.sh`. Runs only with `LAB_PICTURES`, the folder
//! for the pictures. Each page is also taken in dark mode and on a phone, for a look at them.

use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::browser::Browser;
use crate::desk::Desk;
use crate::participants::{Device, Room};
use crate::support::until;
use crate::trial;

const NAMES: &str = "Ada\nGrace\nMary\nKatherine\nHedy\nRadia\nBarbara\nFrances\nJean\nAnnie\nSophie\nRosalind\n";
/// Seats with a participant.
const SEATS: usize = 10;
/// What is at most added to the height of a window, so that a picture of a long page still fits into a document.
const LONGEST: u32 = 600;

pub(crate) fn trials() -> Vec<Trial> {
    let folder = std::env::var_os("LAB_PICTURES");
    vec![trial("pictures::of_a_room", of_a_room).with_ignored_flag(folder.is_none())]
}

/// A kind of window: suffix of the picture's name, size, and dark mode.
type Kind = (&'static str, u32, u32, bool);

const PAGE: [Kind; 4] =
    [("", 1280, 900, false), ("-dark", 1280, 900, true), ("-phone", 400, 900, false), ("-phone-dark", 400, 900, true)];
const BOARD: [Kind; 3] = [("", 1920, 1080, false), ("-dark", 1920, 1080, true), ("-phone", 400, 900, false)];

async fn of_a_room() {
    let desk = Desk::new();
    let names = desk.write("names.txt", NAMES);
    let room = Room::open_at(desk, "12", &["monday", "--reserve", "1", "--roster", &names]);
    let lab = |args: &[&str]| drop(room.desk.lab(&[&["room"], args].concat()).status(0));
    take("room-join", &BOARD, &room, "/board", None).await;
    take("room-code", &PAGE, &room, "/", None).await;
    let devices: Vec<Device> = (1..=SEATS).map(|seat| room.join(seat)).collect();
    lab(&["drill", "start", "wrong-upstream", "--quiet", "15s", "--limit", "20m"]);
    lab(&["scene", "tiles"]);
    until(|| devices.iter().enumerate().all(|(index, _)| room.seat(index + 1)["phase"] == "broken"));
    play(&devices);
    // The ticket comes a minute after the first failed request.
    tokio::time::sleep(Duration::from_secs(50)).await;
    let ticket = "&quot;Bad gateway&quot;";
    until(|| devices[0].page("/seat").text().contains(ticket));
    take("room-seat", &PAGE, &room, "/seat", Some(1)).await;
    take("room-board", &BOARD, &room, "/board", None).await;
    take("room-desk", &PAGE, &room, "/desk", None).await;
    take("room-look", &PAGE, &room, "/desk/seat/1", None).await;
    take("room-cards", &PAGE, &room, "/desk/cards", None).await;
    lab(&["scene", "outage"]);
    take("room-outage", &BOARD, &room, "/board", None).await;
    lab(&["scene", "seat", "--seat", "3"]);
    take("room-one-seat", &BOARD, &room, "/board", None).await;
    lab(&["drill", "end"]);
    until(|| (1..=SEATS).all(|seat| room.seat(seat)["phase"] == "over"));
    lab(&["reveal"]);
    take("room-debrief", &PAGE, &room, "/seat/debrief", Some(3)).await;
    take("room-over", &PAGE, &room, "/seat", Some(3)).await;
    for scene in ["top", "debrief", "tiles"] {
        lab(&["scene", scene]);
        take(&format!("room-board-{scene}"), &BOARD, &room, "/board", None).await;
    }
}

/// What the participants do: each seat is in another state afterwards.
fn play(devices: &[Device]) {
    let act = |seat: usize, action: &str, fields: &str| {
        let answer = devices[seat - 1].act(action, fields);
        assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    };
    for seat in [1, 2, 3, 4, 5, 7, 9] {
        act(seat, "ack", "");
    }
    act(1, "hint", "");
    devices[0].console("lab request", "502 Bad Gateway");
    devices[0].console("lab status", "gateway");
    devices[0].console("lab history gateway", "GATEWAY_UPSTREAM");
    act(1, "diagnose", "where=app&what=slow");
    act(2, "diagnose", "where=gateway&what=slow");
    devices[1].console("restart gateway", "gateway");
    for seat in [3, 9] {
        act(seat, "diagnose", "where=gateway&what=address+or+path+wrong");
        act(
            seat,
            "update",
            "to=customers&state=identified&affected=everybody&text=We+have+found+the+cause.&confirm=yes",
        );
        devices[seat - 1].console("env unset gateway GATEWAY_UPSTREAM", "gateway");
    }
    act(5, "hint", "");
    act(6, "hand", "up=true");
}

/// Takes a page in windows of several kinds, each as high as its page, within limits. `seat` is a participant's; otherwise, the trainer looks.
async fn take(name: &str, kinds: &[Kind], room: &Room, path: &str, seat: Option<usize>) {
    let folder = PathBuf::from(std::env::var_os("LAB_PICTURES").expect("it is set"));
    for (suffix, width, height, dark) in kinds {
        let browser = open((*width, *height, *dark), room, path, seat).await;
        let needed = browser.run("return document.documentElement.scrollHeight - window.innerHeight").await;
        let needed = needed.as_u64().and_then(|needed| u32::try_from(needed).ok()).unwrap_or_default().min(LONGEST);
        let browser = if needed == 0 {
            browser
        } else {
            browser.close().await;
            open((*width, *height + needed, *dark), room, path, seat).await
        };
        std::fs::write(folder.join(format!("{name}{suffix}.png")), browser.picture().await).expect("a folder");
        browser.close().await;
    }
}

async fn open((width, height, dark): (u32, u32, bool), room: &Room, path: &str, seat: Option<usize>) -> Browser {
    let browser = Browser::open(width, height, dark).await;
    let address = format!("http://{}", room.address);
    match seat {
        Some(seat) => {
            browser.goto(&format!("{address}/join/{}", room.codes[seat - 1])).await;
            browser.click("button").await;
            browser.until("return location.pathname === '/seat'").await;
        }
        None if path.starts_with("/desk") => browser.goto(&room.trainer).await,
        None => {}
    }
    browser.goto(&format!("{address}{path}")).await;
    browser.until("return document.readyState === 'complete'").await;
    browser
}
