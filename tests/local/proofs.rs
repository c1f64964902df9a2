//! `lab scenario prove`: the library is proven, and false claims are detected.

use rustix::process::Signal;

use crate::desk::Desk;

/// Scenario with a stopped gateway, and with the given checks and wrong fixes.
fn incident(symptom: &str, resolved: &str, fixes: &str) -> String {
    format!(
        "title: Gateway down\ndescription: It is stopped.\ntags: [test]\nsteps:\n  - traffic: {{ requests: 3, rate: 100 }}\n  \
         - stop: gateway\n  - traffic: {{ requests: 3, rate: 100 }}\n  - start: gateway\n  \
         - {{ name: verify, traffic: {{ requests: 3, rate: 100 }}, expect: {{ status.200: \"100%\" }} }}\n\
         symptom_check: [{symptom}]\nresolved_check: [{resolved}]\nwrong_fixes: [{fixes}]\n"
    )
}

const SYMPTOM: &str = "{ traffic: { requests: 2, rate: 100 }, expect: { failed: '100%' } }";
const RESOLVED: &str = "{ check: { path: /health } }";
const RESTART: &str = "{ name: restart-the-app, why: It is fine., steps: [{ stop: app }, { start: app }] }";

#[test]
fn the_library_is_proven() {
    let desk = Desk::new();
    let result = desk.lab(&["scenario", "prove", "--all", "--format", "json"]).status(0);
    let proofs = result.json();
    let proofs = proofs.as_array().expect("a list");
    let find = |name: &str| proofs.iter().find(|proof| proof["scenario"] == name).expect("it exists");
    assert_eq!(find("baseline")["status"], "exempt");
    let rotate_key = find("rotate-key");
    assert_eq!(rotate_key["status"], "proven", "{rotate_key}");
    let parts = rotate_key["parts"].as_array().expect("a list");
    assert_eq!(parts.len(), 7, "{parts:?}");
    assert!(parts.iter().all(|part| part["passed"] == true), "{parts:?}");
    desk.assert_clean();
}

#[test]
fn a_failed_claim_is_reported_with_the_observation() {
    let desk = Desk::new();
    let file = |name: &str, text: String| desk.write(&format!("{name}.yaml"), &text);
    let right = file("right", incident(SYMPTOM, RESOLVED, RESTART));
    desk.lab(&["scenario", "prove", &right])
        .status(0)
        .says("proven")
        .says("healthy, broken, fixed, 1 wrong fix, undone");

    // The expectation passes without the fault, and the check for recovery passes during it.
    let always = file(
        "always",
        incident("{ check: { path: /health } }", "{ traffic: { requests: 1 }, expect: { sent: 1 } }", ""),
    );
    let result = desk.lab(&["scenario", "prove", &always]).status(1).says("not proven").says("not healthy, not broken");
    result.says("passes although nothing is broken").says("is still broken").says("check.status == 200, seen no");

    // The declared wrong fix really fixes the incident.
    let start = "{ name: start-it, why: No., steps: [{ start: gateway }] }";
    let fixed = file("fixed", incident(SYMPTOM, RESOLVED, start));
    desk.lab(&["scenario", "prove", &fixed]).status(1).says("0 of 1 wrong fix").says("this fix is not wrong");
    desk.assert_clean();
}

#[test]
fn an_unprovable_scenario_is_refused_before_a_lab_starts() {
    let desk = Desk::new();
    let none = desk.write("none.yaml", "title: T\ndescription: d\ntags: [t]\nsteps: [{ stop: app }, { start: app }]\n");
    desk.lab(&["scenario", "prove", &none]).status(2).says("none has no `symptom_check`");
    let steps = incident(SYMPTOM, RESOLVED, "{ name: stop-db, why: No., steps: [{ stop: db }] }");
    let db = desk.write("db.yaml", &steps);
    desk.lab(&["scenario", "prove", &db])
        .status(2)
        .says("skipped")
        .says("step `stop` (")
        .says("be stopped on the embedded engine");
    desk.lab(&["scenario", "prove", "baseline"]).status(0).says("exempt");
    desk.lab(&["scenario", "prove"]).status(2);
    desk.assert_clean();
}

#[test]
fn an_interrupted_proof_leaves_nothing() {
    let desk = Desk::new();
    for after in [0, 100, 300, 700] {
        let run = desk.start(&["scenario", "prove", "rotate-key", "rotate-key", "rotate-key", "--jobs", "2"]);
        std::thread::sleep(std::time::Duration::from_millis(after));
        run.signal(Signal::INT);
        let result = run.wait();
        // None if the signal arrived before its handler was installed.
        assert!(matches!(result.code(), Some(130) | None), "{result:?}");
        desk.assert_clean();
    }
}

#[test]
fn a_killed_proof_is_recovered() {
    let desk = Desk::new();
    for after in [200, 600] {
        let run = desk.start(&["scenario", "prove", "rotate-key", "rotate-key"]);
        std::thread::sleep(std::time::Duration::from_millis(after));
        run.signal(Signal::KILL);
        run.wait();
        desk.lab(&["recover", "--all"]).status(0);
        desk.assert_clean();
    }
}
