//! Small files that demand a lot: each is rejected at the right place, or shares what it repeats. Nothing is timed
//! here.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{LoadOptions, Source, load, names, read, steps};
use lab_yaml::Diagnostic;

fn refused(text: &str) -> Vec<Diagnostic> {
    read(text).map(|plan| names(&plan).len()).expect_err("too much").items().to_vec()
}

fn only(text: &str) -> Diagnostic {
    let mut found = refused(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_parameter_counts_as_often_as_it_is_used() {
    let big = "x".repeat(20_000);
    let parameters = format!("title: T\nparameters: {{ big: {{ default: '{big}' }} }}\nsteps:\n");
    let once = only(&format!("{parameters}  - check: {{ path: /, body: '{}' }}\n", "${big}".repeat(5000)));
    assert!(once.message.contains("holds too much text") && once.label.contains("2 MiB"), "{once:?}");
    assert_eq!((once.line(), once.column()), (Some(4), Some(29)));
    let often = only(&format!("{parameters}{}", "  - check: { path: /, body: '${big}' }\n".repeat(900)));
    assert_eq!(often.message, once.message);
    assert!(often.line().is_some_and(|line| line > 3 + 90), "where it goes too far: {often:?}");
    for step in ["set_env: { service: app, env: { A: '${big}' } }", "run: { command: [say, '${big}'] }"] {
        let found = only(&format!("{parameters}{}", format!("  - {step}\n").repeat(900)));
        assert_eq!(found.message, once.message);
    }
    assert!(read(&format!("{parameters}{}", "  - check: { path: /, body: '${big}' }\n".repeat(90))).is_ok());
}

#[test]
fn a_file_counts_as_often_as_it_is_included() {
    let folder = tempfile::tempdir().unwrap();
    let inner = format!(
        "title: I\nparameters: {{ big: {{ default: '{}' }} }}\nsteps:\n  - check: {{ path: '/${{big}}' }}\n",
        "x".repeat(1500)
    );
    std::fs::write(folder.path().join("inner.yaml"), inner).unwrap();
    let main = folder.path().join("main.yaml");
    let found = |times: usize| {
        std::fs::write(&main, format!("title: M\nsteps:\n{}", "  - scenario: inner\n".repeat(times))).unwrap();
        load(&Source::Path(main.clone()), &LoadOptions::default()).map(|plan| plan.steps.len())
    };
    assert_eq!(found(500), Ok(500));
    let found = found(900).unwrap_err();
    assert_eq!(found.len(), 1, "{found}");
    assert!(found.to_string().contains("holds too much text"), "{found}");
}

#[test]
fn a_number_counts_by_its_text_also_by_an_alias() {
    let number = format!("0.{}", "0".repeat(20_000));
    for number in [number.clone(), number.replace("0.", "0x")] {
        let found = only(&format!("title: &a {number}\ntags: [{}]\nsteps: [{{ wait: 1s }}]\n", ["*a"; 200].join(", ")));
        assert!(found.message.contains("too large with its aliases"), "{found:?}");
        assert!(found.place.is_some_and(|place| place.span().len() < 300));
    }
    let found = only(&format!("title: T\nsteps: []\n0.{}: x\n", "0".repeat(300)));
    assert_eq!((found.message.as_str(), found.line()), ("a key is too long", Some(3)));
}

#[test]
fn steps_share_what_comes_before_them() {
    let plan = steps(
        "  - { name: a, wait: 1s }\n  - { name: b, wait: '${steps.a.duration}' }\n  - wait: '${steps.a.duration}'\n",
    );
    let deferred = |index: usize| plan.steps[index].deferred.as_ref().expect("it waits as long as `a` took");
    assert!(Arc::ptr_eq(&deferred(1).scope, &deferred(2).scope));
    assert!(Arc::ptr_eq(&deferred(1).context.earlier[0], &deferred(2).context.earlier[0]));
}

#[test]
fn of_many_names_a_few_are_listed_and_looked_for() {
    let mut text = String::from("title: x\nparameters:\n");
    (0..200).for_each(|number| writeln!(text, "  name-{number}:").unwrap());
    text.push_str("steps:\n");
    (0..200).for_each(|number| writeln!(text, "  - check: {{ path: '/${{nname-{number}}}' }}").unwrap());
    let found = refused(&text);
    let unknown: Vec<_> = found.iter().filter(|found| found.message.starts_with("unknown parameter")).collect();
    assert_eq!(unknown.len(), 200);
    assert!(unknown.iter().all(|found| found.help[0].ends_with("`name-19` and 180 more")), "{:?}", unknown[0]);
    let meant = unknown.iter().filter(|found| found.label.starts_with("did you mean")).count();
    assert_eq!(meant, 50);
    let unused = found.iter().filter(|found| found.message.ends_with("is not used")).count();
    assert_eq!(unused, 150, "one that was misspelt is used");
}

#[test]
fn no_more_mistakes_are_kept_than_anyone_reads() {
    let mut text = String::from("title: x\nsteps: [{ wait: 1s }]\nparameters:\n");
    (0..15_000).for_each(|number| writeln!(text, "  a{number}:").unwrap());
    assert_eq!(refused(&text).len(), 10_000);
}

#[test]
fn a_step_has_the_outputs_of_what_it_asks_alone() {
    let asks = [
        ("check: { path: / }", "status body", "value"),
        ("wait_for: { path: / }", "status body", "value"),
        ("wait_for: { query: up }", "value", "status body"),
        ("wait_for: { alert: A }", "duration", "status body value"),
        ("wait_for: { metrics: { requests.delta: '> 1' } }", "duration", "status body value"),
        ("wait: 1s", "duration", "status body value"),
    ];
    for (step, has, lacks) in asks {
        let use_of = |output: &str| {
            let text = format!(
                "title: T\nsteps:\n  - {{ name: w, {step} }}\n  - check: {{ path: /, body: '${{steps.w.{output}}}' }}\n"
            );
            read(&text).map(|plan| plan.steps.len())
        };
        has.split(' ').for_each(|output| assert_eq!(use_of(output), Ok(2), "{step}: {output}"));
        for output in lacks.split(' ') {
            let found = use_of(output).expect_err(output).items().to_vec();
            assert_eq!((found.len(), found[0].line(), found[0].column()), (1, Some(4), Some(30)), "{step}: {found:?}");
            assert!(found[0].message.contains(&format!("has no output `{output}`")), "{found:?}");
        }
    }
}
