//! Tests of the loader as a whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::lesson::Lesson;
use super::plan::{Action, Kind, Metric, Verb};
use super::{Diagnostics, LoadOptions, Plan, Source, library, load};
use lab_core::engine::{Ability, Endpoints, Roles, ServiceSpec, Settings};
use lab_core::event::Phase;
use lab_traffic::Amount;

mod drills;
mod limits;
mod slips;

fn read(text: &str) -> Result<Plan, Diagnostics> {
    let source = Source::Text { name: "test.yaml".into(), text: text.into() };
    load(&source, &LoadOptions::default())
}

fn steps(yaml: &str) -> Plan {
    read(&format!("title: Test\nsteps:\n{yaml}")).unwrap_or_else(|found| panic!("{found}"))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.name.as_str()).collect()
}

fn phases(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.phase.name()).collect()
}

#[test]
fn the_library_is_the_folder_and_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(library::names().map(str::to_owned).collect::<BTreeSet<_>>(), files);
    for name in library::names() {
        let plan =
            load(&Source::Library(name.into()), &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
        assert!(!plan.title.is_empty() && !plan.description.is_empty() && !plan.tags.is_empty(), "{name}");
    }
}

/// Texts for trainers, and claims for `prove`.
#[test]
fn every_story_of_the_library_is_whole() {
    let mut stories = 0;
    for name in library::names() {
        let plan = load(&Source::Library(name.into()), &LoadOptions::default()).unwrap();
        if plan.kind == Kind::Part {
            continue;
        }
        stories += 1;
        let Lesson { ticket, symptom, hints, solution, lessons, difficulty, .. } = &plan.lesson;
        assert!([ticket, symptom, solution].iter().all(|text| text.is_some()), "{name}");
        assert!(hints.len() >= 2 && !lessons.is_empty() && difficulty.is_some(), "{name}");
        let claims = &plan.claims;
        assert!(!claims.wrong_fixes.is_empty() && !claims.resolved_check.is_empty(), "{name}");
        assert_eq!(claims.symptom_check.is_empty(), plan.kind == Kind::Practice, "{name}");
    }
    assert_eq!(stories, 19);
}

#[test]
fn rotate_key_is_the_story_of_the_timeline() {
    let options = LoadOptions { set: vec![("requests".into(), "7".into())], ..LoadOptions::default() };
    let plan = load(&Source::Library("rotate-key".into()), &options).unwrap();
    assert_eq!(names(&plan), ["baseline", "rotate-key", "drive-traffic", "realign", "verify"]);
    assert_eq!(phases(&plan), ["baseline", "inject", "observe", "remedy", "verify"]);
    let Action::Traffic(traffic) = &plan.steps[2].action else { panic!("{:?}", plan.steps[2]) };
    assert_eq!(traffic.amount, Amount::Requests(7));
    let failures = &plan.steps[2].expect[2];
    assert_eq!((failures.metric_text.as_str(), failures.text.as_str()), ("auth_failures.delta", "== 7"));
    assert_eq!(plan.steps[2].expect[3].metric, Metric::StatusShare(401));
    assert_eq!(plan.parameters["requests"], "7");
}

#[test]
fn traffic_has_defaults() {
    let plan = steps("  - traffic:\n");
    let Action::Traffic(traffic) = &plan.steps[0].action else { panic!("{plan:?}") };
    assert_eq!((traffic.amount, traffic.rate, traffic.connections), (Amount::Requests(40), 20.0, 1));
    assert_eq!((traffic.path.as_str(), traffic.method.as_str()), ("/api/users", "GET"));
    assert_eq!((traffic.key.as_ref(), traffic.timeout), (None, Duration::from_secs(3)));
}

#[test]
fn values_keep_their_text() {
    let plan = steps("  - set_env: { service: app, env: { A: 0123, B: 1e3, C: 2.50, D: yes, E: ~, F: 'null' } }\n");
    let Action::Change(change) = &plan.steps[0].action else { panic!("{plan:?}") };
    let value = |name: &str| change.change.env[name].as_deref();
    assert_eq!(
        [value("A"), value("B"), value("C"), value("D")],
        [Some("0123"), Some("1e3"), Some("2.50"), Some("yes")]
    );
    assert_eq!([value("E"), value("F")], [None, Some("null")]);
    assert_eq!(change.verb, Verb::SetEnv);
}

#[test]
fn phases_follow_the_story() {
    let plan = steps(
        "  - traffic:\n  - wait: 1s\n  - stop: app\n  - traffic:\n  - start: app\n  - check: { path: /health }\n  - {phase: inject, traffic: {}}\n  - wait: 1s\n",
    );
    assert_eq!(phases(&plan), ["baseline", "baseline", "inject", "observe", "remedy", "verify", "inject", "observe"]);
}

#[test]
fn an_include_hands_down_its_phase() {
    let plan =
        steps("  - { scenario: rotate-key, phase: verify }\n  - { scenario: baseline, name: again, phase: observe }\n");
    assert_eq!(
        phases(&plan),
        ["baseline", "inject", "observe", "remedy", "verify", "observe"],
        "a step's own comes first"
    );
}

#[test]
fn names_are_unique() {
    let plan = steps(
        "  - wait: 1s\n  - wait: 1s\n  - { name: wait-2, wait: 1s }\n  - rotate_key: { server: a }\n  - { scenario: rotate-key, name: all }\n",
    );
    let expected = [
        "wait",
        "wait-3",
        "wait-2",
        "rotate-key",
        "all/baseline",
        "all/rotate-key",
        "all/drive-traffic",
        "all/realign",
        "all/verify",
    ];
    assert_eq!(names(&plan), expected);
}

#[test]
fn an_expectation_on_an_include_looks_at_all_of_its_steps() {
    let plan = steps("  - wait: 1s\n  - scenario: rotate-key\n    expect: { failed: '50%' }\n");
    let last = &plan.steps[5];
    assert_eq!(last.expect.last().unwrap().since, 1);
    assert_eq!(last.expect[0].since, 5, "its own looks at itself");
    assert_eq!(last.expect.last().unwrap().metric, Metric::FailedShare);
}

#[test]
fn parameters_are_filled_in_once() {
    let text = "title: T\nparameters: { a: { default: '$${b}' }, b: {} }\nsteps:\n  - check: { path: '/${b}', body: 'x ${a} $${a}' }\n";
    let source = Source::Text { name: "t.yaml".into(), text: text.into() };
    let path_and_body = |set: &str| {
        let plan =
            load(&source, &LoadOptions { set: vec![("b".into(), set.into())], ..LoadOptions::default() }).unwrap();
        let Action::Check(check) = &plan.steps[0].action else { panic!("{plan:?}") };
        (check.path.clone(), check.body.clone().unwrap_or_default())
    };
    assert_eq!(path_and_body("users"), ("/users".into(), "x ${b} ${a}".into()));
    assert_eq!(path_and_body("${a}").0, "/${a}", "what is put in is not looked at again");
}

#[test]
fn what_is_set_must_be_a_parameter() {
    let set = vec![("requets".to_owned(), "1".to_owned()), ("rate".into(), "none".into()), ("rate".into(), "2".into())];
    let found = load(&Source::Library("baseline".into()), &LoadOptions { set, ..LoadOptions::default() }).unwrap_err();
    let text = found.render(false);
    assert_eq!(found.items().len(), 2, "{text}");
    assert!(text.contains("no parameter `requets`") && text.contains("did you mean `requests`?"), "{text}");
    assert!(text.contains("`rate` is given twice"), "{text}");
}

#[test]
fn an_unknown_scenario_gets_a_suggestion() {
    let found = load(&Source::parse("rotate_keys"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(
        found.contains("there is no scenario `rotate_keys`") && found.contains("did you mean `rotate-key`?"),
        "{found}"
    );
    assert!(found.contains("lab scenario list"), "{found}");
    let found = load(&Source::parse("./none.yaml"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(found.contains("cannot read ./none.yaml: no such file"), "{found}");
}

#[test]
fn a_large_file_is_not_read() {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.as_file().set_len(50 << 20).unwrap();
    let found = load(&Source::Path(file.path().into()), &LoadOptions::default()).unwrap_err().to_string();
    assert!(found.contains("52428800 bytes"), "{found}");
}

#[test]
fn a_byte_order_mark_is_no_document() {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), "\u{feff}title: Marked\r\nsteps:\r\n  - wait: 1s\r\n").unwrap();
    let plan = load(&Source::Path(file.path().into()), &LoadOptions::default()).unwrap();
    assert_eq!(plan.title, "Marked");
    assert!(plan.steps[0].place.ends_with(":3:5"), "{}", plan.steps[0].place);
}

#[test]
fn a_file_beside_comes_before_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("realign.yaml", "title: Mine\nsteps:\n  - wait: 1s\n");
    write("main.yaml", "title: Main\nsteps:\n  - scenario: realign\n  - scenario: drive-traffic\n");
    let plan = load(&Source::Path(folder.path().join("main.yaml")), &LoadOptions::default()).unwrap();
    assert_eq!(names(&plan), ["wait", "drive-traffic"]);
    assert_eq!(plan.name, "main");
}

#[test]
fn includes_do_not_explode() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..12 {
        let include =
            format!("  - {{ scenario: f{}, name: a }}\n  - {{ scenario: f{}, name: b }}\n", number + 1, number + 1);
        std::fs::write(folder.path().join(format!("f{number}.yaml")), format!("title: F\nsteps:\n{include}")).unwrap();
    }
    std::fs::write(folder.path().join("f12.yaml"), "title: F\nsteps:\n  - wait: 1s\n").unwrap();
    let found = load(&Source::Path(folder.path().join("f0.yaml")), &LoadOptions::default()).unwrap_err().to_string();
    assert!(found.contains("too many includes"), "{found}");
}

#[test]
fn an_engine_refuses_what_it_cannot_do() {
    let plan = steps("  - traffic:\n  - { name: freeze, stop: db }\n  - pause: db\n  - kill: grafana\n");
    let spec = |name: &str, abilities: &[Ability]| ServiceSpec {
        name: name.into(),
        abilities: abilities.iter().copied().collect(),
        settings: Settings::Open,
    };
    let services = [spec("app", &[Ability::SetEnv, Ability::Stop]), spec("db", &[Ability::Pause])];
    let found = plan.check_engine("embedded", &services, &Roles::default()).unwrap_err();
    assert_eq!(found.items().len(), 2);
    assert_eq!(
        found.items()[0].message,
        "step `freeze` (test.yaml:4:21): `db` cannot be stopped on the embedded engine; it supports pause"
    );
    assert!(found.to_string().contains("`grafana` does not exist on the embedded engine"), "{found}");
}

#[test]
fn color_is_asked_for() {
    let found = read("title: x\n").unwrap_err();
    assert!(found.render(true).contains('\u{1b}') && !found.render(false).contains('\u{1b}'));
}

/// Texts that are slow to parse or that contain too many errors to read.
#[test]
fn no_text_takes_long() {
    let many = |text: &str| text.repeat((1 << 19) / text.len());
    let mut parameters = String::from("title: x\nsteps: []\nparameters:\n");
    (0..15_000).for_each(|number| writeln!(parameters, "  a{number}:").unwrap());
    let texts = [
        many("["),
        many("{a: "),
        many("- "),
        many("? "),
        many("a: 1\n"),
        many("${a} "),
        format!("title: x\nsteps:\n{}", "  - traffic: {}\n".repeat(10_000)),
        format!("title: [{}]", "é, ".repeat(45_000)),
        format!("title: {}", "a ".repeat(500_000)),
        parameters,
    ];
    for text in texts {
        let start = Instant::now();
        let found = read(&text).unwrap_err();
        assert!(!found.render(false).is_empty());
        // Without the limits, some of these take minutes.
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}: {}", start.elapsed(), &text[..40]);
    }
}

#[test]
fn every_phase_is_known() {
    for phase in Phase::ALL {
        assert_eq!(steps(&format!("  - wait: 1s\n    phase: {}\n", phase.name())).steps[0].phase, phase);
    }
}

#[test]
fn callers_share_what_a_step_sends() {
    let plan = read(
        "title: T\ncallers: { web: { rate: 30, connections: 4 }, batch: { rate: 10 } }\nsteps:\n  \
         - traffic: { requests: 40 }\n  - traffic: { duration: 2s, rate: 4, callers: [batch, web] }\n  \
         - traffic: { requests: 7, callers: batch, connections: 2 }\n",
    )
    .unwrap_or_else(|found| panic!("{found}"));
    let parts = |index: usize| {
        let Action::Traffic(traffic) = &plan.steps[index].action else { panic!("{plan:?}") };
        let part = |load: &super::plan::CallerLoad| (load.name.clone(), load.amount, load.rate, load.connections);
        traffic.callers.iter().map(part).collect::<Vec<_>>()
    };
    let (web, batch) = ("web".to_owned(), "batch".to_owned());
    let expected = [(web.clone(), Amount::Requests(30), 30.0, 4), (batch.clone(), Amount::Requests(10), 10.0, 1)];
    assert_eq!(parts(0), expected);
    let both = Amount::Duration(Duration::from_secs(2));
    assert_eq!(parts(1), [(web, both, 3.0, 4), (batch.clone(), both, 1.0, 1)]);
    assert_eq!(parts(2), [(batch, Amount::Requests(7), 10.0, 2)]);
}

#[test]
fn callers_hold_for_files_that_are_included_unless_those_have_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("own.yaml", "title: Own\ncallers: { mine: ~ }\nsteps:\n  - traffic:\n");
    write(
        "main.yaml",
        "title: Main\ncallers: { web: ~ }\nsteps:\n  - scenario: drive-traffic\n  - scenario: own\n  - traffic:\n",
    );
    let plan = load(&Source::Path(folder.path().join("main.yaml")), &LoadOptions::default()).unwrap();
    let names = plan.steps.iter().map(|step| match &step.action {
        Action::Traffic(traffic) => traffic.callers[0].name.as_str(),
        other => panic!("{other:?}"),
    });
    assert_eq!(names.collect::<Vec<_>>(), ["web", "mine", "web"]);
    assert_eq!(plan.callers.iter().map(|caller| caller.name.as_str()).collect::<Vec<_>>(), ["web", "mine"]);
    write("own.yaml", "title: Own\ncallers: { web: { rate: 5 } }\nsteps:\n  - traffic:\n");
    let found = load(&Source::Path(folder.path().join("main.yaml")), &LoadOptions::default()).unwrap_err();
    assert!(found.to_string().contains("two callers are named `web`"), "{found}");
}

#[test]
fn engines_and_commands_are_looked_at_before_a_run() {
    let plan = read(
        "title: T\nengines: [docker]\nsteps:\n  - { name: mend, run: { command: [make, it, well] } }\n  \
         - { name: ask, wait_for: { query: up } }\n",
    )
    .unwrap_or_else(|found| panic!("{found}"));
    let found = plan.check_engine("embedded", &[], &Roles::default()).unwrap_err().to_string();
    assert!(found.contains("test cannot run on the embedded engine") && found.contains("`docker`"), "{found}");
    let found = plan.check_engine("docker", &[], &Roles::default()).unwrap_err().to_string();
    assert!(found.contains("step `ask` (test.yaml:5:") && found.contains("no Prometheus"), "{found}");
    let with =
        |prometheus: Option<&str>| Endpoints { prometheus: prometheus.map(str::to_owned), ..Endpoints::default() };
    assert!(plan.check_lab("budget", &with(Some("http://127.0.0.1:1"))).is_ok());
    assert!(plan.check_lab("budget", &with(None)).is_err());
    let found = plan.check_commands(false).unwrap_err().to_string();
    assert!(found.contains("step `mend`") && found.contains("--allow-commands"), "{found}");
    assert!(plan.check_commands(true).is_ok());
}

#[test]
fn a_secret_is_in_no_message_and_no_listing() {
    let text = "title: T\nparameters: { token: { secret: true } }\nsteps:\n  - { scenario: inner, with: { rate: \"${token}\" } }\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.yaml"), text).unwrap();
    let inner = "title: I\nparameters: { rate: {} }\nsteps:\n  - traffic: { rate: \"${rate}\" }\n";
    std::fs::write(folder.path().join("inner.yaml"), inner).unwrap();
    let source = Source::Path(folder.path().join("main.yaml"));
    let set = |token: &str| LoadOptions { set: vec![("token".into(), token.into())], ..LoadOptions::default() };
    for wrong in ["hush-hush", "hus"] {
        let found = load(&source, &set(wrong)).unwrap_err().to_string();
        assert!(found.contains("***") && !found.contains("hus"), "{found}");
    }
    let twice = LoadOptions { set: [set("hush-hush").set, set("hush-hush").set].concat(), ..LoadOptions::default() };
    assert!(!load(&source, &twice).unwrap_err().to_string().contains("hush"));
    let plan = load(&source, &set("12345")).unwrap();
    assert_eq!(plan.parameters["token"], "***");
    assert_eq!(plan.secrets.mask("rate 12345/s"), "rate ***/s");
}
