//! Follows alerts during a run. A separate task polls the alert source once a second, so no step waits for it, and
//! changes are reported as soon as they are observed. Without an alert source, alerts are unknown and the run continues
//! normally.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::context::Context;
use super::observation::describe;
use lab_core::event::{AlertChanged, AlertState};
use lab_scenario::plan::AlertIs;
use lab_telemetry::alerts::{self, Change, State, Tracker};
use lab_telemetry::wire::Probe;

/// Poll interval. Rules are evaluated every two seconds.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Delay before looking for an alert source again.
const SEARCH_INTERVAL: Duration = Duration::from_secs(10);
/// Time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(900);

pub(super) struct AlertWatch {
    changes: UnboundedReceiver<AlertChanged>,
    shared: Arc<SharedAlerts>,
    /// `None` if another watch polls.
    task: Option<AbortHandle>,
}

impl Drop for AlertWatch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Alert state shared with the polling task.
pub(super) struct SharedAlerts {
    known: Mutex<PolledAlerts>,
    sender: UnboundedSender<AlertChanged>,
}

#[derive(Default)]
struct PolledAlerts {
    tracker: Tracker,
    /// All changes, in order.
    history: Vec<AlertChanged>,
    /// Base URL of the alert source, once known.
    base: Option<String>,
}

/// One alert over a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AlertPeriod {
    /// State at the end of the period.
    state: State,
    /// First time it fired, in seconds since the start of the run; 0 if it was already firing.
    fired: Option<f64>,
    /// Last time it was resolved.
    resolved: Option<f64>,
}

/// Alerts over a period, by name.
pub(super) type AlertPeriods = BTreeMap<String, AlertPeriod>;

impl AlertWatch {
    /// Starts polling.
    pub(super) fn start(context: &Arc<Context>) -> Self {
        let (sender, changes) = unbounded_channel();
        let shared = Arc::new(SharedAlerts { known: Mutex::default(), sender });
        let task = tokio::spawn(poll_forever(Arc::clone(context), Arc::clone(&shared))).abort_handle();
        Self { changes, shared, task: Some(task) }
    }

    /// Knows no alerts and polls nothing.
    pub(super) fn idle() -> Self {
        let (sender, changes) = unbounded_channel();
        Self { changes, shared: Arc::new(SharedAlerts { known: Mutex::default(), sender }), task: None }
    }

    /// Shares the alerts that another watch polls and reports.
    pub(super) fn following(shared: &Arc<SharedAlerts>) -> Self {
        Self { changes: unbounded_channel().1, shared: Arc::clone(shared), task: None }
    }

    /// Waits for the next change.
    pub(super) async fn next(&mut self) -> AlertChanged {
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// Changes received so far.
    pub(super) fn ready(&mut self) -> Vec<AlertChanged> {
        std::iter::from_fn(|| self.changes.try_recv().ok()).collect()
    }

    /// Polls immediately, so that the next evaluation uses current data.
    pub(super) async fn poll(&self, context: &Context) {
        // Without a timely response, the last known state is used.
        let _ = timeout(REQUEST_TIMEOUT, self.shared.poll(context)).await;
    }

    /// Alerts since a time, in seconds since the start of the run. Empty without an alert source.
    pub(super) fn since(&self, begun: f64) -> AlertPeriods {
        self.shared.lock().since(begun)
    }

    pub(super) fn history(&self) -> Vec<AlertChanged> {
        self.shared.lock().history.clone()
    }

    pub(super) fn shared(&self) -> Arc<SharedAlerts> {
        Arc::clone(&self.shared)
    }
}

async fn poll_forever(context: Arc<Context>, shared: Arc<SharedAlerts>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !shared.poll(&context).await {
            sleep(SEARCH_INTERVAL).await;
        }
    }
}

impl SharedAlerts {
    fn lock(&self) -> MutexGuard<'_, PolledAlerts> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls once. Returns whether there is an alert source.
    async fn poll(&self, context: &Context) -> bool {
        let known = self.lock().base.clone();
        let base = match known {
            Some(base) => base,
            // The alert source may start later or move.
            None => match describe(context).await.ok().and_then(|now| now.endpoints.alerts().map(str::to_owned)) {
                Some(base) => base,
                None => return false,
            },
        };
        let probe = Probe {
            url: format!("{base}{}", alerts::PATH),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            timeout: REQUEST_TIMEOUT,
        };
        let answer = context.wire.probe(&probe).await.ok();
        let answer = answer
            .filter(|answer| answer.status == 200)
            .and_then(|answer| alerts::RulesResponse::parse(&answer.body).ok());
        let mut known = self.lock();
        known.base = answer.is_some().then_some(base);
        let Some(answer) = answer else { return true };
        for change in known.tracker.update(context.clock.now(), &answer) {
            let changed = alert_changed(&change, context.clock.since_start(change.at));
            known.history.push(changed.clone());
            // The receiver is gone once the run has ended.
            let _ = self.sender.send(changed);
        }
        true
    }

    /// Returns whether an alert is in the expected state, and a summary of its state.
    pub(super) fn is(&self, alert: &str, is: AlertIs) -> (bool, String) {
        evaluate(is, alert, &self.lock().since(0.0))
    }
}

impl PolledAlerts {
    fn since(&self, begun: f64) -> AlertPeriods {
        let seen = |(name, status): (&String, &alerts::AlertStatus)| {
            let own = || self.history.iter().filter(|change| change.name == *name);
            // The state before the period follows from the first change within it, or is the current state if there was
            // none.
            let after = own().find(|change| change.since >= begun);
            let fired_before = match after.map(|change| change.state) {
                Some(AlertState::Resolved) => true,
                Some(_) => false,
                None => status.state == State::Firing,
            };
            let within = |state| own().filter(move |change| change.since >= begun && change.state == state);
            let fired = within(AlertState::Firing).map(|change| change.since).next();
            let from_before = own().rev().find(|change| change.since < begun && change.state == AlertState::Firing);
            let fired = if fired_before { Some(from_before.map_or(0.0, |change| change.since)) } else { fired };
            let resolved = within(AlertState::Resolved).map(|change| change.since).next_back();
            (name.clone(), AlertPeriod { state: status.state, fired, resolved })
        };
        self.tracker.alerts().iter().map(seen).collect()
    }
}

fn alert_changed(change: &Change, since: f64) -> AlertChanged {
    let state = match (change.from, change.to) {
        (_, State::Pending) => AlertState::Pending,
        (_, State::Firing) => AlertState::Firing,
        (State::Firing, State::Inactive) => AlertState::Resolved,
        (_, State::Inactive) => AlertState::Cleared,
    };
    let Change { alert, severity, summary, .. } = change;
    AlertChanged { name: alert.clone(), state, since, severity: severity.clone(), summary: summary.clone() }
}

/// Appends a later period.
pub(super) fn merge(whole: &mut AlertPeriods, later: &AlertPeriods) {
    for (name, seen) in later {
        let known = whole.entry(name.clone()).or_default();
        known.state = seen.state;
        known.fired = known.fired.or(seen.fired);
        known.resolved = seen.resolved.or(known.resolved);
    }
}

/// Returns whether an alert was in the expected state, and a summary. Unknown alerts fail.
pub(super) fn evaluate(is: AlertIs, alert: &str, alerts: &AlertPeriods) -> (bool, String) {
    let Some(seen) = alerts.get(alert) else {
        let why = if alerts.is_empty() { "there is no alert source" } else { "the lab's rules have no such alert" };
        return (false, format!("unknown: {why}"));
    };
    let passed = match is {
        AlertIs::Pending => seen.state != State::Inactive,
        AlertIs::Firing => seen.state == State::Firing,
        AlertIs::Fired => seen.fired.is_some(),
        AlertIs::Resolved => seen.resolved.is_some() && seen.state == State::Inactive,
        AlertIs::Quiet => seen.fired.is_none(),
    };
    let text = match (seen.state, seen.fired, seen.resolved) {
        (State::Firing, Some(fired), _) => format!("firing since {fired:.1}s"),
        (State::Inactive, Some(fired), Some(resolved)) => format!("fired at {fired:.1}s, resolved at {resolved:.1}s"),
        (state, Some(fired), _) => format!("fired at {fired:.1}s, now {}", state.name()),
        (state, ..) => state.name().to_owned(),
    };
    (passed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, state: AlertState, since: f64) -> AlertChanged {
        AlertChanged { name: name.to_owned(), state, since, severity: String::new(), summary: String::new() }
    }

    #[test]
    fn an_alert_is_evaluated_over_the_time_of_its_step() {
        use AlertState::{Firing, Pending, Resolved};
        let answer = alerts::RulesResponse::parse(
            r#"{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[
               {"name":"A","query":"a","state":"inactive","lastEvaluation":"2026-11-24T10:15:30Z"},
               {"name":"B","query":"b","state":"firing","lastEvaluation":"2026-11-24T10:15:30Z"}]}]}}"#,
        );
        let mut known = PolledAlerts::default();
        known.tracker.update(chrono::Utc::now(), &answer.expect("an answer"));
        known.history = vec![change("A", Pending, 10.0), change("A", Firing, 20.0), change("A", Resolved, 40.0)];
        let is = |begun, is| evaluate(is, "A", &known.since(begun));
        assert_eq!(is(0.0, AlertIs::Fired), (true, "fired at 20.0s, resolved at 40.0s".to_owned()));
        assert!(is(30.0, AlertIs::Fired).0, "it fires from before");
        assert_eq!(is(41.0, AlertIs::Fired), (false, "inactive".to_owned()));
        assert!(is(41.0, AlertIs::Quiet).0);
        assert!(is(0.0, AlertIs::Resolved).0);
        assert!(!is(0.0, AlertIs::Firing).0);
        assert_eq!(evaluate(AlertIs::Firing, "B", &known.since(5.0)), (true, "firing since 0.0s".to_owned()));
        let none = "unknown: the lab's rules have no such alert";
        assert_eq!(evaluate(AlertIs::Quiet, "C", &known.since(0.0)), (false, none.to_owned()));
        assert!(evaluate(AlertIs::Quiet, "A", &AlertPeriods::new()).1.contains("no alert source"));
        let mut whole = known.since(0.0);
        merge(&mut whole, &known.since(41.0));
        assert!(evaluate(AlertIs::Fired, "A", &whole).0);
    }
}
