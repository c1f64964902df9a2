use super::*;
use crate::event::Ending;
use crate::testing::{RIGHT, Story, update};

/// Impact at 30 s, ticket at 90 s, first update due at 390 s.
fn broken() -> Story {
    Story::new().quiet(30).inject().bad(1)
}

fn investigating(next: Option<u64>) -> Update {
    update(ClaimedState::Investigating, Affected::Everybody, next)
}

fn points(story: &Story, index: usize) -> [u32; 5] {
    let judged = judge(&story.drill());
    std::array::from_fn(|criterion| judged.updates[index].criteria[criterion].points)
}

fn reason(story: &Story, index: usize, criterion: usize) -> String {
    judge(&story.drill()).updates[index].criteria[criterion].reason.clone()
}

#[test]
fn the_first_update_is_due_five_minutes_after_the_ticket() {
    let story = broken().bad(58);
    assert_eq!(next_due(&story.drill(), story.drill().clock), None, "before the ticket it would tell the impact");
    let story = story.bad(1);
    let due = Due { at: 390_000, after: None, sent: None };
    assert_eq!(next_due(&story.drill(), 90_000), Some(due));
    let early = broken().bad(9).ack().bad(50);
    assert_eq!(next_due(&early.drill(), 90_000), Some(due), "an early acknowledgement does not make it earlier");
    assert_eq!(next_due(&early.end(Ending::Finished).drill(), 90_000), None);
}

#[test]
fn the_next_update_is_due_when_the_promise_runs_out() {
    let story = broken().bad(99).update(investigating(Some(600)));
    assert_eq!(next_due(&story.drill(), 130_000), Some(Due { at: 730_000, after: Some(130_000), sent: None }));
    let none = broken().bad(99).update(investigating(None));
    assert_eq!(next_due(&none.drill(), 130_000).unwrap().at, 130_000 + INTERVAL);
    let long = broken().bad(99).update(investigating(Some(36_000)));
    assert_eq!(next_due(&long.drill(), 130_000).unwrap().at, 130_000 + INTERVAL);
    let closed = broken().bad(99).update(update(ClaimedState::Resolved, Affected::Nobody, None));
    assert_eq!(next_due(&closed.drill(), 130_000), None);
    assert!(!needs_closing(&closed.drill()) && needs_closing(&none.drill()));
}

#[test]
fn failures_before_the_fix_do_not_count_against_an_update_after_it() {
    let resolved = update(ClaimedState::Resolved, Affected::Nobody, None);
    let story = broken().bad(100).good(4).check().update(resolved).good(20).check();
    assert_eq!(points(&story, 0)[2], 2, "{}", reason(&story, 0, 2));
}

#[test]
fn an_honest_update_has_ten_points() {
    let story = broken().bad(100).update(investigating(Some(600))).bad(10);
    assert_eq!(points(&story, 0), [3, 2, 2, 2, 1]);
    let judged = judge(&story.drill());
    assert_eq!((judged.points, judged.asked), (10, 20), "the closing update is asked too");
    assert_eq!(judged.missed, [Missed { at: 141_000, closing: true }]);
}

#[test]
fn a_late_update_loses_its_time_and_a_long_silence_counts_again() {
    let story = broken().bad(399).update(investigating(Some(600)));
    assert_eq!((points(&story, 0)[0], reason(&story, 0, 0)), (0, "due at 6:30, 0:40 late".to_owned()));
    let silent = broken().bad(360 + 900 + 901).drill();
    let at: Vec<u64> = judge(&silent).missed.iter().filter(|missed| !missed.closing).map(|missed| missed.at).collect();
    assert_eq!(at, [390_000, 1_290_000, 2_190_000]);
    let late = judge(&broken().bad(360 + 901).update(investigating(Some(600))).drill());
    assert_eq!(late.missed.len(), 2, "one of silence, and the closing one");
}

#[test]
fn a_claimed_state_must_be_true() {
    let story = broken().bad(100);
    let claim = |story: &Story, state| points(&story.clone().update(update(state, Affected::Some, None)), 0)[1];
    assert_eq!(claim(&story, ClaimedState::Identified), 0);
    assert_eq!(claim(&story, ClaimedState::Monitoring), 0);
    let found = story.diagnose(RIGHT);
    assert_eq!((claim(&found, ClaimedState::Identified), claim(&found, ClaimedState::Investigating)), (2, 0));
    let fixed = found.clone().good(2).update(update(ClaimedState::Monitoring, Affected::Nobody, Some(60))).good(10);
    assert_eq!(points(&fixed, 0)[1], 2, "also before its window is complete");
    assert_eq!(claim(&found.clone().good(12), ClaimedState::Resolved), 0);
    let resolved = found.good(12).check();
    assert_eq!(claim(&resolved, ClaimedState::Resolved), 2);
    assert_eq!(claim(&resolved, ClaimedState::Monitoring), 2, "the verdict is hidden, so a careful claim is true");
    let closed = resolved.update(update(ClaimedState::Resolved, Affected::Nobody, None));
    assert_eq!(judge(&closed.drill()).missed, []);
}

#[test]
fn a_claimed_impact_must_be_true() {
    let claim = |story: &Story, affected| {
        points(&story.clone().update(update(ClaimedState::Investigating, affected, None)), 0)[2]
    };
    let all = broken().bad(20);
    assert_eq!([Affected::Nobody, Affected::Some, Affected::Everybody].map(|one| claim(&all, one)), [0, 0, 2]);
    let third = broken().second(&[(10, 10), (5, 0)], 20);
    assert_eq!([Affected::Nobody, Affected::Some, Affected::Everybody].map(|one| claim(&third, one)), [0, 2, 0]);
    let none = broken().good(20);
    assert_eq!([Affected::Nobody, Affected::Some, Affected::Everybody].map(|one| claim(&none, one)), [2, 0, 0]);
    let stopped = broken().second(&[(0, 0), (0, 0)], 20);
    assert_eq!(claim(&stopped, Affected::Everybody), 2, "no traffic is no success");
    let mut since = investigating(None);
    since.since = Some(160_000);
    let wrong = all.update(since);
    assert_eq!(points(&wrong, 0)[2], 0);
    assert_eq!(
        reason(&wrong, 0, 2),
        "\"everybody\", and 100 % of the requests failed; the stated begin is wrong by 2:10"
    );
}

#[test]
fn a_promise_must_be_kept() {
    let first = broken().bad(99).update(investigating(Some(120)));
    assert_eq!(points(&first.clone().bad(120), 0)[3], 2);
    assert_eq!(points(&first.clone().bad(121), 0)[3], 0);
    assert_eq!(points(&first.clone().bad(119).update(investigating(Some(120))), 0)[3], 2);
    assert_eq!(points(&first.bad(130).update(investigating(Some(120))), 0)[3], 0);
    assert_eq!(points(&broken().bad(99).update(investigating(None)), 0)[3], 0);
}

#[test]
fn repeating_an_update_does_not_add_points() {
    let once = broken().bad(99).update(investigating(Some(600)));
    let twice = once.clone().bad(30).update(investigating(Some(600)));
    let (before, after) = (judge(&once.drill()), judge(&twice.drill()));
    assert!(after.updates[1].repeats);
    assert_eq!((before.points, before.asked), (after.points, after.asked));
}

#[test]
fn a_quiet_drill_asks_for_nothing() {
    let judged = judge(&Story::new().without_fault().quiet(2000).ack().quiet(2000).drill());
    assert_eq!((judged.asked, judged.missed.len()), (0, 0));
    let said = Story::new().without_fault().quiet(50).update(update(ClaimedState::Resolved, Affected::Nobody, None));
    assert_eq!(points(&said, 0), [3, 2, 2, 2, 1]);
    let alarm = Story::new().without_fault().quiet(50).update(investigating(Some(600)));
    assert_eq!(points(&alarm, 0)[2], 0);
}

#[test]
fn times_are_readable() {
    assert_eq!([0, 59_999, 61_000, 3_661_000].map(drill_time), ["0:00", "0:59", "1:01", "1:01:01"]);
}
