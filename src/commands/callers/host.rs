//! The process that sends the callers' requests. `lab callers start` and `lab scenario run --until` start it. It exits after
//! a signal, at its time limit, and when its lab is gone.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{SubsecRound, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::commands::host_process::{self, lab_in, respond};
use crate::engines::observed_lab::ObservedLab;
use lab_core::error::Exit;
use lab_runner::callers::{CallersState, LOCK_FILE, Order, Response, STATE_FILE, Sending};
use lab_runner::lab::Lab;
use lab_system::background;
use lab_system::files::{self, Folder};

/// Interval of the look at the lab's record.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval of the look for another address of the gateway while requests get no response.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3);
/// Time after which a lab that is down counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

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
                self.sending.set_gateway(now.endpoints.gateway);
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
            since: self.sending.since(),
            until: self.order.until,
            mix: self.order.mix.clone(),
            callers: self.sending.counts(),
            ended: ended.map(|why| (Utc::now().trunc_subsecs(3), why.to_owned())),
        };
        let text = serde_json::to_vec(&state).unwrap_or_default();
        let _ = files::write_volatile(&self.folder.path(STATE_FILE), &text);
    }
}
