//! A run on containers that is killed: `lab recover` makes the lab what it was. A sample of what `tests/local/kills.rs` does at
//! every event.

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::write_small_stack;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_run_that_is_killed_is_put_back_by_recover", killed)]
}

/// While the key is rotated, while the callers are refused, and while it is put back.
async fn killed() {
    let user = Cli::new("killed");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let before = sight(&user);
    for (moment, changed) in [
        // It may die before it has written what it is about to change: then nothing is changed, and nothing owed.
        (r#""event":"step_started","index":1"#, false),
        (r#""event":"step_started","index":2"#, true),
        (r#""event":"undo_started""#, true),
    ] {
        let args = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100", "--format", "ndjson"];
        let mut run = user.start(&args);
        run.until(moment);
        run.signal(Signal::KILL);
        run.ran();
        let recovered = user.lab(&["recover"]).status(0);
        if changed {
            recovered.says("is as before the run");
        }
        assert_eq!(sight(&user), before, "killed at {moment}");
    }
    user.finish();
}

/// All of the lab that the run may change.
fn sight(user: &Cli) -> Value {
    let mut status = user.lab(&["status", "--json"]).status(0).json();
    for service in status["services"].as_array_mut().expect("a list") {
        let service = service.as_object_mut().expect("a mapping");
        service.retain(|key, _| ["name", "state", "env"].contains(&key.as_str()));
    }
    let status = status.as_object_mut().expect("a mapping");
    status.retain(|key, _| ["keys", "gateway", "services", "undo", "run", "state"].contains(&key.as_str()));
    Value::Object(std::mem::take(status))
}
