//! Comparison of runs of one scenario on several engines: the compared parts ([`outcome`]), and runs on the mock engine
//! ([`outcome_on_mock`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use lab_core::event::Event;
use lab_report::report::journal::Journal;
use lab_runner::lab::{Record, StateFolder};
use lab_runner::runner::{Interrupt, Run, run};
use lab_scenario::{LoadOptions, Plan, Source, load};
use lab_telemetry::metrics::names::{AUTH_FAILURES, AUTH_SUCCESS, COUNTERS, REQUESTS};
use lab_testkit::engine::MockEngine;
use lab_testkit::wire::MockWire;
use serde_json::{Value, json};

use crate::command::CommandOutput;

/// The number of pool timeouts depends on the lock timeout of a frozen database, which is 250 ms for `SQLite` and 500 ms for
/// Postgres. Scenarios about pool timeouts have expectations for them.
const POOL_TIMEOUTS: &str = "app_db_pool_timeouts_total";

/// Exit code of a run, and for each step its requests, responses, counters and results of expectations.
pub(crate) type Outcome = (Option<i32>, Vec<Value>);

/// Arguments for a run of a scenario of the library with its short parameters. `format` is `json` or `ndjson`.
pub(crate) fn short_run(name: &str, format: &str) -> Vec<String> {
    let mut args = ["scenario", "run", name, "--format", format].map(str::to_owned).to_vec();
    let long = read(name, false).parameters;
    for (parameter, value) in read(name, true).parameters {
        if long[&parameter] != value {
            args.extend(["--set".to_owned(), format!("{parameter}={value}")]);
        }
    }
    args
}

/// Runs a scenario with its short parameters on the mock engine.
pub(crate) fn outcome_on_mock(name: &str) -> Outcome {
    let plan = read(name, true);
    // In a separate thread, whose runtime has a paused clock.
    let run = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(execute(plan))
    });
    run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read(name: &str, short: bool) -> Plan {
    let options = LoadOptions { short, ..LoadOptions::default() };
    load(&Source::Library(name.to_owned()), &options).unwrap_or_else(|found| panic!("{found}"))
}

async fn execute(plan: Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lab = StateFolder::at(folder.path()).and_then(|state| state.lab("default")).expect("a name");
    lab.save(&Record::new("mock", 0)).expect("a writable path");
    let engine = MockEngine::running("apikey-v1");
    let before = engine.state();
    let run_of = Run {
        plan,
        lab,
        engine: Arc::new(engine.clone()),
        wire: Arc::new(MockWire::new(engine.clone())),
        processes: None,
        id: "20261124T101530.123Z-7f3a".to_owned(),
        keep: false,
        until: None,
        owned: false,
        interrupt: Interrupt::new(),
        progress: Arc::new(|_| {}),
    };
    let mut events: Vec<Event> = Vec::new();
    let ended = run(run_of, |event| {
        events.push(event.clone());
        Ok(())
    });
    let code = ended.await.exit as i32;
    assert_eq!(engine.state(), before, "the state of the engine is restored");
    let journal = Journal::from_events(&events).expect("the run has begun");
    outcome(Some(code), &serde_json::to_value(journal).expect("a journal is JSON"))
}

/// Asserts that two runs are equal. The message shows the first step that differs.
#[track_caller]
pub(crate) fn assert_same_outcome(one: &Outcome, other: &Outcome, what: &str) {
    for (one, other) in one.1.iter().zip(&other.1) {
        let (mut one, mut other) = (one.clone(), other.clone());
        // Whether a slow request ends during a step is a matter of time. If it does in one run, neither has exact deltas.
        if [&one, &other].into_iter().any(|step| step["deltas"] == json!({})) {
            (one["deltas"], other["deltas"]) = (Value::Null, Value::Null);
        }
        assert_eq!(one, other, "{what}:\n{one}\n{other}");
    }
    assert_eq!((one.0, one.1.len()), (other.0, other.1.len()), "{what}");
}

/// Outcome from the output of `scenario run --format json`.
pub(crate) fn outcome_of(result: &CommandOutput) -> Outcome {
    outcome(result.code(), &result.json())
}

/// Parts of a run that must be equal on all engines. Times vary, and so does the amount of background traffic, which depends
/// on the duration of the steps. Counters without that traffic are equal.
fn outcome(code: Option<i32>, journal: &Value) -> Outcome {
    let steps = journal["steps"].as_array().into_iter().flatten();
    // A short step may or may not overlap a request of the background traffic.
    let alone = !steps.clone().any(|step| step["action"] == "background");
    let slow = slow_background(&steps);
    let part = |(index, step): (usize, &Value)| {
        let passed = step["expectations"].as_array().into_iter().flatten().map(|result| result["passed"].clone());
        let counters = COUNTERS.iter().filter(|_| slow.is_none_or(|first| index < first));
        let exact = counters.filter_map(|counter| Some((*counter, foreground_delta(step, counter, alone)?)));
        json!({
            "name": step["name"], "status": step["status"], "sent": step["sent"], "codes": step["codes"],
            "errors": step["errors"], "deltas": exact.collect::<BTreeMap<_, _>>(),
            "expectations": passed.collect::<Value>(),
        })
    };
    (code, steps.enumerate().map(part).collect())
}

/// Index of the first step with background traffic whose requests wait for a timeout or are retried. The app counts such a request in one step,
/// and its caller in a later one.
fn slow_background<'a>(steps: &(impl Iterator<Item = &'a Value> + Clone)) -> Option<usize> {
    let timeouts = ["503", "504"];
    let slices = steps.clone().filter_map(|step| step["background"].as_object()).flat_map(|slices| slices.values());
    let is_slow = |slice: &Value| {
        let mut codes = slice["codes"].as_object().into_iter().flat_map(|codes| codes.keys());
        let fails = slice["errors"].as_object().is_some_and(|errors| !errors.is_empty());
        fails || codes.any(|code| timeouts.contains(&code.as_str()))
    };
    if !slices.into_iter().any(is_slow) {
        return None;
    }
    steps.clone().position(|step| step["action"] == "background")
}

/// Increase of a counter in a step without the background traffic, or null if unknown. `None` if it cannot be exact: only the
/// status codes of background requests are known, not their keys, nor whether they were answered before the scrape.
fn foreground_delta(step: &Value, counter: &str, alone: bool) -> Option<Value> {
    let Some(delta) = step["deltas"][counter].as_f64() else { return Some(Value::Null) };
    let slices: Vec<&Value> = step["background"].as_object().into_iter().flat_map(|slices| slices.values()).collect();
    let background = |wanted: fn(&str) -> bool| -> f64 {
        let codes = slices.iter().filter_map(|slice| slice["codes"].as_object()).flatten();
        codes.filter(|(code, _)| wanted(code)).filter_map(|(_, count)| count.as_f64()).sum()
    };
    let background = match counter {
        _ if alone && counter != POOL_TIMEOUTS => 0.0,
        REQUESTS => background(|_| true),
        AUTH_FAILURES => background(|code| matches!(code, "401" | "403")),
        AUTH_SUCCESS => background(|code| !matches!(code, "401" | "403")),
        _ => return None,
    };
    Some(json!(delta - background))
}
