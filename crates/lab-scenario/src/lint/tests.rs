//! Each weakness is found with its place, and the library has none.

use crate::{LoadOptions, Source, library, load};

fn lints(more: &str) -> Vec<String> {
    let text = format!(
        "title: Everything is late\n{more}\nsteps:\n  - stop: app\n  - traffic:\n  - {{ name: fix, start: app }}\n"
    );
    let source = Source::Text { name: "test.yaml".into(), text };
    let plan = load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
    let line = |item: &lab_yaml::Diagnostic| format!("{}: {}", item.line().unwrap_or_default(), item.message);
    plan.lints.iter().map(line).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn texts_do_not_name_the_diagnosis() {
    let diagnosis =
        "diagnosis: { where: gateway, what: timeout too short, also: { where: account, what: has expired } }";
    let found = |texts: &str| lints(&format!("{diagnosis}\n{texts}"));
    assert_eq!(found("ticket: It says \"504 gateway timeout\"."), NONE);
    assert_eq!(
        found("ticket: Your gateway is bad."),
        ["3: the ticket gives the diagnosis away: it contains `gateway`"]
    );
    let expired = "3: the second hint gives the diagnosis away: it contains `has expired`";
    assert_eq!(found("hints: [Look., When does it expire?, The gateway has a timeout that is too short.]"), [expired]);
    let about = "3: `about` gives the diagnosis away: it contains `account`";
    assert_eq!(found("hints: [a, b, { about: The account, text: c }]"), [about]);
    let inject = "3: the inject gives the diagnosis away: it contains `timeout too short`";
    assert_eq!(found("injects: [{ at: 60s, text: Is the timeout too short? }]"), [inject]);
    let title = "3: the ticket contains the title of the scenario";
    assert_eq!(found("ticket: Since Monday everything is late."), [title]);
}

#[test]
fn a_diagnosis_does_not_contradict_itself() {
    let nowhere = "2: the diagnosis `nowhere / slow` contradicts itself";
    assert_eq!(lints("diagnosis: { where: nowhere, what: slow }"), [nowhere]);
    let twice = "2: the diagnosis states the same fault twice";
    assert_eq!(lints("diagnosis: { where: app, what: slow, also: { where: app, what: slow } }"), [twice]);
    assert_eq!(lints("diagnosis: { where: nowhere, what: nothing is wrong }"), NONE);
}

#[test]
fn all_hints_together_cost_less_than_everything() {
    assert_eq!(lints("hints: [a, b, c, d]"), NONE);
    assert_eq!(lints("hints: [a, b, c, d, e]"), ["2: the hints cost 120 % together"]);
    assert_eq!(lints("hints: [a, { text: b, cost: 89 }]"), NONE);
    assert_eq!(lints("hints: [a, { text: b, cost: 90 }]"), ["2: the hints cost 100 % together"]);
}

#[test]
fn fixes_can_be_told_apart() {
    let fix = |name: &str, steps: &str| format!("  - {{ name: {name}, why: It is no help., steps: [{steps}] }}\n");
    let found = |fixes: &[String]| lints(&format!("wrong_fixes:\n{}", fixes.concat()));
    let restart = "{ stop: app }, { start: app }";
    assert_eq!(found(&[fix("one", restart), fix("two", "{ stop: gateway }")]), NONE);
    let same = "4: `two` makes the same changes as `one`";
    assert_eq!(found(&[fix("one", restart), fix("two", "{ stop: app }, { wait: 1s }, { start: app }")]), [same]);
    assert_eq!(found(&[fix("one", "{ start: app }")]), ["3: `one` makes the same changes as the remedy"]);
    assert_eq!(found(&[fix("one", "{ wait: 1s }")]), ["3: `one` changes nothing"]);
    let other = "other_fixes: [{ name: again, steps: [{ stop: app }, { start: app }] }]";
    let both = lints(&format!("wrong_fixes:\n{}{other}", fix("one", restart)));
    assert_eq!(both, ["4: `again` makes the same changes as `one`"]);
}

#[test]
fn the_resolved_check_requires_nothing_that_nobody_can_guess() {
    let found = |fault: &str, fix: &str| {
        let text = format!(
            "title: T\nsteps:\n  - {fault}\n  - {{ phase: remedy, {fix} }}\nresolved_check:\n  \
             - check: {{ path: /, key: b, status: 200 }}\n  - check: {{ path: /, key: a, status: 401 }}\n"
        );
        let plan = load(&Source::Text { name: "test.yaml".into(), text }, &LoadOptions::default()).unwrap();
        plan.lints.iter().map(|item| (item.line(), item.message.clone())).collect::<Vec<_>>()
    };
    let stop = "stop: app";
    assert_eq!(found("rotate_key: { server: b }", "align_key: { caller: server }"), []);
    let guess = [(Some(5), "`resolved_check` requires the key `b`".to_owned())];
    assert_eq!(found(stop, "rotate_key: { server: b }"), guess);
    assert_eq!(found(stop, "rotate_key: { caller: b }"), guess);
    assert_eq!(found(stop, "set_env: { service: app, env: { APP_API_KEY: b } }"), guess);
    assert_eq!(found(stop, "rotate_key: { server: a }"), []);
}

#[test]
fn the_library_has_none() {
    for name in library::names() {
        let plan = load(&Source::Library(name.into()), &LoadOptions::default()).unwrap();
        let found: Vec<String> = plan.lints.iter().map(|item| item.render(false)).collect();
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    }
}
