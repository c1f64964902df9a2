#![expect(clippy::float_cmp, reason = "points are rounded to one decimal")]

use lab_core::diagnosis::Finding;
use proptest::prelude::*;

use super::*;
use crate::event::{Affected, ClaimedState};
use crate::testing::{RIGHT, Story, update};

fn score(story: &Story) -> Score {
    Score::new(&story.drill()).unwrap()
}

fn points(story: &Story) -> Vec<(TermName, f64)> {
    score(story).terms.iter().map(|term| (term.name, term.points)).collect()
}

fn of(story: &Story, name: TermName) -> f64 {
    score(story).term(name).unwrap().points
}

/// Impact at 30 s.
fn broken() -> Story {
    Story::new().quiet(30).inject()
}

fn closing() -> crate::event::Update {
    update(ClaimedState::Resolved, Affected::Nobody, None)
}

#[test]
fn a_perfect_drill_has_100_points() {
    let story = broken().bad(50).ack().diagnose(RIGHT).bad(200).good(10).check().good(5).update(closing());
    let expected = [
        (TermName::Detection, 10.0),
        (TermName::Diagnosis, 15.0),
        (TermName::Mitigation, 25.0),
        (TermName::Resolution, 30.0),
        (TermName::Updates, 20.0),
        (TermName::Hints, 0.0),
        (TermName::Deductions, 0.0),
    ];
    assert_eq!(points(&story), expected);
    assert_eq!(score(&story).points, 100.0);
    let resolution = score(&story).term(TermName::Resolution).unwrap().clone();
    assert_eq!((resolution.time, resolution.par), (Some(260_000), Some(480_000)));
    assert_eq!(resolution.formula, "30 × q(4:20, par 8:00)");
}

#[test]
fn points_halve_with_every_par_after_the_first() {
    assert_eq!(of(&broken().bad(60).ack(), TermName::Detection), 10.0);
    assert_eq!(of(&broken().bad(120).ack(), TermName::Detection), 5.0);
    assert_eq!(of(&broken().bad(180).ack(), TermName::Detection), 2.5);
    assert_eq!(of(&broken().bad(600).good(10), TermName::Mitigation), 12.5);
    assert_eq!(of(&broken().bad(950).good(10).check(), TermName::Resolution), 15.0);
    assert_eq!(of(&broken().bad(60), TermName::Detection), 0.0);
}

#[test]
fn false_acknowledgements_cost_two_points_each_and_at_most_four() {
    let one = Story::new().quiet(10).ack().quiet(20).inject().bad(5).ack();
    assert_eq!(of(&one, TermName::Detection), 8.0);
    let three = Story::new().quiet(10).ack().ack().ack().quiet(20).inject().bad(5);
    assert_eq!(of(&three, TermName::Detection), 0.0);
    assert_eq!(of(&three.ack(), TermName::Detection), 6.0);
}

#[test]
fn a_diagnosis_counts_by_its_try() {
    let wrong = Finding::NOTHING;
    let story = broken().bad(5);
    assert_eq!(of(&story, TermName::Diagnosis), 0.0);
    assert_eq!(of(&story.clone().diagnose(RIGHT), TermName::Diagnosis), 15.0);
    assert_eq!(of(&story.clone().diagnose(wrong).diagnose(RIGHT), TermName::Diagnosis), 9.0);
    assert_eq!(of(&story.clone().diagnose(wrong).diagnose(wrong).diagnose(RIGHT), TermName::Diagnosis), 4.5);
    let fourth = story.diagnose(wrong).diagnose(wrong).diagnose(wrong).diagnose(RIGHT);
    assert_eq!(of(&fourth, TermName::Diagnosis), 0.0);
    let two = Story::new().diagnosis(RIGHT, Some(wrong)).quiet(30).inject().bad(5).diagnose(RIGHT);
    assert_eq!(of(&two, TermName::Diagnosis), 7.5);
}

#[test]
fn hints_cost_a_share_of_what_follows_and_nothing_without_a_resolution() {
    // Hint 1 costs 20 %, hint 0 costs 10 %.
    let open = broken().bad(20).hint(1).bad(1).diagnose(RIGHT).hint(0).bad(20);
    assert_eq!(of(&open, TermName::Hints), 0.0);
    let story = open.good(10).check();
    assert_eq!(of(&story, TermName::Hints), -(0.2 * 15.0 + 0.3 * 30.0));
    assert_eq!(of(&story.clone().hint(2), TermName::Hints), -12.0, "free after the resolution");
    let late = broken().bad(20).good(10).check().hint(2).good(1).diagnose(RIGHT);
    assert_eq!(of(&late, TermName::Hints), -4.5, "30 % of the diagnosis");
    // Resolution after 10 pars: its points are nearly gone, and the hints cost no more than them.
    let late = broken().bad(20).hint(0).hint(1).hint(2).bad(1).diagnose(RIGHT).bad(4800).good(10).check();
    let (resolution, hints) = (of(&late, TermName::Resolution), of(&late, TermName::Hints));
    assert!(resolution > 0.0 && resolution < 0.2, "{resolution}");
    assert_eq!(hints, -resolution);
}

#[test]
fn a_wrong_fix_costs_three_points_and_halves_the_mitigation_that_it_masks() {
    let story = broken().bad(20).change("app").wrong_fix("restart").good(40);
    assert_eq!((of(&story, TermName::Mitigation), of(&story, TermName::Deductions)), (12.5, -3.0));
    let fixed = story.change("gateway").good(2).check();
    assert_eq!((of(&fixed, TermName::Mitigation), of(&fixed, TermName::Resolution)), (12.5, 30.0));
    let useless = broken().bad(20).change("app").wrong_fix("restart").bad(20).change("gateway").good(10).check();
    assert_eq!((of(&useless, TermName::Mitigation), of(&useless, TermName::Deductions)), (25.0, -3.0));
    let four = broken().bad(5).wrong_fix("a").wrong_fix("b").wrong_fix("c").wrong_fix("d");
    assert_eq!(of(&four, TermName::Deductions), -9.0);
}

#[test]
fn a_disclosed_secret_costs_five_points() {
    let mut leak = update(ClaimedState::Investigating, Affected::Everybody, Some(600));
    leak.disclosed = 2;
    let story = broken().bad(20).update(leak);
    assert_eq!(of(&story, TermName::Deductions), -10.0);
    assert_eq!(score(&story).points, 0.0, "never negative");
}

#[test]
fn a_drill_without_a_fault_rewards_restraint() {
    let quiet = Story::new().without_fault().quiet(40);
    assert_eq!(score(&quiet).points, 85.0);
    let right = quiet.clone().diagnose(Finding::NOTHING);
    assert_eq!(score(&right).points, 100.0);
    assert_eq!(score(&right.clone().ack().ack().ack()).points, 96.0);
    assert_eq!(score(&quiet.clone().diagnose(RIGHT)).points, 85.0);
    let own = quiet.change("app").bad(3).good(10).diagnose(Finding::NOTHING);
    assert_eq!((of(&own, TermName::Mitigation), of(&own, TermName::Resolution)), (0.0, 0.0));
    assert_eq!(score(&own).points, 45.0);
    let early = Story::new().without_fault().quiet(29).diagnose(Finding::NOTHING).end(Ending::Finished);
    assert_eq!(score(&early).points, 0.0);
}

#[test]
fn leaving_before_the_fault_has_no_points() {
    let early = Story::new().quiet(29).diagnose(Finding::NOTHING).end(Ending::Finished);
    assert_eq!(score(&early).points, 0.0);
    assert_eq!(score(&early).term(TermName::Resolution).unwrap().maximum, 30.0);
}

#[test]
fn a_void_drill_and_an_unknown_table_have_no_score() {
    let void = Story::new().quiet(5).end(Ending::Void);
    assert_eq!(Score::new(&void.drill()), Err(NoScore::Void));
    let newer = Story::new().change_start(|started| started.scoring = 99);
    assert_eq!(Score::new(&newer.drill()), Err(NoScore::UnknownVersion(99)));
}

/// A drill in which everything happens at given seconds after the impact at 30 s. A resolution follows its mitigation.
fn played(ack: Option<usize>, hints: &[(usize, usize)], fix: Option<usize>, check: usize, tries: usize) -> Story {
    let mut story = broken();
    for second in 0..1500 {
        story = if fix.is_some_and(|fix| second >= fix) { story.good(1) } else { story.bad(1) };
        if ack == Some(second) {
            story = story.ack();
        }
        if fix.is_some_and(|fix| second == fix + check) {
            story = story.check();
        }
        for (_, index) in hints.iter().filter(|(at, _)| *at == second) {
            story = story.hint(*index);
        }
        if second == 400 {
            story = (0..tries).fold(story, |story, _| story.diagnose(Finding::NOTHING)).diagnose(RIGHT);
        }
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn points_are_in_range_and_the_terms_add_up(
        ack in prop::option::of(0usize..1400), fix in prop::option::of(0usize..1400), check in 0usize..100,
        hints in prop::collection::vec((0usize..1400, 0usize..4), 0..4), tries in 0usize..4,
    ) {
        let story = played(ack, &hints, fix, check, tries);
        let score = score(&story);
        prop_assert!((0.0..=100.0).contains(&score.points));
        let sum: f64 = score.terms.iter().map(|term| term.points).sum();
        prop_assert!((sum.clamp(0.0, 100.0) - score.points).abs() < 1e-6);
        for term in &score.terms {
            prop_assert!(term.points <= term.maximum, "{term:?}");
        }
        prop_assert_eq!(&Score::new(&story.drill()).unwrap(), &score, "the same log gives the same score");
    }

    #[test]
    fn no_later_time_has_more_points(
        ack in 0usize..1200, fix in 0usize..1200, check in 0usize..100, later in 1usize..200,
        hints in prop::collection::vec((0usize..1400, 0usize..3), 0..3),
    ) {
        let base = score(&played(Some(ack), &hints, Some(fix), check, 0)).points;
        prop_assert!(score(&played(Some(ack + later), &hints, Some(fix), check, 0)).points <= base);
        prop_assert!(score(&played(None, &hints, Some(fix), check, 0)).points <= base);
        prop_assert!(score(&played(Some(ack), &hints, Some(fix + later), check, 0)).points <= base);
        prop_assert!(score(&played(Some(ack), &hints, Some(fix), check + later, 0)).points <= base);
        prop_assert!(score(&played(Some(ack), &hints, None, check, 0)).points <= base);
        prop_assert!(score(&played(Some(ack), &hints, Some(fix), check, 1)).points <= base);
    }

    #[test]
    fn a_hint_never_pays(
        fix in prop::option::of(0usize..1200), check in 0usize..100, at in 0usize..1400, index in 0usize..3,
        hints in prop::collection::vec((0usize..1400, 0usize..3), 0..3),
    ) {
        let without = score(&played(Some(30), &hints, fix, check, 0)).points;
        let more = [&hints[..], &[(at, index)]].concat();
        prop_assert!(score(&played(Some(30), &more, fix, check, 0)).points <= without);
    }
}
