//! The callers' traffic in a process that goes on while the lab changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CallerMix, CallerState, RECENT, Sender};
use crate::lab::Record;
use lab_traffic::{Amount, CallerCounts, Interval, Job, Update, run_job};

/// Longer than any time limit, which ends the traffic.
const UNLIMITED: Duration = Duration::from_hours(48);
/// Shorter intervals are those at the end of a job. They are added to the next second.
const WHOLE: Duration = Duration::from_millis(900);

/// Requests of one caller in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondCounts {
    /// Requests that ended.
    pub sent: u64,
    /// Responses with a status of 2xx.
    pub succeeded: u64,
    /// Requests that could not be sent in time.
    pub unsent: u64,
}

/// The traffic, which starts again with each change of a key or of the gateway's address.
pub struct Sending {
    mix: CallerMix,
    gateway: String,
    since: DateTime<Utc>,
    job: Option<Job>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    counts: Arc<Mutex<Counts>>,
}

impl Sending {
    /// Sends nothing before [`Sending::follow`]. `gateway` is the base URL.
    pub fn new(mix: CallerMix, gateway: String) -> Self {
        let counts = Arc::new(Mutex::new(Counts::new(&mix)));
        let (cancel, tasks) = (CancellationToken::new(), JoinSet::new());
        Self { mix, gateway, since: Utc::now().trunc_subsecs(3), job: None, cancel, tasks, counts }
    }

    /// Sends with the keys in the record from now on.
    pub fn follow(&mut self, record: &Record) {
        let job = self.mix.job(&self.gateway, record, Amount::Duration(UNLIMITED));
        if self.job.as_ref() == Some(&job) {
            return;
        }
        // Requests in flight have a moment to complete.
        self.cancel.cancel();
        self.cancel = CancellationToken::new();
        let (cancel, counts) = (self.cancel.clone(), Arc::clone(&self.counts));
        self.job = Some(job.clone());
        self.tasks.spawn(async move {
            let update = |update: Update<'_>| {
                if let Update::Interval(interval) = update {
                    counts.lock().unwrap_or_else(PoisonError::into_inner).add(interval);
                }
            };
            // An invalid job cannot be sent; its callers then have no requests.
            let _ = run_job(&job, &update, &cancel).await;
        });
        while self.tasks.try_join_next().is_some() {}
    }

    /// Start of the traffic.
    pub fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// Sends to another gateway from the next [`Sending::follow`] on. `gateway` is its base URL.
    pub fn set_gateway(&mut self, gateway: String) {
        self.gateway = gateway;
    }

    /// Counts of each second from now on, by sender in the order of the mix.
    pub fn seconds(&mut self) -> UnboundedReceiver<Vec<SecondCounts>> {
        let (sender, seconds) = unbounded_channel();
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).listener = Some(sender);
        seconds
    }

    /// Ends the traffic. Requests in flight have a moment to complete.
    pub async fn end(&mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Counts by sender.
    pub fn counts(&self) -> Vec<CallerState> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).callers()
    }

    /// Returns true if a request got no response since the last call.
    pub fn take_unanswered(&self) -> bool {
        std::mem::take(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner).unanswered)
    }
}

struct Counts {
    callers: Vec<CallerState>,
    /// Requests and successes per second, by caller.
    recent: Vec<VecDeque<(u64, u64)>>,
    unanswered: bool,
    listener: Option<UnboundedSender<Vec<SecondCounts>>>,
    /// Counts since the last second that the listener got.
    pending: Vec<SecondCounts>,
}

impl Counts {
    fn new(mix: &CallerMix) -> Self {
        let caller =
            |sender: &Sender| CallerState { name: sender.name.clone(), rate: sender.rate, ..CallerState::default() };
        let callers: Vec<CallerState> = mix.senders.iter().map(caller).collect();
        let (recent, pending) = (vec![VecDeque::new(); callers.len()], vec![SecondCounts::default(); callers.len()]);
        Self { callers, recent, unanswered: false, listener: None, pending }
    }

    /// Adds an interval of a second, or the shorter one at the end of a job.
    fn add(&mut self, interval: &Interval) {
        self.add_callers(&interval.callers);
        if interval.length >= WHOLE
            && let Some(listener) = &self.listener
        {
            let second = std::mem::replace(&mut self.pending, vec![SecondCounts::default(); self.callers.len()]);
            let _ = listener.send(second);
        }
    }

    fn add_callers(&mut self, interval: &[CallerCounts]) {
        let known = self.callers.iter_mut().zip(&mut self.recent).zip(&mut self.pending);
        for (((caller, recent), pending), counts) in known.zip(interval) {
            let (mut sent, mut succeeded) = (0, 0);
            for (code, count) in &counts.codes {
                *caller.codes.entry(*code).or_default() += count;
                sent += count;
                succeeded += if (200..300).contains(code) { *count } else { 0 };
            }
            for (cause, count) in &counts.errors {
                *caller.errors.entry(cause.name().to_owned()).or_default() += count;
                sent += count;
                self.unanswered = true;
            }
            caller.sent += sent;
            caller.attempts += counts.attempts;
            caller.succeeded += succeeded;
            caller.unsent += counts.unsent;
            pending.sent += sent;
            pending.succeeded += succeeded;
            pending.unsent += counts.unsent;
            recent.push_back((sent, succeeded));
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
    }

    fn callers(&self) -> Vec<CallerState> {
        let with_recent = |(caller, recent): (&CallerState, &VecDeque<(u64, u64)>)| CallerState {
            recent: recent.iter().copied().collect(),
            ..caller.clone()
        };
        self.callers.iter().zip(&self.recent).map(with_recent).collect()
    }
}
