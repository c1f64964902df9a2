//! The pages of a room in a browser: a participant, the trainer and the board beside one another, and all pages on a phone.

use fantoccini::key::Key;
use libtest_mimic::Trial;
use serde_json::json;

use crate::browser::Browser;
use crate::participants::Room;
use crate::trial;

/// Width of a small phone in CSS pixels.
const PHONE: u32 = 400;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("room::a_whole_drill_with_board_and_desk_beside_it", a_whole_drill_with_board_and_desk_beside_it),
        trial("room::the_console_needs_no_mouse", the_console_needs_no_mouse),
        trial("room::all_pages_fit_a_phone", all_pages_fit_a_phone),
    ]
}

/// The incident of the library whose ticket arrives at once.
fn scenario(room: &Room) -> String {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/db-frozen.yaml");
    let text = std::fs::read_to_string(library).expect("a scenario of the library");
    room.desk.write("frozen.yaml", &text.replace("\nsolution:", "\ninjects:\n  - { at: 1s }\nsolution:"))
}

fn url(room: &Room, path: &str) -> String {
    format!("http://{}{path}", room.address)
}

/// Joins the first seat as a person does.
async fn join(room: &Room, participant: &Browser) {
    participant.goto(&url(room, "/")).await;
    participant.fill("#code", "nobody-0000").await;
    participant.click("button").await;
    participant.until_shown("[role=alert]", "no seat has this code").await;
    participant.fill("#code", &room.codes[0].to_uppercase().replace('-', " ")).await;
    participant.click("button").await;
    participant.until("return location.pathname === '/seat'").await;
}

async fn a_whole_drill_with_board_and_desk_beside_it() {
    let room = Room::open("2", &[]);
    let participant = Browser::open(1280, 900, false).await;
    let desk = Browser::open(1280, 900, true).await;
    let board = Browser::open(1920, 1080, false).await;
    desk.goto(&room.trainer).await;
    desk.until("return location.pathname === '/desk' && location.search === ''").await;
    board.goto(&url(&room, "/board")).await;
    board.until_shown("main", "Type the code on your card").await;
    board.run("window.isFirstLoad = true").await;

    join(&room, &participant).await;
    participant.click("details.name summary").await;
    participant.fill("#name", "Ada <b>").await;
    participant.click("form[action='/seat/name'] button").await;
    desk.click("button[value=tiles]").await;
    board.until_shown(".tile .label", "Ada <b>").await;
    participant.click(".hand .raise button").await;
    desk.until_shown("#rows tbody tr:first-child", "hand up").await;
    board.until("return document.querySelector('.tile .number').textContent.includes('hand up')").await;
    participant.click(".hand .lower button").await;

    play(&room, &participant, &desk, &board).await;
    reveal(&participant, &desk, &board).await;

    assert_eq!(board.run("return window.isFirstLoad").await, json!(true), "the board was loaded again");
    for page in [&participant, &desk, &board] {
        only_own_requests(page, &url(&room, "/")).await;
    }
    for browser in [participant, desk, board] {
        browser.close().await;
    }
}

/// A drill from its start at the desk until the participant finishes it.
async fn play(room: &Room, participant: &Browser, desk: &Browser, board: &Browser) {
    desk.fill("#scenario", &scenario(room)).await;
    desk.fill("#quiet", "1").await;
    desk.click("form[action='/desk/drill'] button").await;
    participant.until_shown("#messages .ticket", "The list of users is broken").await;
    board.until_shown(".tile .word", "users fail").await;
    participant.click("form[action='/seat/ack'] button").await;
    board.until_shown(".tile .word", "working on it").await;
    participant.choose("#where", "database").await;
    participant.choose("#what", "hangs").await;
    participant.click("form[action='/seat/diagnose'] button").await;
    participant.until_shown("#tries", "right").await;
    participant.choose("#to", "customers").await;
    participant.choose("#state", "identified").await;
    participant.choose("#affected", "everybody").await;
    participant.fill("#text", "The list of users fails for everybody. We are on it.").await;
    participant.click("form[action='/seat/update'] button").await;
    participant.until_shown("form[action='/seat/update'] output", "sent").await;
    let field = participant.run("return document.getElementById('text').value").await;
    assert_eq!(field, json!(""), "the form is empty again");
    desk.until_shown("#rows tbody tr:first-child", "broken").await;
    desk.until_shown("#rows tbody tr:first-child", "right (1 try)").await;

    // Neither the incident nor points before the reveal.
    desk.click("button[value=top]").await;
    desk.until_shown("form[action='/desk/scene'] output", "needs the reveal first").await;
    for page in [participant, desk, board] {
        let text = page.text().await;
        assert!(!text.contains("frozen") && !text.contains("Unfreeze"), "{text}");
    }
    assert!(!board.text().await.contains("oints"));

    participant.fill("#line", "unpause db").await;
    participant.click("form[action='/seat/console'] button").await;
    participant.until_shown("#console .command:last-child", "unpaused").await;
    board.until_shown(".tile .word", "users served").await;
    desk.until_shown("#rows tbody tr:first-child", "resolved").await;
    participant.click("form[action='/seat/finish'] button").await;
    participant.confirm("Finish your drill?").await;
    participant.until_shown("#notices", "Your drill is over").await;
    board.until_shown(".tile .word", "finished").await;
}

/// The end of the room's drill, and what everybody sees afterwards.
async fn reveal(participant: &Browser, desk: &Browser, board: &Browser) {
    desk.click("form[action='/desk/end'] button").await;
    desk.confirm("End the drill of every seat?").await;
    desk.until_shown("#summary", "drill over, not revealed").await;
    desk.click("form[action='/desk/reveal'] button").await;
    desk.confirm("Show the incident").await;
    board.until_shown(".tile .word", "solved").await;
    desk.click("button[value=top]").await;
    board.until_shown(".places li:first-child", "Ada <b>").await;
    desk.click("button[value=debrief]").await;
    board.until_shown(".debrief h1", "Database frozen").await;
    participant.until_shown("#notices a", "Open your debrief").await;
    participant.click("#notices a").await;
    participant.until("return location.pathname === '/seat/debrief'").await;
    let debrief = participant.text().await;
    for word in ["Database frozen", "finished", "Where you looked", "db paused > running"] {
        assert!(debrief.contains(word), "{word}: {debrief}");
    }
}

/// The page asked for nothing outside of the room.
async fn only_own_requests(page: &Browser, address: &str) {
    let asked = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)").await;
    let asked = asked.as_array().expect("a list");
    assert!(!asked.is_empty());
    for name in asked {
        assert!(name.as_str().expect("an address").starts_with(address), "{name}");
    }
}

async fn the_console_needs_no_mouse() {
    let room = Room::open("1", &[]);
    let participant = Browser::open(1280, 900, true).await;
    join(&room, &participant).await;
    participant.until("return document.getElementById('console').textContent.includes('Nothing was run yet')").await;
    participant.press(Key::Tab).await;
    participant.until("return document.activeElement.textContent === 'Skip to the console'").await;
    participant.press(Key::Enter).await;
    participant.until("return document.activeElement.id === 'line'").await;
    participant.type_text("request /health").await;
    participant.press(Key::Enter).await;
    participant.until_shown("#console .command:last-child", "200 OK").await;
    // The field is empty, has the focus, and remembers the line.
    participant.until("return document.activeElement.id === 'line' && document.activeElement.value === ''").await;
    participant.press(Key::Up).await;
    participant.until("return document.activeElement.value === 'request /health'").await;
    participant.press(Key::Down).await;
    participant.type_text("status; ls").await;
    participant.press(Key::Enter).await;
    participant.until_shown("form.console output", "not a shell").await;
    // A screen reader hears the result.
    let heard = participant.run("return document.getElementById('heard').textContent").await;
    assert!(heard.as_str().is_some_and(|heard| heard.contains("request /health")), "{heard}");
    participant.close().await;
}

async fn all_pages_fit_a_phone() {
    let room = Room::open("1", &[]);
    let phone = Browser::open(PHONE, 800, true).await;
    phone.goto(&url(&room, "/")).await;
    fits(&phone, "join").await;
    join(&room, &phone).await;
    fits(&phone, "seat").await;
    phone.goto(&room.trainer).await;
    fits(&phone, "desk").await;
    room.desk.lab(&["room", "drill", "start", &scenario(&room), "--quiet", "1s"]).status(0);
    phone.goto(&url(&room, "/seat")).await;
    phone.fill("#line", "metrics").await;
    phone.click("form[action='/seat/console'] button").await;
    phone.until_shown("#console .command:last-child .output", "app_").await;
    phone.until_shown("#messages .ticket", "The list of users is broken").await;
    fits(&phone, "seat in a drill").await;
    for scene in [&["tiles"][..], &["outage"], &["seat", "--seat", "1"]] {
        room.desk.lab(&[&["room", "scene"], scene].concat()).status(0);
        phone.goto(&url(&room, "/board")).await;
        fits(&phone, scene[0]).await;
    }
    for page in ["/desk", "/desk/seat/1", "/desk/cards"] {
        phone.goto(&url(&room, page)).await;
        fits(&phone, page).await;
    }
    room.desk.lab(&["room", "drill", "end"]).status(0);
    room.desk.lab(&["room", "reveal"]).status(0);
    phone.goto(&url(&room, "/seat")).await;
    phone.until_shown("#notices a", "Open your debrief").await;
    phone.goto(&url(&room, "/seat/debrief")).await;
    fits(&phone, "debrief").await;
    phone.close().await;
}

/// The page is not wider than the phone, and each of its controls and pictures has a name.
async fn fits(phone: &Browser, what: &str) {
    let width = phone.run("return document.documentElement.scrollWidth").await;
    assert!(width.as_u64().is_some_and(|width| width <= u64::from(PHONE)), "{what}: {width} px");
    let nameless = "return [...document.querySelectorAll('input:not([type=hidden]),select,button,summary,svg:not([aria-hidden])')] \
                    .filter((node) => !node.labels?.length && !node.textContent.trim() && !node.getAttribute('aria-label')) \
                    .map((node) => node.outerHTML)";
    assert_eq!(phone.run(nameless).await, json!([]), "{what}");
}
