//! The library as material for drills: diagnoses, fixes, hints, and values that vary.

use std::collections::{BTreeMap, BTreeSet};

use super::super::forecast::forecast;
use super::super::vary::{Vary, draw};
use super::super::{LoadOptions, Plan, Source, library, load};
use crate::plan::Kind;
use lab_core::diagnosis::{Diagnosis, Finding};

const DRAWS: u64 = 50;

/// Every scenario of the library that is not a part of others.
fn plans() -> Vec<Plan> {
    let load = |name: &str| load(&Source::Library(name.into()), &LoadOptions::default()).unwrap();
    library::names().map(load).filter(|plan| plan.kind != Kind::Part).collect()
}

/// Right answers by scenario.
const DIAGNOSES: [(&str, &str); 19] = [
    ("rotate-key", "caller / credential out of date"),
    ("rotate-key-overlap", "nowhere / nothing is wrong"),
    ("stale-caller", "caller / credential out of date"),
    ("wrong-client-secret", "gateway / credential wrong"),
    ("missing-header", "gateway / credential not passed on"),
    ("expired-key", "account / has expired"),
    ("missing-scope", "account / permission missing"),
    ("rate-limited", "account / limit too low"),
    ("app-down", "app / does not run"),
    ("app-slow", "partner / slow"),
    ("bad-deploy", "app / setting refused"),
    ("wrong-upstream", "gateway / address or path wrong"),
    ("db-down", "database / does not run"),
    ("db-frozen", "database / hangs"),
    ("connection-pool-exhausted", "app / used up"),
    ("blind", "monitoring / address or path wrong, also caller / credential out of date"),
    ("report-cut-off", "gateway / timeout too short"),
    ("two-401s", "gateway / credential not passed on, also account / has expired"),
    ("retry-storm", "caller / sends too much"),
];

#[test]
fn every_scenario_has_its_diagnosis() {
    for plan in plans() {
        let expected =
            DIAGNOSES.iter().find(|(name, _)| *name == plan.name).map(|(_, diagnosis)| (*diagnosis).to_owned());
        assert!(expected.is_some(), "{} is not in the table", plan.name);
        assert_eq!(plan.lesson.diagnosis.map(|diagnosis| diagnosis.to_string()), expected, "{}", plan.name);
    }
}

/// A blind guess must not pay: only these are right twice, and none more often.
#[test]
fn few_diagnoses_are_right_twice() {
    const DOUBLES: [&str; 2] = ["caller / credential out of date", "gateway / credential not passed on"];
    let mut count: BTreeMap<Finding, Vec<String>> = BTreeMap::new();
    for plan in plans() {
        let Some(Diagnosis { first, .. }) = plan.lesson.diagnosis else { panic!("{} has no diagnosis", plan.name) };
        count.entry(first).or_default().push(plan.name);
    }
    for (finding, names) in count.iter().filter(|(_, names)| names.len() > 1) {
        assert!(names.len() == 2 && DOUBLES.contains(&finding.to_string().as_str()), "{finding}: {names:?}");
    }
}

#[test]
fn every_hint_has_a_subject_of_its_own() {
    for plan in plans() {
        let subjects: BTreeSet<&str> = plan.lesson.hints.iter().map(|hint| hint.about.as_str()).collect();
        assert_eq!(subjects.len(), plan.lesson.hints.len(), "{}", plan.name);
        assert!(subjects.iter().all(|about| !about.starts_with("Hint ")), "{}: {subjects:?}", plan.name);
    }
}

/// Scenarios whose resolved check leaves only one way to fix them.
const ONLY_FIX: [&str; 4] = ["bad-deploy", "db-frozen", "missing-header", "wrong-upstream"];

#[test]
fn every_scenario_has_wrong_fixes_and_most_have_other_fixes() {
    for plan in plans() {
        assert!(plan.claims.wrong_fixes.len() >= 2, "{}", plan.name);
        assert_eq!(plan.claims.other_fixes.is_empty(), ONLY_FIX.contains(&plan.name.as_str()), "{}", plan.name);
    }
}

/// A referee must not mistake the first half of a fix for a wrong fix.
#[test]
fn incomplete_fixes_are_known() {
    let mut incomplete = Vec::new();
    for plan in plans() {
        let names = plan.claims.wrong_fixes.iter().filter(|fix| plan.is_incomplete(fix));
        incomplete.extend(names.map(|fix| format!("{}: {}", plan.name, fix.name)));
    }
    assert!(incomplete.contains(&"blind: fix-what-the-ticket-says".to_owned()), "{incomplete:?}");
    assert!(!incomplete.iter().any(|fix| fix.contains("restart")), "{incomplete:?}");
}

/// A number for a name, different in each draw (`SplitMix64` over the bytes of the name).
fn number(draw: u64, name: &str) -> u64 {
    name.bytes().fold(draw, |state, byte| {
        let mut mixed = (state ^ u64::from(byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[test]
fn drawn_values_break_no_scenario() {
    for plan in plans() {
        let source = Source::Library(plan.name.clone());
        let usual = forecast(&plan, None);
        let mut drawn: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for index in 0..DRAWS {
            let set = draw(&source, |name| number(index, name)).unwrap();
            for (name, value) in &set {
                drawn.entry(name.clone()).or_default().insert(value.clone());
            }
            let varied = load(&source, &LoadOptions { set: set.clone(), ..LoadOptions::default() })
                .unwrap_or_else(|found| panic!("{} with {set:?}: {found}", plan.name));
            assert!(varied.lints.is_empty(), "{} with {set:?}: {:?}", plan.name, varied.lints);
            let forecast = forecast(&varied, None);
            assert_eq!(forecast.requests(), usual.requests(), "{} with {set:?}", plan.name);
            assert_eq!(forecast.steps.len(), usual.steps.len(), "{} with {set:?}", plan.name);
        }
        for (name, vary) in &plan.varied {
            match vary {
                Vary::Key => assert_eq!(drawn[name].len(), 50, "{}: every key is new", plan.name),
                Vary::OneOf(values) => {
                    assert_eq!(drawn[name], values.iter().cloned().collect(), "{}: {name}", plan.name);
                    assert!(values.contains(&plan.parameters[name]), "{}: the default of {name}", plan.name);
                }
            }
        }
    }
}
