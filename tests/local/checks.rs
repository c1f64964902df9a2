//! `lab scenario check` on a real lab.

use crate::desk::Desk;

#[test]
fn a_check_reports_what_fails_and_changes_nothing() {
    let desk = Desk::new();
    desk.lab(&["scenario", "check", "rotate-key"]).status(3).complains("does not exist").complains("lab up");
    desk.lab(&["up", "--port", "0"]).status(0);
    // With another key than the default, to see that the check uses the parameters of the run.
    desk.lab(&["scenario", "run", "rotate-key", "--until", "observe", "--set", "new_key=fresh"]).status(0);
    let before = desk.status();
    desk.lab(&["scenario", "check", "rotate-key"])
        .status(1)
        .complains("with the parameters of run ")
        .says("failed  GET /api/users is 200")
        .says("check.status: expected == 200, observed 401")
        .says("not resolved: 1 of 3 checks failed");
    desk.lab(&["scenario", "check", "rotate-key", "--symptom"]).status(0).says("symptom present: all 2 checks passed");
    let json = desk.lab(&["scenario", "check", "rotate-key", "--json"]).status(1).json();
    assert_eq!((&json["passed"], &json["check"]), (&false.into(), &"resolved_check".into()), "{json}");
    assert_eq!(json["parameters"]["new_key"], "fresh", "{json}");
    assert_eq!(json["checks"][0]["expectations"][0]["observed_text"], "401", "{json}");
    assert_eq!(json["checks"][1]["status"], "passed", "{json}");
    assert_eq!(desk.status(), before);

    // A wrong fix does not count.
    desk.lab(&["key", "rotate", "apikey-v1"]).status(0);
    desk.lab(&["scenario", "check", "rotate-key"]).status(1);
    desk.lab(&["key", "rotate", "fresh"]).status(0);
    desk.lab(&["key", "align"]).status(0);
    desk.lab(&["scenario", "check", "rotate-key"]).status(0).says("resolved: all 3 checks passed");
    desk.lab(&["scenario", "check", "rotate-key", "--set", "new_key=other"]).status(1);
    desk.lab(&["scenario", "check", "rotate-key", "--symptom"]).status(1).says("symptom absent: 1 of 2 checks failed");
}

#[test]
fn a_lab_without_the_incident_is_not_called_unresolved() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let ran = desk.lab(&["scenario", "check", "rotate-key"]).status(1);
    let ran = ran.says("lab default does not show this incident").says("lab scenario run rotate-key --until observe");
    assert!(!ran.stdout.contains("not resolved"), "{ran:?}");
    assert_eq!(desk.lab(&["scenario", "check", "rotate-key", "--json"]).status(1).json()["absent"], true);
    // Caused by hand, it is the same incident.
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    desk.lab(&["scenario", "check", "rotate-key"]).status(1).says("not resolved: 1 of 3 checks failed");
    assert_eq!(desk.lab(&["scenario", "check", "rotate-key", "--json"]).status(1).json()["absent"], false);
}

#[test]
fn a_secret_of_the_run_that_the_check_lacks_is_named() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let text = "title: T
parameters:
  token: { default: apikey-default, secret: true }
steps:
  - rotate_key: { server: \"${token}\" }
  - { name: observe, traffic: { requests: 4, rate: 100 } }
resolved_check:
  - check: { path: /api/users, key: \"${token}\", status: 200 }
";
    let file = desk.write("secret.yaml", text);
    desk.lab(&["scenario", "run", &file, "--until", "observe", "--set", "token=apikey-of-mine"]).status(0);
    desk.lab(&["scenario", "check", &file])
        .status(1)
        .complains("secret parameter token")
        .complains("--set token=VALUE");
    let ran = desk.lab(&["scenario", "check", &file, "--set", "token=apikey-of-mine"]).status(0);
    assert!(!ran.stderr.contains("secret parameter"), "{ran:?}");
}

#[test]
fn a_scenario_without_the_check_is_refused() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["scenario", "check", "baseline"]).status(2).complains("baseline has no `resolved_check`");
    desk.lab(&["scenario", "check", "bad-deploy", "--symptom"])
        .status(2)
        .complains("bad-deploy has no `symptom_check`")
        .complains("omit --symptom");
    desk.lab(&["scenario", "check", "nowhere"]).status(2).complains("nowhere");
    desk.lab(&["scenario", "check", "rotate-key", "--set", "nonsense=1"]).status(2).complains("nonsense");
}

#[test]
fn a_fault_stays_until_it_is_fixed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    // `blind` has a second observe step after its first fix.
    desk.lab(&["scenario", "run", "blind", "--until", "observe", "--set", "rate=100"]).status(0);
    desk.lab(&["scenario", "check", "blind", "--symptom"]).status(0);
    desk.lab(&["scenario", "check", "blind"]).status(1).says("not resolved: 2 of 3 checks failed");
}

#[test]
fn a_run_waits_for_a_person() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "person.yaml",
        "title: Fix it yourself
steps:
  - rotate_key: { server: apikey-v2 }
  - traffic: { requests: 4, rate: 100 }
  - { name: person, phase: remedy, wait_for: { resolved: true, timeout: 15s, every: 1m } }
  - { name: verify, phase: verify, traffic: { requests: 4, rate: 100 }, expect: { status.200: \"100%\" } }
resolved_check:
  - check: { path: /api/users, status: 200 }
  - check: { path: /api/users, key: apikey-v2, status: 200 }
",
    );
    desk.lab(&["scenario", "run", &file, "--dry-run"]).status(0).says("until the resolved check passes, at");
    desk.lab(&["scenario", "prove", &file]).status(2).says("person waits until a person has fixed");
    let mut run = desk.start(&["scenario", "run", &file, "--format", "ndjson"]);
    let mut lines = run.lines();
    let waiting = lines.find(|line| line.contains("step_started") && line.contains("\"person\""));
    assert!(waiting.is_some(), "the step waits");
    desk.lab(&["key", "align"]).status(0);
    let last = lines.last().unwrap_or_default();
    assert!(last.contains("\"passed\""), "{last}");
    run.wait().status(0);
    assert_eq!(desk.status()["keys"]["server"], "apikey-v1", "the rotation is undone");
}
