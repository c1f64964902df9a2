//! Undo after a kill: `lab scenario run` is killed at its events, and `lab recover` restores the lab. By default each scenario
//! with a fault is killed at selected events, with `LAB_TEST_KILLS=all` at every event (takes minutes).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use lab_scenario::{LoadOptions, Source, library, load};
use rustix::process::Signal;
use serde_json::Value;

use crate::desk::Desk;
use crate::run_outcome::short_run;
use crate::support::until;

/// Number of labs that are used in parallel.
const WORKERS: usize = 4;

/// Event of a run at which it is killed.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    /// From 0.
    index: usize,
    kind: String,
    /// Phase and name of the step, if the event has them.
    phase: String,
    name: String,
}

#[test]
fn a_run_killed_at_any_event_is_undone_by_recover() {
    let work: Mutex<Vec<&str>> = Mutex::new(library::names().filter(|name| has_a_fault(name)).collect());
    let every = std::env::var_os("LAB_TEST_KILLS").is_some_and(|value| value == "all");
    let begun = Instant::now();
    let killed: Vec<(String, usize)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| worker(&work, every))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the worker passes")).collect()
    });
    let kills: usize = killed.iter().map(|(_, kills)| kills).sum();
    println!("{kills} kills in {} scenarios, {:.1?}: {killed:?}", killed.len(), begun.elapsed());
    assert!(killed.len() >= 14, "the library is smaller than it was: {killed:?}");
    for (name, kills) in killed {
        assert!(kills >= 6, "{name} was killed {kills} times only");
    }
}

/// Returns true if a scenario changes something and runs without Docker.
fn has_a_fault(name: &str) -> bool {
    let plan =
        load(&Source::Library(name.to_owned()), &LoadOptions::default()).expect("scenarios of the library are valid");
    let desk = Desk::new();
    plan.all_steps().any(|step| step.action.is_change())
        && plan.kind.name() != "part"
        && desk.lab(&["scenario", "run", name, "--dry-run"]).code() == Some(0)
}

/// Processes scenarios in one lab until none is left.
fn worker(work: &Mutex<Vec<&str>>, every: bool) -> Vec<(String, usize)> {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let before = snapshot(&desk);
    let mut killed = Vec::new();
    loop {
        let Some(name) = work.lock().expect("not poisoned").pop() else { return killed };
        let args = short_run(name, "ndjson");
        let moments = moments(&desk, &args);
        assert_eq!(snapshot(&desk), before, "{name} restores the lab");
        let selected = if every { moments } else { select(&moments) };
        for moment in &selected {
            kill_at(&desk, &args, moment);
            desk.lab(&["recover"]).status(0);
            let context = format!("{name} was killed at {moment:?}");
            // A restarted service may need a moment to become healthy.
            until(|| healthy(&desk));
            assert_eq!(snapshot(&desk), before, "{context}");
        }
        killed.push((name.to_owned(), selected.len()));
    }
}

/// Events of a complete run.
fn moments(desk: &Desk, args: &[String]) -> Vec<Moment> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = desk.lab(&args).status(0);
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let moment = |(index, line): (usize, &str)| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let (kind, phase, name) = (text(&event, "event"), text(&event, "phase"), text(&event, "name"));
        Moment { index, kind, phase, name }
    };
    result.stdout.lines().filter(|line| is_of_the_run(line)).enumerate().map(moment).collect()
}

/// Returns true for an event of the run's own actions. The times of alerts and log lines vary.
fn is_of_the_run(line: &str) -> bool {
    !["alert", "logged"].iter().any(|kind| line.contains(&format!("\"event\":\"{kind}\"")))
}

/// Selects each kind of event once, preferably during the injection; also the start of the fix, and the last item of the undo.
fn select(moments: &[Moment]) -> Vec<Moment> {
    let mut chosen: BTreeMap<usize, Moment> = BTreeMap::new();
    let mut choose = |found: Option<&Moment>| chosen.extend(found.map(|moment| (moment.index, moment.clone())));
    let of = |kind: &'static str, phase: &'static str| {
        move |moment: &&Moment| moment.kind == kind && (phase.is_empty() || moment.phase == phase)
    };
    for kind in ["run_started", "step_started", "step_finished", "notice", "undo_started", "undo_item", "run_finished"]
    {
        let inject = moments.iter().find(of(kind, "inject"));
        choose(inject.or_else(|| moments.iter().find(of(kind, ""))));
    }
    choose(moments.iter().find(of("step_started", "remedy")));
    choose(moments.iter().rfind(of("undo_item", "")));
    chosen.into_values().collect()
}

/// Runs a scenario and kills it after an event.
fn kill_at(desk: &Desk, args: &[String], moment: &Moment) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut run = desk.start(&args);
    // Kept until the process is dead, because a closed pipe would stop the run.
    let mut lines = run.lines();
    let line = lines
        .by_ref()
        .filter(|line| is_of_the_run(line))
        .nth(moment.index)
        .expect("the run has the same events as before");
    assert!(line.contains(&format!("\"event\":\"{}\"", moment.kind)), "expected {moment:?}, found {line}");
    run.signal(Signal::KILL);
    run.wait();
}

/// State of the lab that a run may change.
fn snapshot(desk: &Desk) -> Value {
    let mut status = desk.status();
    let services = status["services"].as_array_mut().expect("a list");
    for service in services {
        let service = service.as_object_mut().expect("a mapping");
        service.retain(|key, _| ["name", "state", "env"].contains(&key.as_str()));
    }
    let status = status.as_object_mut().expect("a mapping");
    status.retain(|key, _| ["keys", "gateway", "services", "undo", "run", "state"].contains(&key.as_str()));
    Value::Object(std::mem::take(status))
}

fn healthy(desk: &Desk) -> bool {
    desk.status()["services"].as_array().expect("a list").iter().all(|service| service["health"] == "healthy")
}

#[test]
fn commands_mention_the_temporary_lab_of_a_killed_run() {
    let desk = Desk::new();
    let mut run = desk.start(&["scenario", "run", "rotate-key", "--set", "requests=100", "--format", "ndjson"]);
    let mut lines = run.lines();
    let _ = lines.by_ref().find(|line| line.contains("\"event\":\"step_started\"")).expect("it has steps");
    let quiet = desk.lab(&["status"]).status(3);
    assert!(!quiet.stderr.contains("left over"), "the run is in progress: {}", quiet.stderr);
    run.signal(Signal::KILL);
    run.wait();
    let labs: Vec<_> = std::fs::read_dir(desk.state().join("labs")).expect("it exists").flatten().collect();
    let own = labs[0].file_name().into_string().expect("a lab's name");
    let notice = format!("lab {own} is left over from an interrupted run; remove it with lab recover");
    for (args, code) in [
        (&["status"][..], 3),
        (&["key", "show"], 3),
        (&["scenario", "run", "baseline", "--set", "requests=2"], 0),
        (&["up", "--port", "0"], 0),
        (&["key", "show"], 0),
        (&["status"], 0),
    ] {
        desk.lab(args).status(code).complains(&notice);
    }
    desk.lab(&["status", "--name", "other"]).status(3).complains("remove it with lab recover --all");
    desk.lab(&["recover"]).status(0).says(&format!("lab {own} was temporary and is removed"));
    assert_eq!(desk.lab(&["key", "show"]).status(0).stderr, "");
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}
