use lab_core::diagnosis::Finding;

use super::*;
use crate::event::{Affected, ClaimedState, Event};
use crate::score::TermName;
use crate::testing::{RIGHT, Story, update};

fn debrief(story: &Story) -> Debrief {
    Debrief::new(&story.drill(), &Secret::from_seed(7))
}

/// Impact at 30 s; a wrong fix masks it at 100 s; resolved at 160 s.
fn played() -> Story {
    let story = Story::new().quiet(30).inject().bad(20).ack().look("status").look("logs app").look("logs app").bad(30);
    let story = story.hint(0).diagnose(Finding::NOTHING).change("app").wrong_fix("restart").bad(20);
    let story = story.look("open grafana").good(50).look("logs app").diagnose(RIGHT).change("gateway").good(10);
    let story = story.unknown(90).known().check().good(5);
    story.update(update(ClaimedState::Resolved, Affected::Nobody, None)).good(5).end(Ending::Finished)
}

#[test]
fn the_hidden_timeline_is_laid_over_the_own_actions() {
    let lines: Vec<String> = debrief(&played())
        .timeline
        .iter()
        .map(|line| format!("{} {:?} {}", crate::drill_time(line.at), line.source, line.text))
        .collect();
    let expected = [
        "0:30 Referee fault injected",
        "0:30 Referee first request failed",
        "0:50 Participant looked at status",
        "0:50 Participant looked at logs app, 2 times",
        "0:50 Participant acknowledged 0:20 after the impact",
        "1:20 Referee wrong fix \"restart\": The limit stays.",
        "1:20 Participant opened hint 1: how long it takes (10 %)",
        "1:20 Participant diagnosis: nowhere: nothing is wrong (wrong)",
        "1:20 Participant restart app",
        "1:30 Message the customer: Our report never comes.",
        "1:40 Referee mitigated: every caller succeeds",
        "1:40 Participant looked at open grafana",
        "2:00 Referee masked: the callers succeed, but the cause is still there",
        "2:30 Participant looked at logs app",
        "2:30 Participant diagnosis: gateway: timeout too short (right)",
        "2:30 Participant restart gateway",
        "2:40 Referee resolved: the cause is removed",
        "2:40 Referee the clock stood still for 1:30: no answer",
        "2:40 Message the customer: Requests work again on our side. What happened, and can we rely on it?",
        "2:45 Participant update (resolved): We are looking into it.",
        "2:50 Participant finished",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_debrief_has_the_whole_drill() {
    let debrief = debrief(&played());
    let times = Times {
        injected: Some(30_000),
        impact: Some(30_000),
        ticket: Some(90_000),
        acknowledged: Some(50_000),
        mitigated: Some(100_000),
        masked: None,
        resolved: Some(160_000),
        ended: Some(170_000),
        mitigation_lost: None,
        resolution_lost: None,
    };
    assert_eq!(debrief.times, times);
    assert_eq!(debrief.seconds.len(), 170);
    let fix = ExplainedFix { at: 80_000, name: "restart".to_owned(), why: "The limit stays.".to_owned(), masked: true };
    assert_eq!(debrief.wrong_fixes, [fix]);
    let score = debrief.score.as_ref().unwrap();
    assert_eq!(
        score.term(TermName::Mitigation).unwrap().formula,
        "25 × q(1:10, par 5:00) × 0.5 for the wrong fix \"restart\""
    );
    assert_eq!((debrief.hints.len(), debrief.hints[0].open.as_ref().map(|open| open.0)), (3, Some(80_000)));
    let text = serde_json::to_value(&debrief).unwrap();
    assert_eq!(text["incident"]["diagnosis"]["where"], "gateway");
    assert_eq!(text["updates"]["updates"][0]["criteria"][1]["criterion"], "state");
}

#[test]
fn places_that_were_never_looked_at_are_named() {
    let visits = debrief(&played()).visits;
    let seen: Vec<_> = visits.iter().filter(|visit| visit.count > 0).map(|visit| (visit.place, visit.count)).collect();
    assert_eq!(seen, [(Place::Status, 1), (Place::Logs, 3), (Place::Dashboard, 1)]);
    assert_eq!((visits.len(), visits[1].first, visits[3].first), (10, Some(50_000), None));
    for place in Place::ALL {
        assert_eq!(Place::from_command(place.name()), Some(place));
        assert_eq!(serde_json::to_value(place).unwrap(), place.name());
    }
    assert_eq!(Place::from_command("open prometheus"), Some(Place::Metrics));
    assert_eq!((Place::from_command(""), Place::from_command("doctor")), (None, None));
}

#[test]
fn the_incident_can_be_repeated_and_the_secret_verified() {
    let debrief = debrief(&played());
    let commands: Vec<&str> = debrief.replay.iter().map(|command| command.command.as_str()).collect();
    let expected = [
        "lab drill start report-timeout",
        "lab scenario run report-timeout --set limit=2s",
        "lab scenario show report-timeout --solution",
    ];
    assert_eq!(commands, expected);
    assert!(debrief.proof.matches);
    // Computed with this command.
    assert_eq!(debrief.proof.commitment, "8576ce26810db7dce610cd677898da38589c5138aef4cce0f923bf4556710a09");
    assert!(debrief.proof.verify.starts_with("printf %s d8e6d4f5"), "{}", debrief.proof.verify);
    assert!(!Debrief::new(&played().drill(), &Secret::from_seed(8)).proof.matches);
    let odd = played().change_start(|started| started.brief.scenario = "my files/it's.yaml".to_owned());
    assert_eq!(super::replay(&odd.drill())[0].command, r"lab drill start 'my files/it'\''s.yaml'");
}

#[test]
fn a_drill_without_a_fault_has_no_lesson_of_an_incident() {
    let story = Story::new().without_fault().quiet(40).diagnose(Finding::NOTHING).end(Ending::Finished);
    let debrief = debrief(&story);
    assert_eq!((debrief.incident.diagnosis.first, debrief.incident.fault), (Finding::NOTHING, false));
    assert_eq!(debrief.lessons, [NOTHING_LESSON]);
    let void = Story::new().quiet(5).event(Event::Failed { reason: "no".to_owned() }).end(Ending::Void);
    let debrief = super::Debrief::new(&void.drill(), &Secret::from_seed(7));
    assert_eq!(debrief.score, None);
    assert!(debrief.no_score.unwrap().contains("void"));
}
