//! `lab scenario prove`: what is in the library proves itself, and what is not as it claims to be is found out.

use rustix::process::Signal;

use crate::desk::Desk;

/// An incident of a stopped gateway, with what is given instead of its own checks.
fn incident(symptom: &str, resolved: &str, fixes: &str) -> String {
    format!(
        "title: The gateway is gone\ndescription: It is stopped.\ntags: [test]\nsteps:\n  - traffic: {{ requests: 3, rate: 100 }}\n  \
         - stop: gateway\n  - traffic: {{ requests: 3, rate: 100 }}\n  - start: gateway\n  \
         - {{ name: verify, traffic: {{ requests: 3, rate: 100 }}, expect: {{ status.200: \"100%\" }} }}\n\
         symptom_check: [{symptom}]\nresolved_check: [{resolved}]\nwrong_fixes: [{fixes}]\n"
    )
}

const GONE: &str = "{ traffic: { requests: 2, rate: 100 }, expect: { failed: '100%' } }";
const THERE: &str = "{ check: { path: /health } }";
const RESTART: &str = "{ name: restart-the-app, why: It is fine., steps: [{ stop: app }, { start: app }] }";

#[test]
fn the_library_proves_itself() {
    let desk = Desk::new();
    let ran = desk.lab(&["scenario", "prove", "--all", "--format", "json"]).status(0);
    let proofs = ran.json();
    let proofs = proofs.as_array().expect("a list");
    let find = |name: &str| proofs.iter().find(|proof| proof["scenario"] == name).expect("it is there");
    assert_eq!(find("baseline")["status"], "exempt");
    let rotate_key = find("rotate-key");
    assert_eq!(rotate_key["status"], "proven", "{rotate_key}");
    let parts = rotate_key["parts"].as_array().expect("a list");
    assert_eq!(parts.len(), 6, "{parts:?}");
    assert!(parts.iter().all(|part| part["passed"] == true), "{parts:?}");
    desk.is_clean();
}

#[test]
fn a_claim_that_does_not_hold_is_told_with_what_was_seen() {
    let desk = Desk::new();
    let file = |name: &str, text: String| desk.write(&format!("{name}.yaml"), &text);
    let right = file("right", incident(GONE, THERE, RESTART));
    desk.lab(&["scenario", "prove", &right])
        .status(0)
        .says("proven")
        .says("healthy, broken, fixed, 1 wrong fix, undone");

    // The expectation passes without the fault, and the check for recovery passes during it.
    let always = file(
        "always",
        incident("{ check: { path: /health } }", "{ traffic: { requests: 1 }, expect: { sent: 1 } }", ""),
    );
    let ran = desk.lab(&["scenario", "prove", &always]).status(1).says("not proven").says("not healthy, not broken");
    ran.says("passes although nothing is broken").says("is still broken").says("check.status == 200, seen no");

    // The step that is declared a wrong fix is the remedy.
    let start = "{ name: start-it, why: No., steps: [{ start: gateway }] }";
    let fixed = file("fixed", incident(GONE, THERE, start));
    desk.lab(&["scenario", "prove", &fixed]).status(1).says("0 of 1 wrong fix").says("this fix is not wrong");
    desk.is_clean();
}

#[test]
fn what_cannot_be_proved_is_said_before_a_lab_is_made() {
    let desk = Desk::new();
    let none = desk.write("none.yaml", "title: T\ndescription: d\ntags: [t]\nsteps: [{ stop: app }, { start: app }]\n");
    desk.lab(&["scenario", "prove", &none]).status(2).says("none has no `symptom_check`");
    let steps = incident(GONE, THERE, "{ name: stop-db, why: No., steps: [{ stop: db }] }");
    let db = desk.write("db.yaml", &steps);
    desk.lab(&["scenario", "prove", &db])
        .status(2)
        .says("skipped")
        .says("step `stop` (")
        .says("be stopped on the embedded engine");
    desk.lab(&["scenario", "prove", "baseline"]).status(0).says("exempt");
    desk.lab(&["scenario", "prove"]).status(2);
    desk.is_clean();
}

#[test]
fn an_interrupted_proof_leaves_nothing() {
    let desk = Desk::new();
    for after in [0, 100, 300, 700] {
        let run = desk.start(&["scenario", "prove", "rotate-key", "rotate-key", "rotate-key", "--jobs", "2"]);
        std::thread::sleep(std::time::Duration::from_millis(after));
        run.signal(Signal::INT);
        let ran = run.ran();
        // None: it came before anything had begun.
        assert!(matches!(ran.code(), Some(130) | None), "{ran:?}");
        desk.is_clean();
    }
}

#[test]
fn a_proof_that_is_killed_is_recovered() {
    let desk = Desk::new();
    for after in [200, 600] {
        let run = desk.start(&["scenario", "prove", "rotate-key", "rotate-key"]);
        std::thread::sleep(std::time::Duration::from_millis(after));
        run.signal(Signal::KILL);
        run.ran();
        desk.lab(&["recover", "--all"]).status(0);
        desk.is_clean();
    }
}
