//! Lessons and claims, as read from a file.

use std::time::Duration;

use super::super::plan::{Action, Metric};
use super::super::{LoadOptions, Plan, Source, load};
use super::{Claims, Difficulty, Hint, Inject, Lesson, Par, Trigger};

const TEXT: &str = "
title: Test
difficulty: advanced
ticket: It is ${what}.
hints: [look, 'look at ${what}']
parameters: { what: { default: broken, short: slow }, n: { default: 40, short: 4 } }
steps: [{ traffic: { requests: '${n}' } }]
symptom_check:
  - { scenario: drive-traffic, with: { requests: '${n}' }, expect: { failed: '100%' } }
  - wait: 10ms
  - check: { path: '/${what}' }
wrong_fixes:
  - { name: restart, why: 'It is ${what} again.', steps: [{ stop: app }, { start: app }, { stop: app }] }
";

fn read(short: bool) -> Plan {
    let source = Source::Text { name: "test.yaml".into(), text: TEXT.into() };
    load(&source, &LoadOptions { short, ..LoadOptions::default() }).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn a_lesson_has_its_parameters_filled_in() {
    let lesson = read(false).lesson;
    assert_eq!(lesson.ticket.as_deref(), Some("It is broken."));
    let texts: Vec<&str> = lesson.hints.iter().map(|hint| hint.text.as_str()).collect();
    assert_eq!(texts, ["look", "look at broken"]);
    assert_eq!((lesson.difficulty, lesson.symptom, lesson.solution), (Some(Difficulty::Advanced), None, None));
}

#[test]
fn claims_are_steps_of_their_own() {
    let Claims { symptom_check, resolved_check, wrong_fixes, other_fixes } = read(false).claims;
    let names: Vec<&str> = symptom_check.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["drive-traffic", "wait", "check"]);
    assert_eq!((symptom_check[0].expect[0].metric.clone(), symptom_check[0].expect[0].since), (Metric::FailedShare, 0));
    assert!(resolved_check.is_empty() && other_fixes.is_empty());
    let names: Vec<&str> = wrong_fixes[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((wrong_fixes[0].why.as_str(), names), ("It is broken again.", vec!["stop", "start", "stop-2"]));
}

#[test]
fn short_values_are_taken_where_it_has_to_be_quick() {
    let plan = read(true);
    assert_eq!((plan.parameters["what"].as_str(), plan.parameters["n"].as_str()), ("slow", "4"));
    let Action::Check(check) = &plan.claims.symptom_check[2].action else { panic!("{plan:?}") };
    assert_eq!(check.path, "/slow");
}

#[test]
fn nothing_of_it_is_needed() {
    let source = Source::Text { name: "test.yaml".into(), text: "title: T\nsteps: [{ wait: 1s }]".into() };
    let plan = load(&source, &LoadOptions::default()).unwrap();
    let injects = plan.lesson.injects.clone();
    assert_eq!(injects.len(), 4);
    assert_eq!((plan.lesson, plan.claims), (Lesson { injects, ..Lesson::default() }, Claims::default()));
}

fn lesson(keys: &str) -> Lesson {
    try_lesson(keys).unwrap_or_else(|found| panic!("{found}"))
}

fn try_lesson(keys: &str) -> Result<Lesson, String> {
    let text = format!("title: T\n{keys}\nsteps: [{{ wait: 1s }}]\n");
    let source = Source::Text { name: "test.yaml".into(), text };
    load(&source, &LoadOptions::default()).map(|plan| plan.lesson).map_err(|found| found.to_string())
}

#[test]
fn hints_have_subjects_and_prices() {
    let hint = |about: &str, text: &str, cost| Hint { about: about.to_owned(), text: text.to_owned(), cost };
    let hints = lesson("hints: [a, { about: The log, text: b }, { text: c, cost: 0 }, d]").hints;
    let expected = [hint("Hint 1", "a", 10), hint("The log", "b", 20), hint("Hint 3", "c", 0), hint("Hint 4", "d", 30)];
    assert_eq!(hints, expected);
    for wrong in
        ["{ text: a, cost: 101 }", "{ text: a, cost: -1 }", "{ about: a }", "{ text: a, price: 1 }", "[a]", "~"]
    {
        assert!(try_lesson(&format!("hints: [{wrong}]")).is_err(), "{wrong}");
    }
}

#[test]
fn par_times_depend_on_the_difficulty_unless_they_are_stated() {
    let seconds = |keys: &str| {
        let Par { detect, mitigate, resolve } = lesson(keys).par;
        [detect, mitigate, resolve].map(|time| time.as_secs())
    };
    assert_eq!(seconds(""), [60, 300, 480]);
    assert_eq!(seconds("difficulty: beginner"), [60, 300, 480]);
    assert_eq!(seconds("difficulty: intermediate"), [90, 450, 720]);
    assert_eq!(seconds("difficulty: advanced"), [120, 600, 960]);
    assert_eq!(seconds("difficulty: advanced\npar: { mitigate: 3m }"), [120, 180, 960]);
    let found = try_lesson("par: { detect: 6m }").unwrap_err();
    assert!(found.contains("out of order") && found.contains("detect 360s, mitigate 300s"), "{found}");
    assert!(try_lesson("par: { detect: 0s }").is_err());
    assert_eq!(serde_json::to_string(&Par::default()).unwrap(), r#"{"detect":60.0,"mitigate":300.0,"resolve":480.0}"#);
}

#[test]
fn injects_replace_the_default_ones() {
    let defaults = lesson("ticket: Help!").injects;
    let first = Inject {
        at: Duration::from_mins(1),
        after: Trigger::Impact,
        from: "the customer".into(),
        text: "Help!".into(),
        ticket: true,
    };
    assert_eq!(defaults[0], first);
    let triggers: Vec<Trigger> = defaults.iter().map(|inject| inject.after).collect();
    assert_eq!(triggers, [Trigger::Impact, Trigger::Overdue, Trigger::Impact, Trigger::Mitigated]);
    assert_eq!(lesson("ticket: Help!\ninjects: []").injects, []);
    let own = lesson("ticket: Help!\ninjects: [{ at: 60s }, { at: 0s, after: resolved, from: sales, text: Thanks. }]");
    let second = Inject {
        at: Duration::ZERO,
        after: Trigger::Resolved,
        from: "sales".into(),
        text: "Thanks.".into(),
        ticket: false,
    };
    assert_eq!(own.injects, [first, second.clone()]);
    let json = r#"{"at":0.0,"after":"resolved","from":"sales","text":"Thanks."}"#;
    assert_eq!(serde_json::to_string(&second).unwrap(), json);
    for (wrong, message) in [
        ("{ at: 60s }", "no `text`, and the scenario has no `ticket`"),
        ("{ text: a }", "this inject has no `at`"),
        ("{ at: 61m, text: a }", "expected at most 60m"),
        ("{ at: 1s, after: mitigation, text: a }", "did you mean `mitigated`?"),
        ("a", "expected a mapping with `at` and `text`"),
    ] {
        let found = try_lesson(&format!("injects: [{wrong}]")).unwrap_err();
        assert!(found.contains(message), "{found}");
    }
    let many = vec!["{ at: 1s, text: a }"; 21].join(", ");
    assert!(try_lesson(&format!("injects: [{many}]")).unwrap_err().contains("the limit is 20"));
}

#[test]
fn a_diagnosis_comes_from_the_two_lists() {
    let text =
        "diagnosis: { where: gateway, what: credential not passed on, also: { where: account, what: has expired } }";
    let diagnosis = lesson(text).diagnosis.expect("it is stated");
    assert_eq!(diagnosis.to_string(), "gateway / credential not passed on, also account / has expired");
    for (wrong, message) in [
        ("{ where: gatway, what: slow }", "did you mean `gateway`?"),
        ("{ where: app, what: timeout to short }", "did you mean `timeout too short`?"),
        ("{ where: app }", "a diagnosis has no `what`"),
        ("{ where: app, what: slow, also: { where: app } }", "a second fault has no `what`"),
        ("{ where: app, what: slow, also: slow }", "`{ where: …, what: … }`"),
        ("slow", "`{ where: …, what: … }`"),
    ] {
        let found = try_lesson(&format!("diagnosis: {wrong}")).unwrap_err();
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn names_of_fixes_are_unique() {
    let found = try_lesson(
        "wrong_fixes: [{ name: a, why: No., steps: [{ stop: app }] }]\nother_fixes: [{ name: a, steps: [{ start: app }] }]",
    );
    assert!(found.unwrap_err().contains("two fixes are named `a`"));
    let found = try_lesson("other_fixes: [{ name: a, why: No., steps: [{ start: app }] }]").unwrap_err();
    assert!(found.contains("unknown key `why` in another fix"), "{found}");
}
