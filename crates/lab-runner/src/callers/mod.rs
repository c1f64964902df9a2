//! The callers' traffic outside of runs. A [`CallerMix`] describes who sends which requests, derived from a scenario. A
//! background process ([`CallersProcess`]) sends them until it is stopped, so that an outage has an effect while a person
//! works on it. `lab callers start`, and a run that leaves its fault in the lab, start it in a session of its own. It holds
//! `callers.lock` in the lab's folder and no other lock, reads the keys of the lab's record once a second, writes its counts to
//! `callers.json`, and exits after a signal, at its time limit, and when its lab is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lab::Record;
use lab_core::API_KEY_HEADER;
use lab_core::event::Phase;
use lab_scenario::plan::{self, Action, CallerLoad, Plan, Step, Traffic};
use lab_traffic::{Amount, Arrivals, Caller, Job, Pace, RequestSpec, Retry, Stage};

mod process;
mod sending;
#[cfg(test)]
mod tests;

pub use process::{
    COMMAND, CallerState, CallersError, CallersProcess, CallersState, DEFAULT_DURATION, LOCK_FILE, Order, RECENT,
    Response, STATE_FILE, is_running, stop,
};
pub use sending::{SecondCounts, Sending};

/// Name of the lab's caller, if a scenario has no callers of its own.
const THE_CALLER: &str = "caller";
/// Requests per second of the lab's caller without a scenario.
const RATE: f64 = 20.0;
/// Timeout of a request, unless a scenario has another one.
const TIMEOUT: f64 = 3.0;
/// Longest timeout, and longest wait before a retry.
const MAX_TIME: Duration = Duration::from_mins(10);
/// Limits of the number of connections. Idle ones cost nothing.
const CONNECTIONS: std::ops::RangeInclusive<u32> = 2..=128;

/// Who sends which requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerMix {
    /// Name of the scenario. `None`: only the lab's own caller.
    pub scenario: Option<String>,
    /// Id of the run that left its fault in the lab.
    pub run: Option<String>,
    /// At least one.
    pub senders: Vec<Sender>,
}

/// One kind of request by one caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// Name of the caller, or of the step with background traffic.
    pub name: String,
    /// Caller whose key is sent. `None`: the lab's single caller.
    pub caller: Option<String>,
    /// Sent instead of the caller's key. Empty: no key.
    pub key: Option<String>,
    /// Requests per second, above 0.
    pub rate: f64,
    /// Path on the gateway.
    pub path: String,
    /// HTTP method.
    pub method: String,
    /// In addition to the key.
    pub headers: Vec<(String, String)>,
    /// Timeout of an attempt in seconds.
    pub timeout: f64,
    /// Further attempts of failed requests.
    #[serde(default)]
    pub retry: RetryRule,
}

/// Further attempts of failed requests, as in [`Retry`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Maximum number of attempts after the first one.
    pub retries: u32,
    /// Wait before each retry in seconds.
    pub backoff: f64,
    /// Waits for a random part of the backoff.
    pub jitter: bool,
    /// Waits at least as long as a `Retry-After` header says.
    pub heed_retry_after: bool,
}

impl From<Retry> for RetryRule {
    fn from(retry: Retry) -> Self {
        let Retry { retries, backoff, jitter, heed_retry_after } = retry;
        Self { retries, backoff: backoff.as_secs_f64(), jitter, heed_retry_after }
    }
}

impl From<RetryRule> for Retry {
    fn from(rule: RetryRule) -> Self {
        let RetryRule { retries, backoff, jitter, heed_retry_after } = rule;
        Self { retries, backoff: seconds(backoff), jitter, heed_retry_after }
    }
}

impl CallerMix {
    /// The lab's single caller, which asks for the users.
    pub fn single() -> Self {
        Self { scenario: None, run: None, senders: vec![Sender::new(THE_CALLER, None, RATE)] }
    }

    /// Callers of a scenario whose first `executed` steps were executed: they send the last traffic that showed the fault,
    /// and the background traffic that was not stopped.
    pub fn from_plan(plan: &Plan, executed: usize, run: Option<&str>) -> Self {
        let steps = &plan.steps[..executed.min(plan.steps.len())];
        let mut senders = main_traffic(steps).map(|traffic| Sender::all(traffic, THE_CALLER)).unwrap_or_default();
        let background = background(steps);
        let sends =
            |caller: &plan::Caller, traffic: &Traffic| traffic.callers.iter().any(|part| part.name == caller.name);
        for caller in &plan.callers {
            let in_background = background.iter().any(|(_, traffic)| sends(caller, traffic));
            if !in_background && senders.iter().all(|sender| sender.name != caller.name) {
                senders.push(Sender::from_caller(caller));
            }
        }
        if senders.is_empty() && background.is_empty() {
            senders = Self::single().senders;
        }
        for (name, traffic) in background {
            senders.extend(Sender::all(traffic, name));
        }
        for index in 1..senders.len() {
            let taken = |name: &str| senders[..index].iter().any(|other| other.name == name);
            if taken(&senders[index].name) {
                let name = (2..=senders.len())
                    .map(|number| format!("{}-{number}", senders[index].name))
                    .find(|name| !taken(name));
                senders[index].name = name.unwrap_or_else(|| index.to_string());
            }
        }
        Self { scenario: Some(plan.name.clone()), run: run.map(str::to_owned), senders }
    }

    /// Total requests per second.
    pub fn rate(&self) -> f64 {
        self.senders.iter().map(|sender| sender.rate).sum()
    }

    /// The same mix at another total rate.
    #[must_use]
    pub fn with_rate(mut self, rate: f64) -> Self {
        let factor = rate / self.rate();
        self.senders.iter_mut().for_each(|sender| sender.rate *= factor);
        self
    }

    /// Traffic of the mix through a lab's gateway, with the current keys of its callers.
    pub fn job(&self, gateway: &str, record: &Record, amount: Amount) -> Job {
        let whole = self.rate();
        let timeout = seconds(self.senders.iter().map(|sender| sender.timeout).fold(0.001, f64::max));
        let request = |sender: &Sender| RequestSpec {
            url: format!("{gateway}{}", sender.path),
            method: sender.method.clone(),
            headers: sender.headers.clone(),
            body: Vec::new(),
        };
        let caller = |(index, sender): (usize, &Sender)| Caller {
            name: sender.name.clone(),
            headers: sender.key_header(record),
            share: sender.rate / whole,
            request: Some(index),
            timeout: Some(seconds(sender.timeout)),
            retry: sender.retry.into(),
        };
        Job {
            requests: self.senders.iter().map(request).collect(),
            callers: self.senders.iter().enumerate().map(caller).collect(),
            pace: Pace::Open { stages: vec![Stage::steady(whole)], arrivals: Arrivals::Even },
            amount,
            warmup: Duration::ZERO,
            connections: connections(whole, timeout),
            keepalive: true,
            connect_timeout: timeout,
            timeout,
        }
    }
}

/// A time of at most ten minutes, from a file that may have been edited.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(MAX_TIME).min(MAX_TIME)
}

/// Enough connections for a service that answers only just in time, so that callers whose requests hang do not hold up the
/// others.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn connections(rate: f64, timeout: Duration) -> u32 {
    ((rate * timeout.as_secs_f64()).ceil() as u32).clamp(*CONNECTIONS.start(), *CONNECTIONS.end())
}

impl Sender {
    fn new(name: &str, caller: Option<&str>, rate: f64) -> Self {
        Self {
            name: name.to_owned(),
            caller: caller.map(str::to_owned),
            key: None,
            rate,
            path: "/api/users".to_owned(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            timeout: TIMEOUT,
            retry: RetryRule::default(),
        }
    }

    /// Sender of a caller whose requests no step describes.
    fn from_caller(caller: &plan::Caller) -> Self {
        Self {
            path: caller.path.clone(),
            timeout: caller.timeout.as_secs_f64(),
            retry: caller.retry.into(),
            ..Self::new(&caller.name, Some(&caller.name), caller.rate)
        }
    }

    /// Senders of a step: one per caller. `name` is used for the lab's single caller.
    fn all(traffic: &Traffic, name: &str) -> Vec<Self> {
        let sender = |sender: Self| Self {
            key: traffic.key.clone(),
            method: traffic.method.clone(),
            headers: traffic.headers.clone(),
            ..sender
        };
        if traffic.callers.is_empty() {
            let (path, timeout) = (traffic.path.clone(), traffic.timeout.as_secs_f64());
            return vec![sender(Self { path, timeout, ..Self::new(name, None, traffic.rate) })];
        }
        let part = |part: &CallerLoad| {
            sender(Self {
                path: part.path.clone(),
                timeout: part.timeout.as_secs_f64(),
                retry: part.retry.into(),
                ..Self::new(&part.name, Some(&part.name), part.rate)
            })
        };
        traffic.callers.iter().map(part).collect()
    }

    /// Header with the key that the sender has at the moment. None for an empty key.
    fn key_header(&self, record: &Record) -> Vec<(String, String)> {
        let named = self.caller.as_ref().and_then(|name| record.callers.get(name));
        let key = self.key.as_ref().or(named).unwrap_or(&record.caller_key);
        if key.is_empty() { Vec::new() } else { vec![(API_KEY_HEADER.to_owned(), key.clone())] }
    }
}

/// Last traffic that observes the fault, else the last traffic.
fn main_traffic(steps: &[Step]) -> Option<&Traffic> {
    let traffic = |step: &'_ &Step| matches!(step.action, Action::Traffic(_));
    let observed = steps.iter().rev().filter(traffic).find(|step| step.phase == Phase::Observe);
    match &observed.or_else(|| steps.iter().rev().find(traffic))?.action {
        Action::Traffic(traffic) => Some(traffic),
        _ => None,
    }
}

/// Background traffic that no step stops, with the name of its step.
fn background(steps: &[Step]) -> Vec<(&str, &Traffic)> {
    let mut running: Vec<(usize, &str, &Traffic)> = Vec::new();
    for step in steps {
        match &step.action {
            Action::Background(traffic) => running.push((step.id, &step.name, traffic)),
            Action::StopBackground { step, .. } => running.retain(|(id, ..)| id != step),
            _ => {}
        }
    }
    running.into_iter().map(|(_, name, traffic)| (name, traffic)).collect()
}
