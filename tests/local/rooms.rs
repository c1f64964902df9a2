//! `lab room`: seats with labs, and what survives which process. `room_trainer` has the trainer's commands.

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, host, kill};
use crate::participants::{Device, Events, Room};
use crate::support::{Response, until};

#[test]
fn a_drill_of_a_room_goes_on_after_its_server_was_killed() {
    let room = Room::open("2", &["--reserve", "1"]);
    let (one, two) = (room.join(1), room.join(2));
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0).says("the drill has begun");
    room.until_phase(1, "broken");
    room.until_phase(2, "broken");
    assert_eq!(room.seat(3)["drill"], Value::Null, "nobody has the seat");
    assert_eq!(one.act("ack", "").status, 200);
    let before = room.seat(1);
    room.kill_server();
    room.desk.lab(&["room", "say", "hello"]).status(3).complains("lab room resume");
    std::thread::sleep(std::time::Duration::from_secs(6));
    room.desk.lab(&["room", "resume"]).status(0).says("goes on");
    // The same address, seats and cookies.
    until(|| room.seat(1)["state"] == "ready");
    for device in [&one, &two] {
        assert_eq!(device.page("/seat").status, 200);
    }
    let after = room.seat(1);
    assert_eq!(after["drill"], before["drill"]);
    let clock = |seat: &Value| seat["clock"].as_u64().expect("a number");
    assert!(clock(&after) < clock(&before) + 5, "{before} {after}");
    // A lab of a seat is a lab like any other.
    until(|| room.lab(1, &["drill", "status"]).status(0).stdout.contains("acknowledged"));
    one.console("lab unpause db", "unpaused");
    room.until_phase(1, "resolved");
    room.until_phase(2, "broken");
    room.desk.lab(&["room", "drill", "end"]).status(0);
    room.until_phase(2, "over");
    room.desk.lab(&["room", "reveal"]).status(0);
    let csv = room.desk.lab(&["room", "export"]).status(0).stdout;
    assert!(csv.lines().count() >= 3, "{csv}");
    room.desk.lab(&["room", "down"]).status(0).says("3 labs removed");
    room.desk.assert_clean();
    assert!(!room.folder().exists());
}

#[test]
fn many_seats_play_at_once_and_lose_nothing_by_a_kill() {
    let seats = 8;
    let room = Room::open(&seats.to_string(), &[]);
    let devices: Vec<Device> = (1..=seats).map(|seat| room.join(seat)).collect();
    play(&room, &devices, || {});
    play(&room, &devices, || {
        room.kill_server();
        room.desk.lab(&["room", "resume"]).status(0);
        // The labs are looked at before their consoles can be used.
        until(|| room.status()["seats"].as_array().expect("a list").iter().all(|seat| seat["state"] == "ready"));
    });
    let rows = room.export(["seat", "drill", "ending", "detection", "diagnosis", "mitigation", "resolution", "points"]);
    assert_eq!(rows.len(), 2 * seats);
    for drills in rows.chunks(2) {
        let [without, with] = drills else { panic!("{drills:?}") };
        assert_eq!((without[1].as_str(), with[1].as_str()), ("1", "2"));
        assert_eq!(without[2..], with[2..], "seat {}", without[0]);
    }
    // What was done before the interruption counts as well: a hint and a wrong try.
    let of = |seat: usize| &rows[2 * seat - 1];
    assert_eq!(of(2)[3..7], ["10", "15", "25", "30"]);
    assert_eq!(of(3)[3..7], ["10", "9", "25", "30"]);
    let points = |seat: usize| of(seat)[7].parse::<f64>().expect("a number");
    assert!((points(2) - points(1) - 4.5).abs() < 0.05, "{rows:?}");
}

/// A whole drill of all seats at once, with an interruption in the middle. Some have done something before it, the others
/// have not.
fn play(room: &Room, devices: &[Device], interrupt: impl FnOnce()) {
    let done = |answer: Response| assert_eq!(answer.status, 200, "{}", answer.text());
    let all_at_once = |participant: &(dyn Fn(usize, &Device) + Sync)| {
        std::thread::scope(|scope| {
            for (index, device) in devices.iter().enumerate() {
                scope.spawn(move || participant(index + 1, device));
            }
        });
    };
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    until(|| room.all_are("broken"));
    all_at_once(&|seat, device| match seat % 4 {
        0 => {}
        1 => {
            done(device.act("ack", ""));
            done(device.act("hint", ""));
        }
        2 => done(device.act("ack", "")),
        _ => done(device.act("diagnose", "where=gateway&what=slow")),
    });
    interrupt();
    all_at_once(&|seat, device| {
        if matches!(seat % 4, 0 | 3) {
            done(device.act("ack", ""));
        }
        done(device.act("diagnose", "where=database&what=hangs"));
        device.console("unpause db", "unpaused");
    });
    until(|| room.all_are("resolved"));
    room.desk.lab(&["room", "drill", "end"]).status(0);
    until(|| room.all_are("over"));
}

#[test]
fn a_seat_whose_host_is_killed_comes_back_with_the_fault() {
    let room = Room::open("1", &[]);
    let device = room.join(1);
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    room.until_phase(1, "broken");
    let before: Value = room.lab(1, &["status", "--json"]).json();
    kill(host(&before), Signal::KILL);
    until(|| {
        let status = room.lab(1, &["status", "--json"]);
        let now: Option<Value> = serde_json::from_str(&status.stdout).ok();
        let db = |now: &Value| now["services"][2]["state"].clone();
        now.is_some_and(|now| now["services"][1]["pid"] != before["services"][1]["pid"] && db(&now) == "paused")
    });
    device.console("lab unpause db", "unpaused");
    room.until_phase(1, "resolved");
}

#[test]
fn a_room_comes_back_after_everything_was_killed_at_once() {
    let room = Room::open("2", &[]);
    let device = room.join(1);
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    room.until_phase(1, "broken");
    let before = room.seat(1);
    // As after a reboot.
    until(|| {
        let processes = room.desk.processes();
        for pid in &processes {
            kill(*pid, Signal::KILL);
        }
        processes.is_empty()
    });
    room.desk.lab(&["room", "status"]).status(0).says("its server is not running");
    room.desk.lab(&["room", "resume"]).status(0);
    until(|| room.status()["seats"].as_array().expect("a list").iter().all(|seat| seat["state"] == "ready"));
    assert_eq!(room.seat(1)["drill"], before["drill"]);
    assert_eq!(room.lab(1, &["status", "--json"]).json()["services"][2]["state"], "paused");
    assert_eq!(room.lab(2, &["status", "--json"]).json()["services"][2]["state"], "running");
    device.console("lab unpause db", "unpaused");
    room.until_phase(1, "resolved");
}

#[test]
fn a_pause_stops_the_clocks() {
    let room = Room::open("1", &[]);
    let device = room.join(1);
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    room.until_phase(1, "broken");
    room.desk.lab(&["room", "pause"]).status(0).says("every clock stands still");
    let log = room.desk.state().join("drills").join(room.seat(1)["drill"].as_str().expect("an id")).join("log.ndjson");
    let lines = || std::fs::read_to_string(&log).expect("a log").lines().count();
    // The last entry of the referee is that of the pause.
    let mut last = lines();
    until(|| {
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let before = std::mem::replace(&mut last, lines());
        before == last
    });
    let before = room.seat(1)["clock"].clone();
    let refused = device.act("console", "line=lab+unpause+db");
    assert_ne!(refused.status, 200, "{}", refused.text());
    assert_eq!(room.seat(1)["clock"], before);
    room.desk.lab(&["room", "resume"]).status(0).says("the clocks go on");
    until(|| room.seat(1)["clock"] != before);
}

#[test]
fn a_seat_can_be_reset_and_begins_again() {
    let room = Room::open("1", &[]);
    let _device = room.join(1);
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    room.until_phase(1, "broken");
    let first = room.seat(1)["drill"].clone();
    room.desk.lab(&["room", "reset", "1"]).status(0).says("reset");
    until(|| room.seat(1)["drill"] != first && room.seat(1)["phase"] == "broken");
    room.desk.lab(&["room", "reset", "9"]).status(3).complains("9");
}

#[test]
fn a_room_that_cannot_open_is_refused_and_leaves_nothing() {
    let desk = Desk::new();
    let up = |args: &[&str]| desk.lab(&[&["room", "up"], args].concat());
    up(&["--seats", "0", "--port", "0"]).status(2).complains("at least 1");
    up(&["--seats", "301", "--port", "0"]).status(2).complains("at most 300");
    up(&["--seats", "3", "Monday"]).status(2).complains("Monday");
    let names = desk.write("names.txt", "Ada\nGrace\nAda\n");
    up(&["--seats", "3", "--roster", &names]).status(2).complains("in line 1 and in line 3");
    let names = desk.write("names.txt", "Ada\nGrace\nMary\n");
    up(&["--seats", "2", "--roster", &names]).status(2).complains("3 names for 2 seats");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it has one").port().to_string();
    up(&["--seats", "1", "--port", &port]).status(3).complains("is in use").complains("--port 0");
    up(&["--seats", "1", "--bind", "192.0.2.1", "--port", "0"]).status(3).complains("cannot listen");
    desk.lab(&["room", "status"]).status(3).complains("there is no room");
    desk.lab(&["up", "--name", "monday-01", "--port", "0"]).status(0);
    up(&["monday", "--seats", "1", "--port", "0"]).status(3).complains("lab monday-01 exists already");
    desk.lab(&["down", "--name", "monday-01"]).status(0);
    assert!(!desk.state().join("rooms/monday").exists());
    desk.assert_clean();
}

#[test]
fn rooms_are_listed_and_taken_down_with_all_labs() {
    let desk = Desk::new();
    let names = desk.write("names.txt", "Ada\nGrace\n");
    desk.lab(&["room", "up", "monday", "--seats", "2", "--port", "0", "--roster", &names]).status(0).says("is open");
    desk.lab(&["room", "up", "monday", "--seats", "2", "--port", "0"]).status(3).complains("exists already");
    desk.lab(&["room", "up", "tuesday", "--seats", "1", "--port", "0"]).status(0);
    desk.lab(&["room", "status"]).status(2).complains("several rooms: monday, tuesday");
    assert_eq!(desk.lab(&["complete", "--", "room", "down", ""]).status(0).stdout, "monday\ntuesday\n");
    desk.lab(&["room", "status", "monday"]).status(0).says("Ada").says("Grace").says("desk?token=");
    desk.lab(&["status", "--all"]).status(0).says("room monday").says("monday-01").says("room tuesday");
    // Everything is removed without the server, and with a damaged file.
    std::fs::write(desk.state().join("rooms/tuesday/room.json"), "{").expect("a writable file");
    desk.lab(&["room", "status", "tuesday"]).status(3).complains("is damaged").complains("lab room down tuesday");
    desk.lab(&["room", "down", "tuesday"]).status(0).says("1 lab removed");
    desk.lab(&["down", "--all"]).status(0).says("room monday is closed");
    desk.assert_clean();
    assert!(std::fs::read_dir(desk.state().join("rooms")).is_ok_and(|mut rooms| rooms.next().is_none()));
}

#[test]
fn open_pages_show_that_a_room_is_taken_down() {
    let room = Room::open("1", &[]);
    let mut seat = room.join(1).events();
    let mut board = Events::open(room.address, "/board/events", "");
    room.desk.lab(&["room", "down"]).status(0).says("the room is closed, and 1 lab removed");
    seat.until("This room is closed");
    seat.until("event: closed");
    board.until(">closed<");
    room.desk.assert_clean();
}

#[test]
fn a_line_of_the_console_is_one_command_against_the_own_lab() {
    let room = Room::open("2", &[]);
    let one = room.join(1);
    one.console("lab env set app APP_DB_POOL=7", "app redeployed");
    assert_eq!(room.lab(1, &["env", "app", "--json"]).json()["env"]["APP_DB_POOL"], "7");
    assert_ne!(room.lab(2, &["env", "app", "--json"]).json()["env"]["APP_DB_POOL"], "7");
    // Hints do not name the lab, because the console has no other.
    one.console("drill status", "no drill is in progress");
    assert!(!one.page("/seat").text().contains("--name"));
    one.console("traffic --rate 50 -n 10", "10 requests in");
    // Addresses of this machine lead nowhere on the participant's.
    one.console("status", "· embedded");
    one.console("status --json", "&quot;services&quot;");
    let page = one.page("/seat").text();
    assert!(page.contains("GET /api/users") && !page.contains("127.0.0.1") && !page.contains("graphs"), "{page}");
    one.console("help", "rollback");
    for refused in ["status --name room-02", "room down", "traffic --rate 500", "logs -f", "scenario list", "down"] {
        let send = || one.act("console", &format!("line={}", refused.replace(' ', "+")));
        let mut answer = send();
        // A seat may send five lines per second.
        until(|| {
            answer = if answer.status == 429 { send() } else { answer.clone() };
            answer.status != 429
        });
        assert_eq!(answer.status, 400, "{refused}: {}", answer.text());
    }
}
