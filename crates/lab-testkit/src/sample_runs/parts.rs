//! [`Recording`], which records a run, and the parts of one.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use lab_core::engine::{APP, KEY_VARIABLE, RunState};
use lab_core::event::{
    About, AlertChanged, Event, EventKind, ExpectationResult, Keys, Latency, Outage, Phase, Role, RunFinished,
    RunStarted, Status, StepFinished, StepResult, StepStarted, Undo, UndoItem, UndoOutcome, UndoStatus, UndoTarget,
};

/// Run that is being recorded.
pub struct Recording {
    pub(super) events: Vec<Event>,
    elapsed: f64,
}

fn at(elapsed: f64) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-11-24T10:15:30Z".parse().expect("a time");
    #[expect(clippy::cast_possible_truncation, reason = "tests last seconds")]
    let millis = (elapsed * 1000.0).round() as i64;
    start + Duration::milliseconds(millis)
}

fn about(scenario: &str) -> About {
    About {
        source: scenario.to_owned(),
        kind: "incident".to_owned(),
        description: "The server's API key is rotated; the caller keeps sending the old one.\n".to_owned(),
        ..About::default()
    }
}

pub fn keys(server: &str, caller: &str) -> Keys {
    Keys { server: server.to_owned(), caller: caller.to_owned(), ..Keys::default() }
}

/// Step of 0.1 s, without a result of its own.
pub fn step(name: &str, phase: Phase, action: &str) -> StepResult {
    let (name, action) = (name.to_owned(), action.to_owned());
    let started = StepStarted { index: 0, name, phase, role: Role::Step, action };
    let deltas = deltas(Some(0.0), Some(0.0));
    StepResult { duration: 0.1, deltas, ..StepResult::new(started, Status::Passed, at(0.0), 0.0) }
}

pub fn deltas(accepted: Option<f64>, refused: Option<f64>) -> BTreeMap<String, Option<f64>> {
    let all = accepted.zip(refused).map(|(accepted, refused)| accepted + refused);
    [("app_requests_total", all), ("app_auth_success_total", accepted), ("app_auth_failures_total", refused)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Traffic step with these status codes and their counts.
pub fn traffic(name: &str, phase: Phase, codes: &[(u16, u32)], p99: f64) -> StepResult {
    let count = |wanted: fn(u16) -> bool| codes.iter().filter(|(code, _)| wanted(*code)).map(|(_, count)| *count).sum();
    let sent: u32 = count(|_| true);
    let refused: u32 = count(|code| code == 401);
    let failed: u32 = count(|code| !(200..300).contains(&code));
    StepResult {
        sent: Some(sent.into()),
        failed_requests: failed.into(),
        duration: 2.000_000_4,
        deltas: deltas(Some((sent - refused).into()), Some(refused.into())),
        codes: codes.iter().map(|(code, count)| (code.to_string(), u64::from(*count))).collect(),
        latency_ms: Some(Latency { p50: p99 / 2.0, p90: p99 * 0.8, p99, max: p99 * 1.2 }),
        ..step(name, phase, "traffic")
    }
}

pub fn change(name: &str, phase: Phase, action: &str, detail: &str) -> StepResult {
    StepResult { detail: Some(detail.to_owned()), ..step(name, phase, action) }
}

pub fn expectation(metric: &str, expected: &str, observed: Option<f64>, text: &str, passed: bool) -> ExpectationResult {
    let (metric, expected, observed_text) = (metric.to_owned(), expected.to_owned(), text.to_owned());
    ExpectationResult { metric, expected, observed, observed_text, passed }
}

pub fn item(target: UndoTarget, error: Option<&str>) -> UndoItem {
    let status = if error.is_some() { UndoStatus::Failed } else { UndoStatus::Undone };
    UndoItem { target, status, error: error.map(str::to_owned) }
}

/// Server key of lab's own stack.
pub fn server_key(key: &str) -> UndoTarget {
    let (service, variable) = (APP.to_owned(), KEY_VARIABLE.to_owned());
    UndoTarget::ServerKey { service, variable, key: Some(key.to_owned()) }
}

pub fn caller_key(key: &str) -> UndoTarget {
    UndoTarget::CallerKey { key: key.to_owned() }
}

/// Running service.
pub fn running(service: &str) -> UndoTarget {
    UndoTarget::RunState { service: service.to_owned(), state: RunState::Running }
}

/// Caller that only existed during the run.
pub fn new_caller(name: &str) -> UndoTarget {
    UndoTarget::NamedCallerKey { caller: name.to_owned(), key: None }
}

pub fn keys_undone() -> Vec<UndoItem> {
    vec![item(caller_key("apikey-v1"), None), item(server_key("apikey-v1"), None)]
}

impl Recording {
    pub fn new(scenario: &str, title: &str, lab: &str, steps: &[&str]) -> Self {
        let mut recording = Self { events: Vec::new(), elapsed: 0.0 };
        recording.record(EventKind::RunStarted(RunStarted {
            version: lab_core::event::FORMAT_VERSION,
            id: "20261124T101530Z-7f3a".to_owned(),
            scenario: scenario.to_owned(),
            title: title.to_owned(),
            lab: lab.to_owned(),
            engine: "embedded".to_owned(),
            parameters: [("new_key".to_owned(), "apikey-v2".to_owned())].into(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            keys: keys("apikey-v1", "apikey-v1"),
            about: Box::new(about(scenario)),
            alerts: false,
            pace: String::new(),
        }));
        recording
    }

    pub fn record(&mut self, kind: EventKind) {
        self.events.push(Event { at: at(self.elapsed), elapsed: self.elapsed, kind });
    }

    #[must_use]
    pub fn step(mut self, step: StepResult) -> Self {
        let index = self.events.iter().filter(|event| matches!(event.kind, EventKind::StepFinished(_))).count();
        let StepResult { name, phase, role, action, .. } = step.clone();
        self.record(EventKind::StepStarted(StepStarted { index, name, phase, role, action }));
        let (start, elapsed) = (at(self.elapsed), self.elapsed);
        self.elapsed += step.duration;
        let result = StepResult { start, elapsed, ..step };
        self.record(EventKind::StepFinished(Box::new(StepFinished { index, result })));
        self
    }

    /// Adds a step during which alerts change. Each change is reported half a second later.
    #[must_use]
    pub fn step_with(mut self, step: StepResult, alerts: Vec<AlertChanged>) -> Self {
        let (begun, index) = (self.elapsed, self.events.len());
        self = self.step(step);
        for (place, alert) in alerts.into_iter().enumerate() {
            let elapsed = alert.since + 0.5;
            assert!((begun..self.elapsed).contains(&elapsed), "within the step");
            self.events.insert(index + 1 + place, Event { at: at(elapsed), elapsed, kind: EventKind::Alert(alert) });
        }
        self
    }

    #[must_use]
    pub fn notice(mut self, message: &str) -> Self {
        self.record(EventKind::Notice { message: message.to_owned() });
        self
    }

    #[must_use]
    pub fn end(mut self, finished: RunFinished) -> Vec<Event> {
        let items = finished.undo.items.clone();
        if !items.is_empty() && finished.undo.status != UndoOutcome::Kept {
            self.record(EventKind::UndoStarted { items: items.len() });
            for item in items {
                self.elapsed += 0.01;
                self.record(EventKind::UndoItem(item));
            }
        }
        let duration = self.elapsed;
        self.record(EventKind::RunFinished(Box::new(RunFinished { duration, ..finished })));
        self.events
    }
}

pub fn finished(status: Status, undo: UndoOutcome, items: Vec<UndoItem>) -> RunFinished {
    RunFinished {
        status,
        duration: 0.0,
        outage: None,
        undo: Undo { status: undo, items },
        keys: Some(keys("apikey-v1", "apikey-v1")),
        reason: None,
    }
}

pub fn outage(duration: f64, failed_requests: u64) -> Outage {
    let recovered_at = Some(2.1 + duration);
    let (time_to_impact, time_to_recovery) = (Some(0.1), Some(0.003));
    let (time_to_detect, time_to_resolve) = (None, None);
    Outage {
        impact_at: 2.1,
        recovered_at,
        duration,
        failed_requests,
        time_to_impact,
        time_to_recovery,
        time_to_detect,
        time_to_mitigate: Some(duration),
        time_to_resolve,
    }
}
