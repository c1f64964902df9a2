//! The trainer's commands in a room with a drill, and what participants and board show of them.

use crate::participants::{Events, Room};
use crate::support::until;

#[test]
fn messages_reach_all_seats_or_one() {
    let room = Room::open("2", &[]);
    let (one, two) = (room.join(1), room.join(2));
    let mut pages = [one.events(), two.events()];
    room.desk.lab(&["room", "say", "Welcome to <all>"]).status(0).says("sent");
    for page in &mut pages {
        page.until("Welcome to &lt;all&gt;");
    }
    room.desk.lab(&["room", "say", "--seat", "1", "Only for you"]).status(0);
    room.desk.lab(&["room", "say", "For both again"]).status(0);
    pages[0].until("Only for you");
    let between = pages[1].until("For both again");
    assert!(!between.contains("Only for you") && !two.page("/seat").text().contains("Only for you"));
    room.desk.lab(&["room", "say", "--seat", "3", "Hello"]).status(3).complains("there is no seat 3");
    room.desk.lab(&["room", "say", " "]).status(3).complains("the message is empty");
    room.desk.lab(&["room", "inject", "--from", " ", "Hello"]).status(3).complains("the sender is empty");
    room.desk.lab(&["room", "inject", "--from", "Ana", "Orders fail"]).status(3).complains("say it instead");
    room.desk.lab(&["room", "extend", "1"]).status(3).complains("no drill is in progress");

    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    until(|| room.all_are("broken"));
    room.desk.lab(&["room", "inject", "--from", "Ana, support", "Orders fail"]).status(0).says("sent to 2 seats");
    for page in &mut pages {
        page.until("Ana, support");
        page.until("Orders fail");
    }
    room.desk.lab(&["room", "inject", "--seat", "2", "--from", "Bo", "Mine too"]).status(0).says("sent to 1 seat");
    pages[1].until("Mine too");
    assert!(!one.page("/seat").text().contains("Mine too"));
    room.desk.lab(&["room", "extend", "1"]).status(3).complains("no time limit");
    // A person of the story writes to the drill, so its debrief has the message.
    room.desk.lab(&["room", "drill", "end"]).status(0);
    until(|| room.all_are("over"));
    room.desk.lab(&["room", "reveal"]).status(0);
    assert!(one.page("/seat/debrief").text().contains("Orders fail"));
    room.desk.lab(&["room", "inject", "--from", "Ana", "Thanks"]).status(3).complains("say it instead");
}

#[test]
fn a_seat_gets_more_time_and_the_others_end_at_the_limit() {
    let room = Room::open("2", &[]);
    let (one, _two) = (room.join(1), room.join(2));
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s", "--limit", "15s"]).status(0);
    until(|| room.seat(1)["drill"].is_string() && room.seat(2)["drill"].is_string());
    room.desk.lab(&["room", "extend", "1", "10m"]).status(0).says("seat 1 has 10m more");
    room.desk.lab(&["room", "extend", "1", "3h"]).status(2).complains("at most 2h");
    room.desk.lab(&["room", "extend", "7"]).status(3).complains("there is no seat 7");
    room.until_phase(2, "over");
    room.until_phase(1, "broken");
    assert!(one.page("/seat").text().contains(" left"));
    room.desk.lab(&["room", "drill", "end"]).status(0);
    until(|| room.all_are("over"));
    let endings = room.export(["seat", "ending"]);
    assert_eq!(endings, [["1", "ended by the trainer"], ["2", "time limit"]]);
}

#[test]
fn the_board_shows_the_chosen_scene_and_stands_still_while_it_is_frozen() {
    let room = Room::open("2", &[]);
    let one = room.join(1);
    let scene = |args: &[&str]| room.desk.lab(&[&["room", "scene"], args].concat());
    assert!(room.board().contains("Type the code on your card"));
    scene(&["tiles"]).status(0).says("the board shows tiles");
    assert!(room.board().contains("Seat 1"));
    scene(&["outage"]).status(0);
    assert!(room.board().contains("No drill has begun"));
    scene(&["seat", "--seat", "2"]).status(0);
    assert!(room.board().contains("Callers start with the drill"));
    scene(&["seat", "--seat", "9"]).status(3).complains("there is no seat 9");
    scene(&["seat"]).status(2).complains("--seat");
    scene(&["tiles", "--seat", "1"]).status(2).complains("--seat belongs to the scene `seat`");
    scene(&["cinema"]).status(2).complains("cinema");
    for hidden in ["top", "debrief"] {
        scene(&[hidden]).status(3).complains("needs the reveal first");
    }

    scene(&["tiles"]).status(0);
    room.desk.lab(&["room", "freeze"]).status(0).says("the board is frozen");
    assert_eq!(one.act("name", "name=Ada").status, 200);
    scene(&["seat", "--seat", "1"]).status(0);
    assert!(!room.board().contains("Ada"), "another scene of the same time");
    scene(&["tiles"]).status(0);
    assert!(!room.board().contains("Ada"));
    room.desk.lab(&["room", "freeze", "--off"]).status(0).says("the board goes on");
    assert!(room.board().contains("Ada"));
}

#[test]
fn incident_points_and_debriefs_come_with_the_reveal() {
    let room = Room::open("1", &[]);
    let one = room.join(1);
    let reveal = || room.desk.lab(&["room", "reveal"]);
    reveal().status(3).complains("there was no drill yet");
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    room.until_phase(1, "broken");
    reveal().status(3).complains("lab room drill end");
    assert_eq!(one.act("ack", "").status, 200);
    room.desk.lab(&["room", "drill", "end"]).status(0);
    room.until_phase(1, "over");
    let hidden = |text: &str| !text.contains("frozen") && !text.contains("Unfreeze");
    let debrief = one.page("/seat/debrief");
    assert_eq!(debrief.status, 409, "{}", debrief.text());
    for page in [one.page("/seat").text(), room.board(), debrief.text()] {
        assert!(hidden(&page), "{page}");
    }
    reveal().status(0).says("are shown");
    let debrief = one.page("/seat/debrief");
    assert!(debrief.status == 200 && debrief.text().contains("Database frozen"), "{}", debrief.text());
    for (scene, text) in [("top", "The best"), ("debrief", "Database frozen")] {
        room.desk.lab(&["room", "scene", scene]).status(0);
        assert!(room.board().contains(text), "{scene}");
    }
}

#[test]
fn the_board_follows_what_happens_in_its_order() {
    let room = Room::open("2", &[]);
    let one = room.join(1);
    let mut board = Events::open(room.address, "/board/events", "");
    room.desk.lab(&["room", "scene", "tiles"]).status(0);
    board.until("Seat 1");
    for name in ["Ada", "Grace", "Mary"] {
        assert_eq!(one.act("name", &format!("name={name}")).status, 200);
        board.until(name);
    }
    assert_eq!(one.act("hand", "up=true").status, 200);
    board.until("hand up");
    let desk = room.open_desk().page("/desk");
    assert!(desk.status == 200 && desk.text().contains("1 Mary") && desk.text().contains("hand up"), "{}", desk.text());
    room.desk.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s"]).status(0);
    let before = board.until("users fail");
    assert!(before.contains("hand up"), "the hand is up until the participant lowers it");
    assert_eq!(one.act("ack", "").status, 200);
    board.until("working on it");
    one.console("unpause db", "unpaused");
    board.until("users served");
    room.desk.lab(&["room", "drill", "end"]).status(0);
    board.until("finished");
    // The hand goes down with the drill.
    until(|| !room.board().contains("hand up"));
}
