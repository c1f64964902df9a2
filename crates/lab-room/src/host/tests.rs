//! Tests of a room's host with labs in memory.

use std::time::Duration;

use lab_core::diagnosis::{Cause, Finding, Location};
use lab_drill::event::{Affected, Audience, ClaimedState, Ending};
use lab_drill::fold::Answer;
use lab_drill::score::Score;

use super::*;
use crate::event::Scene;
use crate::fold::{LabState, Seat};
use crate::testing::TestRoom;

const RIGHT: Finding = Finding { location: Location::Gateway, cause: Cause::AddressWrong };

fn request() -> DrillRequest {
    let scenarios = vec!["wrong-upstream".to_owned()];
    let selection = crate::backend::Selection { scenarios, ..Default::default() };
    DrillRequest { selection, ..DrillRequest::default() }
}

fn form(text: &str) -> UpdateForm {
    UpdateForm {
        to: Audience::Customers,
        state: ClaimedState::Investigating,
        affected: Affected::Some,
        since: Some(1000),
        next: Some(600),
        text: text.to_owned(),
        confirmed: false,
    }
}

impl TestRoom {
    async fn ready(seats: u16) -> Self {
        let room = Self::new(seats);
        room.until_up().await;
        room
    }

    /// A room with a drill in progress at the seats from 1 to `joined`, with the fault injected.
    async fn broken(seats: u16, joined: u16) -> Self {
        let room = Self::ready(seats).await;
        for seat in 1..=joined {
            room.join(seat).await;
        }
        room.host.start_drill(request()).await.unwrap();
        room.until("the fault is there", |state| {
            let drills = state.room.seats.values().filter(|seat| seat.number <= joined);
            drills.map(|seat| state.drill(seat)).all(|drill| drill.is_some_and(|drill| drill.impact.is_some()))
        })
        .await;
        room
    }

    fn seat<T>(&self, seat: SeatNumber, view: impl FnOnce(&Seat) -> T) -> T {
        self.host.with_state(|state| view(&state.room.seats[&seat]))
    }

    fn drill<T>(&self, seat: SeatNumber, view: impl FnOnce(&lab_drill::fold::Drill) -> T) -> T {
        self.host.with_state(|state| view(state.drill(&state.room.seats[&seat]).unwrap()))
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    match result.unwrap_err() {
        Refusal::Conflict(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_runs_from_join_to_debrief() {
    let room = TestRoom::broken(2, 1).await;
    let host = &room.host;
    assert_eq!(room.seat(2, |seat| seat.drills.len()), 0, "seat 2 is free");
    host.acknowledge(1).await.unwrap();
    assert_eq!(host.diagnose(1, vec![RIGHT]).await.unwrap(), None, "the ticket has not arrived");
    host.open_hint(1).await.unwrap();
    let refused = host.send_update(1, form("Fixed soon with key-of-monday-01.")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Unconfirmed(text) if text.contains("secret") && text.contains("soon")));
    host.send_update(1, UpdateForm { confirmed: true, ..form("Fixed soon with key-of-monday-01.") }).await.unwrap();
    room.drill(1, |drill| {
        assert_eq!((drill.acknowledgements.len(), drill.hints.len(), drill.tries[0].answer), (1, 1, Answer::Right));
        let update = &drill.updates[0].update;
        assert_eq!((update.text.as_str(), update.disclosed, update.next), ("Fixed soon with ***.", 1, Some(600)));
        assert!(update.since.is_some_and(|since| since < drill.clock));
    });
    // A latecomer begins late.
    room.join(2).await;
    room.until("the drill of seat 2 begins", |state| state.drill(&state.room.seats[&2]).is_some()).await;
    assert_eq!(host.inject(None, "the manager", "What is going on?").await, Ok(2));
    assert_eq!(host.inject(Some(2), "the manager", "And you?").await, Ok(1));
    assert_eq!([room.drill(1, |drill| drill.notes.len()), room.drill(2, |drill| drill.notes.len())], [1, 2]);
    let commitments = [1, 2].map(|seat| room.drill(seat, |drill| drill.started.id.clone()));
    assert_ne!(commitments[0][10..], commitments[1][10..], "each seat has its own secret");

    host.finish(1).await.unwrap();
    assert!(room.drill(1, |drill| drill.ended.is_some()), "it is over as soon as it is acknowledged");
    assert!(conflict(host.acknowledge(1).await).contains("over"));
    room.until("the lab of seat 1 is restored", |state| state.room.seats[&1].drill().is_none()).await;
    assert_eq!(room.seat(1, |seat| seat.drills[0].ended.unwrap().1), Ending::Finished);
    assert!(conflict(host.reveal().await).contains("still in progress"));
    assert!(conflict(host.debrief(1).await).contains("after the drill"));
    assert!(conflict(host.show(Scene::Top).await).contains("reveal"));
    host.end_drill().await.unwrap();
    room.until("every drill is over", |state| state.room.seats.values().all(|seat| seat.drill().is_none())).await;
    assert_eq!(room.seat(2, |seat| seat.drills[0].ended.unwrap().1), Ending::EndedByTrainer);
    host.reveal().await.unwrap();
    assert_eq!(host.debrief(1).await.unwrap().incident.scenario, "wrong-upstream");
    assert!(conflict(host.debrief(3).await).contains("no drill"));
    assert_eq!([1, 2].map(|seat| room.backend.count(&format!("end_drill monday-0{seat}"))), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_stands_still_in_a_pause_and_ends_a_drill_at_its_limit() {
    let room = TestRoom::ready(1).await;
    room.join(1).await;
    assert!(conflict(room.host.extend(Some(1), Duration::from_mins(1)).await).contains("no drill"));
    room.host.start_drill(DrillRequest { limit: Some(Duration::from_secs(30)), ..request() }).await.unwrap();
    assert!(conflict(room.host.start_drill(request()).await).contains("end it first"));
    room.until("the drill begins", |state| state.drill(&state.room.seats[&1]).is_some()).await;
    room.host.pause(true).await.unwrap();
    room.host.pause(true).await.unwrap();
    room.until("the clock stands still", |state| state.drill(&state.room.seats[&1]).unwrap().is_unknown()).await;
    let clock = room.drill(1, |drill| drill.clock);
    for refused in [room.host.acknowledge(1).await, room.host.run_line(1, "status").await.map(drop)] {
        assert!(conflict(refused).contains("paused"));
    }
    room.host.raise_hand(1, true).await.unwrap();
    assert_eq!(room.drill(1, |drill| drill.clock), clock);
    room.host.extend(Some(1), Duration::from_secs(10)).await.unwrap();
    room.host.pause(false).await.unwrap();
    room.until("the limit is reached", |state| state.room.seats[&1].drill().is_none()).await;
    let (ended, at) = room.drill(1, |drill| (drill.ended.unwrap().by, drill.ended.unwrap().at));
    assert_eq!(ended, Ending::TimeLimit);
    assert!(at >= 40_000, "{at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gives_another_drill_with_other_values() {
    let room = TestRoom::broken(1, 1).await;
    let first = room.seat(1, |seat| seat.drills[0].id.clone());
    room.host.reset(1).await.unwrap();
    room.until("another drill begins", |state| {
        state.room.seats[&1].drill().is_some_and(|drill| drill.id != first) && !state.room.seats[&1].resetting
    })
    .await;
    let ended = room.seat(1, |seat| (seat.drills[0].ended.unwrap().1, seat.drills.len(), seat.resets));
    assert_eq!((ended, room.backend.count("reset monday-01")), ((Ending::GaveUp, 2, 1), 1));
    assert_eq!(room.host.reset(9).await, Err(Refusal::NoSeat(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_does_not_come_up_is_shown_and_can_be_reset() {
    let room = TestRoom::ready(1).await;
    room.join(1).await;
    room.backend.failures.lock().unwrap().insert("start_drill monday-01".to_owned(), 3);
    room.host.start_drill(request()).await.unwrap();
    room.until("the lab counts as failed", |state| matches!(state.room.seats[&1].lab, LabState::Failed(_))).await;
    let LabState::Failed(reason) = room.seat(1, |seat| seat.lab.clone()) else { unreachable!() };
    assert!(reason.contains("start_drill monday-01 failed"), "{reason}");
    assert!(conflict(room.host.run_line(1, "status").await).contains("not up"));
    room.host.reset(1).await.unwrap();
    room.until("the drill begins after all", |state| state.room.seats[&1].drill().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_processes_are_gone_is_brought_up_again() {
    let room = TestRoom::broken(1, 1).await;
    assert_eq!(room.backend.count("bring_up monday-01"), 1);
    room.backend.gone.lock().unwrap().insert("monday-01".to_owned());
    room.until("the referee sees nothing", |state| state.drill(&state.room.seats[&1]).unwrap().is_unknown()).await;
    room.until("the referee sees it again", |state| !state.drill(&state.room.seats[&1]).unwrap().is_unknown()).await;
    assert_eq!(room.backend.count("bring_up monday-01"), 2);
    assert_eq!(room.seat(1, |seat| seat.drills.len()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_runs_one_line_at_a_time_and_its_output_is_cleaned() {
    let room = TestRoom::ready(2).await;
    let host = &room.host;
    let refused = host.run_line(1, "rm -rf /").await.map(drop);
    assert_eq!(refused, Err(Refusal::Invalid("\"rm -rf /\" is not available in a room".to_owned())));
    let waiting = host.run_line(1, "wait").await.unwrap();
    assert!(conflict(host.run_line(1, "status").await).contains("still running"));
    host.run_line(2, "status").await.unwrap().wait().await;
    let output = room.seat(2, |seat| seat.console[0].output.clone());
    assert_eq!(output, Some((Some(0), " [31mmonday-02: status\n".to_owned())));
    room.backend.waiting.notify_one();
    waiting.wait().await;
    // A seat that prints a lot gets less of it.
    for _ in 0..20 {
        host.run_line(2, "logs").await.unwrap().wait().await;
        tokio::time::sleep(Duration::from_millis(220)).await;
    }
    let lengths = room.seat(2, |seat| {
        let texts = seat.console.iter().filter_map(|command| command.output.as_ref());
        texts.map(|(_, text)| text.len()).collect::<Vec<_>>()
    });
    assert!(lengths.contains(&(100 << 10)) && lengths.last().is_some_and(|last| *last < 3 << 10), "{lengths:?}");
    let mut refused = 0;
    for _ in 0..10 {
        match host.run_line(2, "status").await {
            Ok(running) => running.wait().await,
            Err(Refusal::TooMany(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0, "the rate is limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_hands_and_messages_are_checked() {
    let room = TestRoom::ready(1).await;
    let host = &room.host;
    for wrong in ["", " \u{200b} ", &"x".repeat(61)] {
        assert!(matches!(host.rename(1, wrong).await, Err(Refusal::Invalid(_))), "{wrong:?}");
    }
    host.rename(1, "  Ada\u{202e}\u{1b}[1m  Lovelace ").await.unwrap();
    assert_eq!(room.seat(1, |seat| seat.name.clone()), Some("Ada [1m Lovelace".to_owned()));
    let entries = || host.with_state(|state| state.room.entries);
    host.raise_hand(1, true).await.unwrap();
    let before = entries();
    host.raise_hand(1, true).await.unwrap();
    assert_eq!(entries(), before, "it is up already");
    for result in [host.say(None, " ").await, host.say(Some(9), "Hello").await, host.say(None, &"x".repeat(1001)).await]
    {
        assert!(result.is_err());
    }
    assert!(conflict(host.inject(None, "a customer", "Hello?").await).contains("say it instead"));
    host.say(None, "Hello").await.unwrap();
    host.close().await.unwrap();
    assert!(conflict(host.say(None, "Hello").await).contains("closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_board_stays_also_after_a_restart() {
    let room = TestRoom::broken(1, 1).await;
    room.host.freeze(true).await.unwrap();
    let board = |host: &Host| {
        host.with_board_state(|state| {
            let clock = state.drill(&state.room.seats[&1]).map(|drill| drill.clock);
            (clock, state.room.seats[&1].name.clone(), state.room.scene, state.now)
        })
    };
    let frozen = board(&room.host);
    room.host.rename(1, "Grace").await.unwrap();
    room.host.acknowledge(1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(board(&room.host), frozen);
    room.host.show(Scene::Tiles).await.unwrap();
    let room = room.restart().await;
    let (clock, name, scene, at) = board(&room.host);
    assert_eq!((name, scene, at), (Some("Ada".to_owned()), Scene::Tiles, frozen.3));
    let current = room.drill(1, |drill| drill.clock);
    assert!(clock.is_some_and(|clock| clock < current), "{clock:?} {current}");
    room.host.freeze(false).await.unwrap();
    assert_eq!(board(&room.host).1, Some("Grace".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_actions_and_changes_nothing() {
    let room = TestRoom::ready(1).await;
    let host = &room.host;
    let code = room.config.seats[0].code.clone();
    let before = host.with_state(|state| format!("{:?}", state.room));
    // The first device cannot be written to, and the second one fails when it has been written to.
    for device in ["/dev/full", "/dev/null"] {
        host.log.lock().await.set_device(Some(device));
        let joined = host.join(&code).await.map(drop);
        for refused in [joined, host.raise_hand(1, true).await, host.start_drill(request()).await] {
            assert!(matches!(&refused, Err(Refusal::Unsaved(text)) if text.contains("events.ndjson")), "{refused:?}");
        }
        assert!(host.run_line(1, "status").await.is_err());
        assert_eq!(host.with_state(|state| format!("{:?}", state.room)), before, "{device}");
    }
    host.log.lock().await.set_device(None);
    room.join(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_at_the_same_time_are_all_written_once() {
    let room = TestRoom::ready(20).await;
    let before = room.host.with_state(|state| state.room.entries);
    let acting = (1..=20).flat_map(|seat| [seat, seat]).map(|seat| room.host.raise_hand(seat, true));
    let results = futures_util::future::join_all(acting).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let after = room.host.with_state(|state| state.room.entries);
    assert_eq!(after - before, 20, "a hand that is up is not raised again");
    let log = std::fs::read_to_string(room.path("events.ndjson")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"hand\"")).count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_any_action_is_continued_by_the_next_one() {
    let mut room = TestRoom::broken(2, 2).await;
    let token = room.join(1).await;
    room.host.run_line(1, "status").await.unwrap().wait().await;
    let _waiting = room.host.run_line(2, "wait").await.unwrap();
    for action in 0..6 {
        match action {
            0 => room.host.acknowledge(1).await.unwrap(),
            1 => drop(room.host.diagnose(1, vec![RIGHT]).await.unwrap()),
            2 => room.host.pause(true).await.unwrap(),
            3 => room.host.pause(false).await.unwrap(),
            4 => room.host.finish(1).await.unwrap(),
            _ => room.host.end_drill().await.unwrap(),
        }
        let before = room.drill(1, |drill| (drill.acknowledgements.clone(), drill.tries.clone(), drill.ended));
        room = room.restart().await;
        assert_eq!(room.drill(1, |drill| (drill.acknowledgements.clone(), drill.tries.clone(), drill.ended)), before);
        assert_eq!(room.host.seat_of(token.as_str()), Some(1));
    }
    room.until("every drill is over", |state| state.room.seats.values().all(|seat| seat.drill().is_none())).await;
    assert_eq!(room.seat(1, |seat| (seat.drills.len(), seat.drills[0].ended.unwrap().1)), (1, Ending::Finished));
    assert_eq!(room.seat(2, |seat| (seat.drills.len(), seat.drills[0].ended.unwrap().1)), (1, Ending::EndedByTrainer));
    assert_eq!(room.seat(1, |seat| seat.console[0].output.clone().unwrap().0), Some(0));
    assert_eq!(room.seat(2, |seat| seat.console[0].output.clone()), Some((None, String::new())));
}

/// Truncates the room's log after each entry, as if the server had been killed there: the same drills end with the same scores.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_anywhere_is_continued() {
    let mut room = TestRoom::broken(2, 2).await;
    room.host.acknowledge(1).await.unwrap();
    room.host.reset(2).await.unwrap();
    room.until("seat 2 begins again", |state| state.room.seats[&2].drills.len() == 2).await;
    room.host.finish(1).await.unwrap();
    room.host.end_drill().await.unwrap();
    room.until("every drill is over", |state| state.room.seats.values().all(|seat| seat.drill().is_none())).await;
    let scores = |room: &TestRoom| {
        room.host.with_state(|state| {
            let drills = state.room.seats.values().flat_map(|seat| &seat.drills);
            let score = |id: &str| Score::new(&state.drills[id]).map(|score| score.points).ok();
            drills.map(|drill| (drill.id.clone(), score(&drill.id))).collect::<Vec<_>>()
        })
    };
    let expected = scores(&room);
    assert_eq!(expected.len(), 3);
    let log = std::fs::read_to_string(room.path("events.ndjson")).unwrap();
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let started = lines.iter().position(|line| line.contains("drill_started")).unwrap();
    for end in started + 1..lines.len() {
        let path = room.path("events.ndjson");
        room = room.restart_with(|| std::fs::write(&path, lines[..end].concat()).unwrap()).await;
        room.until("seat 2 has its first drill", |state| !state.room.seats[&2].drills.is_empty()).await;
        if room.seat(2, |seat| seat.resets) == 0 {
            room.host.reset(2).await.unwrap();
        }
        room.until("every drill is over", |state| {
            let is_over = |seat: &Seat| !seat.drills.is_empty() && seat.drill().is_none() && !seat.resetting;
            state.room.seats.values().filter(|seat| seat.joined.is_some()).all(|seat| is_over(seat) && !seat.again)
        })
        .await;
        assert_eq!(scores(&room), expected, "after {} of {} entries", end, lines.len());
    }
}
