use lab_core::diagnosis::{Cause, Location};

use super::*;
use crate::event::{Affected, ClaimedState};
use crate::testing::{Story, update};

#[test]
fn a_log_begins_with_its_start() {
    assert_eq!(Drill::from_entries(&[]).err(), Some(NotStarted));
    let entries = Story::new().entries();
    assert_eq!(Drill::from_entries(&entries[1..]).err(), Some(NotStarted));
}

/// Impact at 61 s, fix at 100 s, checks pass at 103 s.
#[test]
fn a_fixed_drill_is_mitigated_from_the_start_of_its_window_and_resolved_at_the_check() {
    let mut story = Story::new().quiet(60).inject().good(1).bad(39);
    let drill = story.drill();
    assert_eq!((drill.injecting, drill.impact), (Some(60_000), Some(61_000)));
    assert_eq!((drill.phase(), drill.phase_at(60_999)), (Phase::Broken, Phase::Quiet));
    story = story.good(3).failing_check("still 401").check().good(6);
    assert_eq!(story.drill().phase(), Phase::Broken, "the window is not complete");
    let story = story.good(1);
    let drill = story.drill();
    assert_eq!((drill.phase(), drill.mitigated(), drill.resolved()), (Phase::Resolved, Some(100_000), Some(103_000)));
    assert_eq!(drill.masked(), None);
    let drill = story.good(30).end(Ending::Finished).good(5).drill();
    let phases = [
        (0, Phase::Quiet),
        (61_000, Phase::Broken),
        (100_000, Phase::Mitigated),
        (103_000, Phase::Resolved),
        (140_000, Phase::Ended),
    ];
    assert_eq!(drill.turns(), phases.map(|(at, phase)| Turn { at, phase }));
    assert_eq!((drill.clock, drill.seconds.len()), (140_000, 140), "nothing counts after the end");
}

#[test]
fn a_mitigation_without_its_check_is_masked_after_20_seconds() {
    let story = Story::new().quiet(60).inject().bad(20).good(19);
    assert_eq!(story.drill().phase(), Phase::Mitigated);
    let story = story.good(1);
    let drill = story.drill();
    assert_eq!((drill.phase(), drill.mitigated(), drill.masked()), (Phase::Masked, Some(80_000), Some(100_000)));
    let story = story.good(10).check();
    let drill = story.drill();
    assert_eq!((drill.phase(), drill.masked(), drill.resolved()), (Phase::Resolved, None, Some(110_000)));
    assert_eq!(drill.mitigations()[0].masked, Some(100_000), "it stays in the record");
}

#[test]
fn a_relapse_ends_mitigation_and_resolution() {
    let story = Story::new().quiet(30).inject().bad(10).good(10).check();
    assert_eq!(story.drill().resolved(), Some(50_000));
    let story = story.good(5).bad(1);
    let drill = story.drill();
    assert_eq!((drill.phase(), drill.mitigated(), drill.resolved()), (Phase::Broken, None, None));
    assert_eq!(drill.mitigations()[0].span, Span { at: 40_000, until: Some(55_000), known: 50_000 });
    assert_eq!(drill.resolutions(), [Span { at: 50_000, until: Some(55_000), known: 50_000 }]);
    let drill = story.good(10).drill();
    assert_eq!((drill.mitigated(), drill.resolved()), (Some(56_000), None), "the check is older than the mitigation");
    let drill = Story::new().quiet(30).inject().bad(10).good(10).check().good(5).bad(1).good(10).check().drill();
    assert_eq!((drill.mitigated(), drill.resolved()), (Some(56_000), Some(66_000)));
}

#[test]
fn a_resolution_is_revoked_by_a_failed_check_and_by_a_stopped_service() {
    let story = Story::new().quiet(30).inject().bad(10).good(10).check();
    let drill = story.clone().good(2).failing_check("the old key is back").drill();
    assert_eq!((drill.resolved(), drill.resolutions()[0].until), (None, Some(52_000)));
    let stopped = story.good(2).services(&["db"]);
    assert_eq!((stopped.drill().resolved(), stopped.drill().down.clone()), (None, vec!["db".to_owned()]));
    let drill = stopped.good(3).services(&[]).drill();
    assert_eq!(drill.resolved(), Some(55_000), "no earlier than the service");
}

#[test]
fn a_service_that_is_down_delays_the_resolution() {
    let story = Story::new().quiet(30).inject().services(&["app"]).bad(10).good(10).check();
    assert_eq!((story.drill().mitigated(), story.drill().resolved()), (Some(40_000), None));
    assert_eq!(story.services(&[]).drill().resolved(), Some(50_000));
}

#[test]
fn stopped_traffic_is_no_success() {
    let story = Story::new().quiet(30).inject().bad(10);
    let drill = story.clone().second(&[(0, 0), (0, 0)], 30).check().drill();
    assert_eq!((drill.phase(), drill.mitigated()), (Phase::Broken, None));
    let slow = story.clone().second(&[(8, 8), (5, 5)], 30).drill();
    assert_eq!(slow.phase(), Phase::Broken, "80 % of the rate");
    assert_eq!(story.second(&[(9, 9), (5, 5)], 30).drill().mitigated(), Some(40_000), "90 % of the rate");
}

#[test]
fn every_caller_must_succeed() {
    let story = Story::new().quiet(30).inject().bad(10);
    let one = story.clone().second(&[(10, 10), (5, 0)], 30).drill();
    assert_eq!((one.phase(), one.mitigated()), (Phase::Broken, None));
    let missing = story.clone().second(&[(10, 10)], 30).drill();
    assert_eq!(missing.mitigated(), None, "no count is no success");
    // 1 of 100 requests fails in the window of the first caller: 99 %.
    let most = story.second(&[(10, 9), (5, 5)], 1).second(&[(10, 10), (5, 5)], 9).drill();
    assert_eq!(most.mitigated(), Some(40_000));
}

#[test]
fn a_gap_starts_the_window_again_and_is_never_a_failure() {
    let story = Story::new().quiet(30).inject().bad(10).good(9).unknown(300);
    let drill = story.drill();
    assert!(drill.is_unknown() && drill.gaps()[0].until.is_none());
    let story = story.second(&[(0, 0), (0, 0)], 5).known();
    let drill = story.clone().good(9).drill();
    assert_eq!((drill.mitigated(), drill.gaps().len(), drill.is_unknown()), (None, 1, false));
    let gap = &drill.gaps()[0];
    assert_eq!(((gap.until.unwrap() - gap.from).num_seconds(), gap.length), (305, 300_000));
    let story = story.good(10).check();
    let resolved = story.drill().resolved();
    let drill = story.unknown(60).known().drill();
    assert_eq!((drill.mitigated().is_some(), drill.resolved()), (true, resolved));
    let watched = Story::new().quiet(30).inject().bad(10).good(9).watching().good(9).drill();
    assert_eq!(watched.mitigated(), None);
}

#[test]
fn a_second_before_the_injection_or_without_failure_is_no_impact() {
    let drill = Story::new().quiet(10).bad(1).quiet(10).inject().good(5).drill();
    assert_eq!((drill.impact, drill.phase()), (None, Phase::Quiet));
    let half = Story::new().quiet(10).wait(400).inject().wait(600).second(&[(10, 9), (5, 5)], 1).drill();
    assert_eq!(half.impact, Some(11_000));
    let early = Story::new().quiet(10).wait(400).inject().wait(600).bad_now().drill();
    assert_eq!(early.impact, Some(10_400), "not before the injection");
}

#[test]
fn acknowledgements_before_the_impact_are_false() {
    let story = Story::new().quiet(20).ack().quiet(10).inject().good(2).wait(500).ack().wait(500).bad_now();
    let drill = story.drill();
    assert_eq!((drill.impact, drill.acknowledged(), drill.false_acknowledgements()), (Some(32_000), Some(32_500), 1));
    let public = Story::new().quiet(20).ack().quiet(10).inject().bad(59).drill().public();
    assert_eq!(public.acknowledged, Some(20_000), "the ticket has not arrived");
    let public = Story::new().quiet(20).ack().quiet(10).inject().bad(60).drill().public();
    assert_eq!(public.acknowledged, None);
}

#[test]
fn diagnoses_are_compared_as_sets() {
    let gateway = Finding { location: Location::Gateway, cause: Cause::CredentialNotPassedOn };
    let account = Finding { location: Location::Account, cause: Cause::Expired };
    let drill = Story::new().diagnosis(gateway, Some(account)).quiet(1).drill();
    assert_eq!(drill.compare(&[account, gateway]), Answer::Right);
    assert_eq!(drill.compare(&[account]), Answer::Partial);
    assert_eq!(drill.compare(&[gateway, Finding::NOTHING]), Answer::Wrong);
    assert_eq!(drill.compare(&[]), Answer::Wrong);
    let drill = Story::new().without_fault().quiet(1).drill();
    assert_eq!((drill.compare(&[Finding::NOTHING]), drill.compare(&[gateway])), (Answer::Right, Answer::Wrong));
}

#[test]
fn a_public_view_tells_no_verdict_and_no_answer_before_the_ticket() {
    let story = Story::new().quiet(30).diagnose(Finding::NOTHING).inject().bad(50).change("app").wrong_fix("restart");
    let public = story.drill().public();
    assert_eq!((public.phase, public.tries[0].answer, public.wrong_fixes.len()), (None, None, 0));
    assert_eq!((public.callers[0].sent, public.callers[0].succeeded, public.seconds.len()), (100, 0, 80));
    let text = serde_json::to_string(&public).unwrap();
    for hidden in ["impact", "\"fault", "\"cause", "quiet\"", "solution"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert_eq!(story.clone().bad(10).drill().public().tries[0].answer, Some(Answer::Wrong));
    let coached = Story::new().coach().quiet(30).inject().bad(5).change("app").wrong_fix("restart").drill().public();
    assert_eq!((coached.phase, coached.wrong_fixes.len()), (Some(Phase::Broken), 1));
    assert_eq!(story.end(Ending::GaveUp).drill().public().wrong_fixes[0].name, "restart");
}

#[test]
fn a_part_of_the_right_fix_is_no_mistake_once_the_incident_is_resolved() {
    let started = |started: &mut Started| started.brief.wrong_fixes[0].partial = true;
    let story = Story::new().change_start(started).quiet(30).inject().bad(60).change("app").wrong_fix("restart");
    assert_eq!(story.clone().bad(5).drill().mistakes().count(), 1);
    assert_eq!(story.good(12).check().drill().mistakes().count(), 0);
}

#[test]
fn a_caller_that_failed_before_the_fault_does_not_count() {
    let before = Story::new().second(&[(10, 10), (5, 0)], 30).inject();
    let unharmed = before.clone().second(&[(10, 10), (5, 0)], 20).drill();
    assert_eq!((unharmed.impact, unharmed.self_inflicted), (None, None));
    let fixed = before.bad(20).second(&[(10, 10), (5, 0)], 12).drill();
    assert_eq!((fixed.impact, fixed.mitigated()), (Some(30_000), Some(50_000)));
    assert!(fixed.window_share().is_some_and(Share::is_healthy));
}

#[test]
fn hints_and_wrong_fixes_count_once() {
    let story = Story::new().quiet(1).hint(1).hint(1).change("app").wrong_fix("restart").wrong_fix("restart").hint(9);
    let drill = story.drill();
    assert_eq!((drill.hints.len(), drill.wrong_fixes.len()), (2, 1));
    let public = drill.public();
    assert_eq!((public.hints.len(), public.next_hint.unwrap().index, public.hint_count), (1, 0, 3));
    assert_eq!(public.hints[0].open, Some((1000, "Look at the key.".to_owned())));
}

#[test]
fn updates_keep_the_share_of_failing_requests() {
    let update = update(ClaimedState::Investigating, Affected::Some, Some(600));
    let story = Story::new().update(update.clone()).quiet(30).inject().bad(4).look("metrics").update(update);
    let drill = story.drill();
    assert_eq!((drill.updates[0].share, drill.updates[1].share), (None, Some(Share { sent: 150, succeeded: 90 })));
    assert!((drill.updates[1].share.unwrap().failing() - 0.4).abs() < 1e-9);
    assert_eq!(drill.looks, [Look { at: 34_000, what: "metrics".to_owned() }]);
}

#[test]
fn gaps_have_their_length_and_short_ones_are_merged() {
    let lengths = |story: &Story| {
        let drill = story.drill();
        drill.gaps().iter().map(|gap| (gap.at, gap.length, gap.reason.clone())).collect::<Vec<_>>()
    };
    let no_answer = |at, length| (at, length, "no answer".to_owned());
    let story = Story::new().quiet(30).unknown(20).known().good(3).unknown(5).known().good(10);
    assert_eq!(lengths(&story), [no_answer(30_000, 25_000)], "a gap three seconds later is the same one");
    assert_eq!(lengths(&story.clone().unknown(7)), [no_answer(30_000, 25_000), no_answer(43_000, 0)]);
    let away = || "the referee did not run".to_owned();
    let killed = Story::new().watching().quiet(30).pass(60).ack().pass(40).watching().good(5);
    assert_eq!(lengths(&killed), [(30_000, 100_000, away())], "the log does not explain it");
    let suspended = Story::new().watching().quiet(30).pass(60).event(Event::Unknown { reason: away() }).known().good(5);
    assert_eq!(lengths(&suspended), [(30_000, 60_000, away())]);
    let prepared = Story::new().pass(20).watching().quiet(30);
    assert_eq!(lengths(&prepared), [], "the lab was prepared");
}

#[test]
fn a_verdict_that_was_lost_keeps_its_times() {
    let story = Story::new().quiet(30).inject().bad(10).good(10).check();
    assert_eq!((story.drill().lost_mitigation(), story.drill().lost_resolution()), (None, None));
    let drill = story.good(5).bad(1).drill();
    let spans = [drill.lost_mitigation(), drill.lost_resolution()].map(|span| span.map(|span| (span.at, span.until)));
    assert_eq!(spans, [Some((40_000, Some(55_000))), Some((50_000, Some(55_000)))]);
}

#[test]
fn the_change_that_resolved_the_incident_is_no_wrong_fix() {
    let story = Story::new().quiet(30).inject().bad(10).change("app").wrong_fix("restart");
    assert_eq!(story.clone().bad(20).drill().mistakes().count(), 1);
    let resolved = story.clone().good(12).check();
    assert_eq!(resolved.drill().mistakes().count(), 0, "it was recognized by its kind, with another value");
    let later = story.bad(10).change("gateway").good(12).check();
    assert_eq!(later.drill().mistakes().count(), 1, "another change resolved it");
}
