//! The process that sends the callers' requests. `lab callers start` and `lab scenario run --until` start it. It exits after
//! a signal, at its time limit, and when its lab is gone.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{SubsecRound, Utc};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::commands::host_process::{self, lab_in, respond};
use crate::engines::observed_lab::ObservedLab;
use lab_core::error::Exit;
use lab_runner::callers::{CallerMix, CallerState, CallersState, LOCK_FILE, Order, RECENT, Response, STATE_FILE};
use lab_runner::lab::{Lab, Record};
use lab_system::background;
use lab_system::files::{self, Folder};
use lab_traffic::{Amount, CallerCounts, Job, Update, run_job};

/// Interval of the look at the lab's record.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval of the look for another address of the gateway while requests get no response.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3);
/// Time after which a lab that is down counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// Longer than any time limit, which ends the traffic.
const UNLIMITED: Duration = Duration::from_hours(48);

pub(in crate::commands) fn run() -> Exit {
    host_process::run("lab callers start", Response::Failed, send)
}

async fn send(order: Order) -> anyhow::Result<Exit> {
    let folder = Folder::new(order.folder.clone());
    let path = folder.path(LOCK_FILE);
    let lock = background::acquire_lock(&path).await?;
    let lab = lab_in(&order.folder)?;
    let mut observed = ObservedLab::new(&lab);
    let (record, now) = observed.describe().await?;
    let end = CancellationToken::new();
    background::end_with_signals(end.clone());
    let mut sending = Sending::new(order.mix.clone(), now.endpoints.gateway);
    sending.follow(&record);
    let mut host =
        Host { folder, lock, path, lab, observed, order, sending, unreachable: None, searched: Instant::now() };
    host.save(None);
    respond(&Response::Sending);
    let why = host.run(&end).await;
    host.sending.end().await;
    host.save(Some(why));
    Ok(Exit::Passed)
}

struct Host {
    folder: Folder,
    lock: File,
    path: PathBuf,
    lab: Lab,
    observed: ObservedLab,
    order: Order,
    sending: Sending,
    /// Since when the lab is down.
    unreachable: Option<Instant>,
    /// Last look for the gateway's address.
    searched: Instant,
}

impl Host {
    /// Sends until something ends it. Returns the reason.
    async fn run(&mut self, end: &CancellationToken) -> &'static str {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => return "stopped",
                _ = ticks.tick() => {}
            }
            // The file is replaced or removed with its lab.
            if !files::is_named(&self.lock, &self.path) {
                return "the lab is gone";
            }
            if Utc::now() >= self.order.until {
                return "the time limit was reached";
            }
            // An unreadable record may be readable again later.
            if let Ok(Some(record)) = self.lab.record() {
                self.sending.follow(&record);
            }
            if self.sending.take_unanswered() && self.searched.elapsed() >= SEARCH_INTERVAL && self.is_gone().await {
                return "the lab is down";
            }
            self.save(None);
        }
    }

    /// Looks for another address of the gateway. Returns true if the lab has been down for a while.
    async fn is_gone(&mut self) -> bool {
        self.searched = Instant::now();
        match self.observed.describe().await {
            Ok((record, now)) => {
                self.unreachable = None;
                self.sending.gateway = now.endpoints.gateway;
                self.sending.follow(&record);
                false
            }
            Err(error) => {
                let down = error.downcast_ref::<lab_core::engine::EngineError>();
                if down.is_some_and(|error| !error.kind.is_down()) {
                    return false;
                }
                self.unreachable.get_or_insert_with(Instant::now).elapsed() >= GONE_AFTER
            }
        }
    }

    /// Writes the state. A full disk does not end the traffic.
    fn save(&self, ended: Option<&str>) {
        if !files::is_named(&self.lock, &self.path) {
            return;
        }
        let state = CallersState {
            pid: std::process::id(),
            since: self.sending.since,
            until: self.order.until,
            mix: self.order.mix.clone(),
            callers: self.sending.counts(),
            ended: ended.map(|why| (Utc::now().trunc_subsecs(3), why.to_owned())),
        };
        let text = serde_json::to_vec(&state).unwrap_or_default();
        let _ = files::write_volatile(&self.folder.path(STATE_FILE), &text);
    }
}

/// The traffic, which starts again with each change of a key or of the gateway's address.
struct Sending {
    mix: CallerMix,
    gateway: String,
    since: chrono::DateTime<Utc>,
    job: Option<Job>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    counts: Arc<Mutex<Counts>>,
}

impl Sending {
    fn new(mix: CallerMix, gateway: String) -> Self {
        let counts = Arc::new(Mutex::new(Counts::new(&mix)));
        let (cancel, tasks) = (CancellationToken::new(), JoinSet::new());
        Self { mix, gateway, since: Utc::now().trunc_subsecs(3), job: None, cancel, tasks, counts }
    }

    /// Sends with the keys in the record from now on.
    fn follow(&mut self, record: &Record) {
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
                    counts.lock().unwrap_or_else(PoisonError::into_inner).add(&interval.callers);
                }
            };
            // An invalid job cannot be sent; its callers then have no requests.
            let _ = run_job(&job, &update, &cancel).await;
        });
        while self.tasks.try_join_next().is_some() {}
    }

    async fn end(&mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    fn counts(&self) -> Vec<CallerState> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).callers()
    }

    /// Returns true if a request got no response since the last call.
    fn take_unanswered(&self) -> bool {
        std::mem::take(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner).unanswered)
    }
}

struct Counts {
    callers: Vec<CallerState>,
    /// Requests and successes per second, by caller.
    recent: Vec<VecDeque<(u64, u64)>>,
    unanswered: bool,
}

impl Counts {
    fn new(mix: &CallerMix) -> Self {
        let caller = |sender: &lab_runner::callers::Sender| CallerState {
            name: sender.name.clone(),
            rate: sender.rate,
            ..CallerState::default()
        };
        let callers: Vec<CallerState> = mix.senders.iter().map(caller).collect();
        Self { recent: vec![VecDeque::new(); callers.len()], callers, unanswered: false }
    }

    /// Adds an interval of a second.
    fn add(&mut self, interval: &[CallerCounts]) {
        for ((caller, recent), counts) in self.callers.iter_mut().zip(&mut self.recent).zip(interval) {
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
