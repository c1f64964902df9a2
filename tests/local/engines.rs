//! Every scenario gives the same deltas on the embedded engine and on the mock engine.

use std::sync::Mutex;

use lab_scenario::library;

use crate::desk::Desk;
use crate::run_outcome::{assert_same_outcome, outcome_of, outcome_on_mock, short_run};

#[test]
fn every_scenario_gives_the_same_deltas_embedded_as_on_the_mock() {
    let names = Mutex::new(library::names());
    let refused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let desk = Desk::new();
                desk.lab(&["up", "--port", "0"]).status(0);
                loop {
                    let Some(name) = names.lock().expect("not poisoned").next() else { break };
                    let args = short_run(name, "json");
                    let result = desk.lab(&args.iter().map(String::as_str).collect::<Vec<_>>());
                    if result.code() == Some(2) {
                        result.complains("embedded");
                        refused.lock().expect("not poisoned").push(name);
                        continue;
                    }
                    assert_same_outcome(
                        &outcome_of(&result.status(0)),
                        &outcome_on_mock(name),
                        &format!("{name} embedded and on the mock"),
                    );
                }
            });
        }
    });
    assert_eq!(refused.into_inner().expect("not poisoned"), ["db-down"]);
}
