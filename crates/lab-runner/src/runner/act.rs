//! Executes the actions of steps. A new action also needs an entry in `lab_scenario::plan` and in the loader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::alerts::Shared;
use super::context::Context;
use super::observe::Observation;
use super::samples::counted;
use super::seen::Seen;
use super::{change, check, command, wait};
use lab_core::engine::{Retired, RunState};
use lab_core::event::{CounterSample, ExpectationResult};
use lab_scenario::plan::{Action, Traffic};
use lab_telemetry::wire::TrafficProgressFn;
use lab_traffic::{Amount, Load, Summary, TrafficProgress};

/// Result of an action.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// Short summary for the timeline.
    pub(super) detail: Option<String>,
    pub(super) changed: bool,
    pub(super) traffic: Option<Seen>,
    /// App instances that the action stopped.
    pub(super) retired: Vec<Retired>,
    /// Whether they were killed rather than stopped gracefully.
    pub(super) killed: bool,
    /// Results of checks.
    pub(super) checks: Vec<ExpectationResult>,
    /// App counters scraped while traffic was sent.
    pub(super) counters: Vec<CounterSample>,
    /// Last lines of a command's output.
    pub(super) output: Vec<String>,
    /// Outputs that later steps may use.
    pub(super) facts: Facts,
    pub(super) own: Own,
}

/// Outputs of a step's request, query or command.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) status: Option<u16>,
    pub(super) body: Option<String>,
    pub(super) value: Option<String>,
    pub(super) stdout: Option<String>,
    pub(super) exit_code: Option<i32>,
}

/// Parts of the lab's state that the run itself changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Server key, if the run set or unset it.
    #[expect(clippy::option_option, reason = "unchanged and unset are two things")]
    pub(super) server: Option<Option<String>>,
    pub(super) caller: Option<String>,
    pub(super) callers: Vec<(String, String)>,
    pub(super) state: Option<(String, RunState)>,
    /// Unknown: a user command ran.
    pub(super) anything: bool,
}

/// Executes an action. `now` is the lab just before it.
pub(super) async fn act(
    context: &Context,
    alerts: &Shared,
    action: &Action,
    now: &Result<Observation, String>,
) -> Result<Acted, String> {
    match action {
        Action::Traffic(traffic) => send(context, traffic, now.as_ref()?).await,
        Action::Background(traffic) => Ok(said(format!("{} requests a second from now on", traffic.rate))),
        Action::StopBackground { name, .. } => Ok(said(format!("{name} ended"))),
        Action::RotateKey { server } => change::rotate_key(context, server).await,
        Action::CallerKey { key, callers } => change::give_key(context, Some(key), callers).await,
        Action::AlignKey { callers } => change::give_key(context, None, callers).await,
        Action::Change(wanted) => change::change_service(context, wanted).await,
        Action::Wait(duration) => Ok(pause(context, *duration).await),
        Action::WaitFor(wanted) => wait::wait_for(context, alerts, wanted, now).await,
        Action::Check(probe) => check::check(context, probe, now.as_ref()?).await,
        Action::Run(wanted) => command::run(context, wanted, now.as_ref()?).await,
    }
}

fn said(detail: String) -> Acted {
    Acted { detail: Some(detail), ..Acted::default() }
}

async fn send(context: &Context, traffic: &Traffic, now: &Observation) -> Result<Acted, String> {
    let loads = loads(traffic, now)?;
    let progress = Progress::new(&context.progress, loads.len());
    // All callers share one start, because their samples are added up.
    let start = context.clock.now();
    let sending = loads.iter().enumerate().map(|(index, (caller, load))| {
        let traffic = context.wire.traffic(load, progress.part(index), &context.stop);
        async move { Seen::of(caller.as_deref(), Summary { start, ..traffic.await }) }
    });
    let (all, counters) = match loads.first() {
        Some((_, load)) => counted(context, now, load, join_all(sending)).await,
        None => (Vec::new(), Vec::new()),
    };
    let mut seen = Seen::default();
    for one in &all {
        seen.merge(one);
    }
    Ok(Acted { traffic: Some(seen), counters, ..Acted::default() })
}

/// Load of each caller, or of the lab's default caller.
pub(super) fn loads(traffic: &Traffic, now: &Observation) -> Result<Vec<(Option<String>, Load)>, String> {
    let load = |caller: Option<&str>, amount: Amount, rate: f64, connections: u32| {
        let key = match &traffic.key {
            Some(key) => key.as_str(),
            None => now.key_of(caller)?,
        };
        let load = Load {
            url: format!("{}{}", now.description.endpoints.gateway, traffic.path),
            method: traffic.method.clone(),
            headers: headers(&traffic.headers, key),
            amount,
            rate,
            connections,
            timeout: traffic.timeout,
        };
        Ok((caller.map(str::to_owned), load))
    };
    if traffic.callers.is_empty() {
        return Ok(vec![load(None, traffic.amount, traffic.rate, traffic.connections)?]);
    }
    traffic.callers.iter().map(|part| load(Some(&part.name), part.amount, part.rate, part.connections)).collect()
}

/// Headers of a step plus the key. An empty key is not sent.
pub(super) fn headers(headers: &[(String, String)], key: &str) -> Vec<(String, String)> {
    let mut all = headers.to_vec();
    if !key.is_empty() {
        all.push(("X-API-Key".to_owned(), key.to_owned()));
    }
    all
}

async fn pause(context: &Context, duration: Duration) -> Acted {
    let over = timeout(duration, context.stop.cancelled()).await.is_err();
    let detail = over.then(|| format!("waited {duration:?}"));
    Acted { detail, ..Acted::default() }
}

/// Combines the progress of several callers.
struct Progress {
    whole: TrafficProgressFn,
    parts: Arc<Mutex<Vec<TrafficProgress>>>,
}

impl Progress {
    fn new(whole: &TrafficProgressFn, parts: usize) -> Self {
        let parts = Arc::new(Mutex::new(vec![TrafficProgress::default(); parts]));
        Self { whole: Arc::clone(whole), parts }
    }

    /// Callback for one caller's progress.
    fn part(&self, index: usize) -> TrafficProgressFn {
        let (whole, parts) = (Arc::clone(&self.whole), Arc::clone(&self.parts));
        Arc::new(move |now| {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts[index] = now;
            let sum = parts.iter().fold(TrafficProgress::default(), |sum, part| TrafficProgress {
                done: sum.done + part.done,
                planned: sum.planned + part.planned,
            });
            drop(parts);
            whole(sum);
        })
    }
}
