//! What the runner's tests share: a lab in a temporary folder, plans by hand, and runs whose events are collected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::processes::MockProcesses;
use crate::lab::revisions::Author;
use crate::lab::{Lab, Record, StateFolder};
use crate::runner::{Interrupt, Run, RunOutcome, run};
use crate::undo::{self, RecoverError};
use lab_core::engine::{Engine, RunState, ServiceChange};
use lab_core::event::{Event, EventKind, Phase, Secrets, StepResult, Undo};
use lab_scenario::lesson::{Claims, Lesson};
use lab_scenario::plan::{
    Action, Change, Check, Comparator, Expectation, Kind, Metric, Plan, Sender, Step, Traffic, Verb,
};
use lab_scenario::{LoadOptions, Source, load};
use lab_testkit::engine::MockEngine;
use lab_testkit::wire::MockWire;
use lab_traffic::Amount;

pub(super) const V1: &str = "apikey-v1";
pub(super) const V2: &str = "apikey-v2";

/// A person who changes the lab beside the run.
pub(super) fn by_hand() -> Author {
    Author::Hand { user: Some("anna".to_owned()), command: "lab key align".to_owned() }
}

/// A lab that is up, both sides on the first key.
pub(super) struct Fixture {
    pub(super) state: StateFolder,
    pub(super) lab: Lab,
    pub(super) engine: MockEngine,
    _folder: TempDir,
}

/// Everything that a run may change.
pub(super) type Whole =
    (BTreeMap<String, (RunState, BTreeMap<String, String>)>, Option<(String, BTreeMap<String, String>)>);

impl Fixture {
    pub(super) fn new() -> Self {
        // Thousands of fsyncs: on a disk that others use they would take minutes.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let state = StateFolder::at(&folder.path().join("state")).unwrap();
        let lab = state.lab("default").unwrap();
        lab.save(&Record::new("mock", 0)).unwrap();
        Self { state, lab, engine: MockEngine::running(V1), _folder: folder }
    }

    pub(super) fn whole(&self) -> Whole {
        let keys = self.lab.existing().ok().map(|record| (record.caller_key, record.callers));
        (self.engine.state(), keys)
    }

    pub(super) fn run(&self, plan: Plan) -> Run {
        Run {
            plan,
            lab: self.lab.clone(),
            engine: Arc::new(self.engine.clone()),
            wire: Arc::new(MockWire::new(self.engine.clone())),
            processes: Some(Arc::new(MockProcesses::new(self.engine.clone(), self.lab.clone()))),
            id: "20261124T101530Z-7f3a".to_owned(),
            keep: false,
            until: None,
            owned: false,
            interrupt: Interrupt::new(),
            progress: Arc::new(|_| {}),
        }
    }

    pub(super) async fn play(&self, plan: Plan) -> Played {
        play(self.run(plan), |_| Ok(())).await
    }

    pub(super) async fn recover(&self) -> Result<Undo, RecoverError> {
        let engine: Arc<dyn Engine> = Arc::new(self.engine.clone());
        undo::recover(&self.lab, &engine, Interrupt::new().give_up(), |_| {}).await
    }

    pub(super) fn log_exists(&self) -> bool {
        self.lab.undo_path().exists()
    }
}

/// A run that is over.
pub(super) struct Played {
    pub(super) outcome: RunOutcome,
    pub(super) events: Vec<Event>,
}

/// Runs it; `each` sees every event as it happens.
pub(super) async fn play(of: Run, mut each: impl FnMut(&Event) -> io::Result<()> + Send) -> Played {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let life = run(of, move |event| {
        sink.lock().unwrap().push(event.clone());
        each(event)
    });
    let outcome = sendable(life).await;
    let events = std::mem::take(&mut *events.lock().unwrap());
    Played { outcome, events }
}

/// A run can be a task of its own.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

impl Played {
    pub(super) fn step(&self, name: &str) -> &StepResult {
        let steps = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::StepFinished(step) => Some(&step.result),
            _ => None,
        });
        steps.into_iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}"))
    }

    pub(super) fn finished(&self) -> &lab_core::event::RunFinished {
        match &self.events.last().unwrap().kind {
            EventKind::RunFinished(finished) => finished,
            other => panic!("the last event is {other:?}"),
        }
    }

    pub(super) fn notices(&self) -> Vec<&str> {
        let mut notices = Vec::new();
        for event in &self.events {
            if let EventKind::Notice { message } = &event.kind {
                notices.push(message.as_str());
            }
        }
        notices
    }

    /// One line an event, without times of day.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            let _ = write!(text, "{:.1}s ", event.elapsed);
            let _ = match &event.kind {
                EventKind::RunStarted(run) => writeln!(text, "run {} {:?} {:?}", run.scenario, run.steps, run.keys),
                EventKind::StepStarted(step) => writeln!(text, "{}: {}", step.name, step.action),
                EventKind::StepFinished(step) => writeln!(text, "{}", line(&step.result)),
                EventKind::Notice { message } => writeln!(text, "notice: {message}"),
                EventKind::Alert(alert) => {
                    writeln!(text, "alert {} {} at {:.1}s", alert.name, alert.state.name(), alert.since)
                }
                EventKind::Logged(line) => writeln!(text, "{} of {}: {}", line.step, line.service, line.text),
                EventKind::UndoStarted { items } => writeln!(text, "undo of {items}"),
                EventKind::UndoItem(item) => {
                    let error = item.error.as_deref().unwrap_or("");
                    let document = serde_json::to_value(item).expect("an item");
                    let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
                    let (target, name, value) = (field("target"), field("name"), field("value"));
                    writeln!(text, "{:?} {target} {name} = {value} {error}", item.status)
                }
                EventKind::RunFinished(run) => {
                    let outage = run.outage.map(|outage| (outage.duration, outage.failed_requests));
                    let reason = run.reason.as_deref().unwrap_or("-");
                    let (status, undo, keys) = (run.status, run.undo.status, &run.keys);
                    writeln!(text, "{status:?}, undo {undo:?}, outage {outage:?}, {keys:?}, reason: {reason}")
                }
            };
        }
        let _ = writeln!(text, "{:?}", self.outcome);
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

fn line(step: &StepResult) -> String {
    let mut text = format!("{} {:?} in {:.1}s", step.name, step.status, step.duration);
    if let Some(sent) = step.sent {
        let _ = write!(text, ", sent {sent}, failed {}, {:?} {:?}", step.failed_requests, step.codes, step.errors);
    }
    let delta = |name: &str| step.deltas[name].map_or("?".to_owned(), |value| format!("+{value}"));
    let (ok, fail) = (delta("app_auth_success_total"), delta("app_auth_failures_total"));
    let _ = write!(text, ", auth {ok} {fail}");
    for (of, results) in [("caller", &step.callers), ("background", &step.background)] {
        for (name, result) in results {
            let (sent, codes, errors) = (result.sent, &result.codes, &result.errors);
            let _ = write!(text, "\n       {of} {name}: sent {sent}, {codes:?} {errors:?}");
        }
    }
    if let Some(detail) = &step.detail {
        let _ = write!(text, ", {detail}");
    }
    for result in &step.expectations {
        let (verdict, seen) = (if result.passed { "passed" } else { "FAILED" }, &result.observed_text);
        let _ = write!(text, "\n       {} {}: {seen}, {verdict}", result.metric, result.expected);
    }
    for line in &step.output {
        let _ = write!(text, "\n       | {line}");
    }
    if let Some(error) = &step.error {
        let _ = write!(text, "\n       error: {error}");
    }
    text
}

pub(super) fn plan(kind: Kind, steps: Vec<Step>) -> Plan {
    Plan {
        name: "rotate-key".to_owned(),
        source: "tests".to_owned(),
        title: "Everything is 401 now".to_owned(),
        description: String::new(),
        kind,
        tags: Vec::new(),
        engines: Vec::new(),
        parameters: BTreeMap::from([("rate".to_owned(), "20".to_owned())]),
        varied: BTreeMap::new(),
        secrets: Secrets::default(),
        callers: Vec::new(),
        steady_state: Vec::new(),
        steps,
        finally: Vec::new(),
        lesson: Lesson::default(),
        claims: Claims::default(),
        lints: Vec::new(),
        alerts: false,
        pace: String::new(),
    }
}

pub(super) fn step(name: &str, phase: Phase, action: Action) -> Step {
    let (name, place) = (name.to_owned(), "test.yaml:1:1".to_owned());
    Step { id: 0, name, phase, action, expect: Vec::new(), place, deferred: None }
}

/// Adds expectations to a step.
pub(super) trait Expects {
    /// Expects something of the step itself, which is the one of this index.
    fn expects(self, index: usize, metric: Metric, comparator: Comparator, bound: f64) -> Self;
}

impl Expects for Step {
    fn expects(mut self, index: usize, metric: Metric, comparator: Comparator, bound: f64) -> Self {
        let metric_text = match &metric {
            Metric::Delta { counter, .. } => format!("{counter}.delta"),
            other => format!("{other:?}"),
        };
        let text = format!("{comparator:?} {bound}");
        self.expect.push(Expectation {
            sender: Sender::All,
            metric,
            metric_text,
            comparator,
            bound,
            text,
            since: index,
            deferred: None,
        });
        self
    }
}

pub(super) fn traffic(requests: u64) -> Action {
    Action::Traffic(Traffic {
        amount: Amount::Requests(requests),
        rate: 20.0,
        connections: 1,
        callers: Vec::new(),
        path: "/api/users".to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        key: None,
        timeout: Duration::from_secs(5),
    })
}

pub(super) fn align() -> Action {
    Action::AlignKey { callers: Vec::new() }
}

/// A plan as a file would have it.
pub(super) fn loaded(text: &str) -> Plan {
    let source = Source::Text { name: "test.yaml".to_owned(), text: text.to_owned() };
    load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
}

pub(super) fn rotate(server: &str) -> Action {
    Action::RotateKey { server: server.to_owned() }
}

pub(super) fn set_env(name: &str, value: &str) -> Action {
    let change = ServiceChange::env(name, value);
    Action::Change(Change { verb: Verb::SetEnv, service: "app".to_owned(), change, rolled_back: false })
}

pub(super) fn verb(verb: Verb, service: &str) -> Action {
    let change = match verb {
        Verb::Stop => ServiceChange::run(RunState::Stopped),
        Verb::Kill => ServiceChange::kill(),
        Verb::Pause => ServiceChange::run(RunState::Paused),
        _ => ServiceChange::run(RunState::Running),
    };
    Action::Change(Change { verb, service: service.to_owned(), change, rolled_back: false })
}

pub(super) fn check(path: &str, status: u16) -> Action {
    let (method, timeout) = ("GET".to_owned(), Duration::from_secs(1));
    let body = Some("ok".to_owned());
    Action::Check(Check {
        path: path.to_owned(),
        method,
        headers: Vec::new(),
        caller: None,
        key: None,
        status,
        body,
        timeout,
    })
}

pub(super) fn delta(counter: &str) -> Metric {
    Metric::Delta { counter: counter.to_owned(), labels: Vec::new() }
}

/// A scenario with every kind of step and everything that a file can hold.
pub(super) fn everything() -> Plan {
    loaded(
        r#"
title: Everything
parameters:
  token: { default: hush-hush, secret: true }
callers:
  web: { rate: 8 }
  batch: { key: apikey-v1, rate: 2 }
steady_state:
  - { name: health, check: { path: /health } }
steps:
  - { name: users, background: { callers: [web], rate: 4 } }
  - { name: baseline, traffic: { requests: 10, callers: [batch] } }
  - { name: debug, set_env: { service: app, env: { TOKEN: "${token}" } } }
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - name: alarm
    wait_for: { metrics: { auth_failures.delta: "> 3" }, timeout: 20s }
  - name: observe
    traffic: { requests: 10 }
    expect: { caller.batch.status.401: 2, caller.web.sent: 8, background.users.failed: "> 0" }
  - { name: freeze, pause: db }
  - { name: thaw, unpause: db }
  - { name: mend, phase: remedy, run: { command: [align], env: { TOKEN: "${token}" } } }
  - { name: align, align_key: { caller: server, callers: [web] } }
  - { name: give, phase: remedy, rotate_key: { caller: apikey-v2, callers: batch } }
  - { name: quiet, stop_background: users }
  - name: verify
    traffic: { requests: "${steps.observe.sent}" }
    expect: { status.200: "100%", sent: "== ${steps.baseline.sent}" }
finally:
  - { name: tidy, stop: gateway }
  - { name: count, run: { command: [print, "5"] } }
"#,
    )
}

/// The whole story: baseline, rotate, drive traffic, realign, verify.
pub(super) fn rotate_key() -> Plan {
    let failures = || delta("app_auth_failures_total");
    let successes = || delta("app_auth_success_total");
    let steps = vec![
        step("baseline", Phase::Baseline, traffic(40)).expects(0, successes(), Comparator::Equal, 40.0),
        step("rotate-key", Phase::Inject, rotate(V2)),
        step("drive-traffic", Phase::Observe, traffic(40)).expects(2, failures(), Comparator::Equal, 40.0).expects(
            2,
            Metric::StatusShare(401),
            Comparator::Equal,
            100.0,
        ),
        step("realign", Phase::Remedy, align()),
        step("verify", Phase::Verify, traffic(40)).expects(4, failures(), Comparator::Equal, 0.0).expects(
            4,
            Metric::Latency(99.0),
            Comparator::Less,
            250.0,
        ),
    ];
    plan(Kind::Incident, steps)
}
