//! Drills of every incident on the embedded engine, played to their debrief.

use crate::desk::Desk;
use crate::drill::{Fix, Play, Stage, play, play_all, plays};

/// Plays at once. They wait most of the time.
const PARALLEL: usize = 8;

/// Plays in a lab of its own.
fn play_alone(one: &Play) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    play(one, &Stage { engine: "embedded", state: desk.state(), lab: &|args| desk.lab(args) });
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

fn play_every_incident(is_selected: impl Fn(&Fix) -> bool) {
    play_all(&plays("embedded", is_selected), PARALLEL, play_alone);
}

#[test]
fn an_incident_is_resolved_by_its_runbook_and_by_any_other_fix_that_the_scenario_knows() {
    play_every_incident(|fix| matches!(fix, Fix::Runbook | Fix::Other(_)));
}

#[test]
fn a_wrong_fix_is_named_and_resolves_nothing() {
    play_every_incident(|fix| matches!(fix, Fix::Wrong(_)));
}

#[test]
fn waiting_and_a_wrong_fix_resolve_nothing_and_the_runbook_does_afterwards() {
    play_every_incident(|fix| matches!(fix, Fix::WrongThenRunbook(_)));
}

#[test]
fn deleting_what_fails_resolves_nothing() {
    play_every_incident(|fix| matches!(fix, Fix::Destroy));
}
