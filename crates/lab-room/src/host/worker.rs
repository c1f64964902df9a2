//! The task of a seat: does one [`Job`] after the other with the seat's lab.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::{Host, Refusal};
use crate::backend::BackendError;
use crate::config::SeatConfig;
use crate::event::Event;
use crate::fold::{LabState, Seat};

/// Longest time for one change of a lab.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(5);
/// Interval at which the limit of a drill and a lab out of sight are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Time for which the referee has no sight of a lab until it is brought up again.
const OUT_OF_SIGHT: Duration = Duration::from_secs(6);
/// Attempts until a lab counts as failed.
const ATTEMPTS: u32 = 3;
/// Pause before another attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// Time after which a referee that fails is not one that fails at once.
const STEADY: Duration = Duration::from_mins(1);

/// Does what has to be done with the lab of one seat until `end` is cancelled.
pub(super) async fn work(host: Arc<Host>, seat: SeatConfig, end: CancellationToken) {
    let Some(waker) = host.wakers.get(&seat.number).cloned() else { return };
    let mut attempts = 0;
    while !end.is_cancelled() {
        let job = host.next_job(&seat);
        let done = match &job {
            Job::Wait => {
                tokio::select! {
                    () = end.cancelled() => {}
                    () = waker.notified() => {}
                }
                continue;
            }
            Job::Watch(id) => watch(&host, &seat, id, &waker, &end).await,
            other => {
                let Ok(_permit) = host.lab_work.acquire().await else { return };
                if end.is_cancelled() {
                    return;
                }
                host.change_lab(&seat, other).await
            }
        };
        let Err(reason) = done else {
            attempts = 0;
            continue;
        };
        attempts += 1;
        if attempts >= ATTEMPTS && !matches!(reason, Refusal::Unsaved(_)) {
            attempts = 0;
            let (number, reason) = (seat.number, reason.to_string());
            let failed = move |_: &_| Some(Event::Failed { seat: number, reason });
            let _ = host.record_seat(number, failed).await;
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// Referees a drill. A lab that the referee has lost sight of because its processes are gone is brought up again.
async fn watch(
    host: &Arc<Host>,
    seat: &SeatConfig,
    id: &str,
    waker: &Notify,
    end: &CancellationToken,
) -> Result<(), Refusal> {
    let since = Instant::now();
    let stop = end.child_token();
    let mut watching = host.backend.watch(&seat.lab, id, host.paused.subscribe(), stop.clone());
    let mut unseen = None;
    let mut is_lost = false;
    let result = loop {
        tokio::select! {
            result = &mut watching => break result,
            () = waker.notified() => {}
            () = sleep(TICK) => {}
        }
        if let Job::End(_, by) = host.next_job(seat)
            && !host.write_end(seat.number, by).await
        {
            stop.cancel();
        }
        if !host.is_out_of_sight(seat.number) {
            unseen = None;
        } else if unseen.get_or_insert_with(Instant::now).elapsed() >= OUT_OF_SIGHT && !is_lost {
            unseen = None;
            is_lost = host.backend.snapshot(&seat.lab).await.services.is_empty();
            if is_lost {
                stop.cancel();
            }
        }
    };
    host.poll_off_thread(seat.number).await;
    match result {
        Ok(Some(_)) => Ok(()),
        Ok(None) if end.is_cancelled() => Ok(()),
        // A referee that worked for a while may be continued.
        Ok(None) if is_lost || since.elapsed() >= STEADY => host.bring_up(seat).await,
        Ok(None) => Err(Refusal::Lab("the referee stopped".to_owned())),
        Err(BackendError(reason)) => {
            let failure = Err(Refusal::Lab(format!("the referee failed: {reason}")));
            let recovered = host.bring_up(seat).await;
            if since.elapsed() >= STEADY { recovered } else { failure }
        }
    }
}

impl Host {
    fn next_job(&self, seat: &SeatConfig) -> Job {
        self.with_state(|state| {
            let Some(found) = state.room.seats.get(&seat.number) else { return Job::Wait };
            let drill = found.drill().and_then(|drill| state.drills.get(&drill.id));
            let is_lost = found.lab == LabState::Ready && self.is_lost(seat.number);
            match Job::next(state.room, found, drill) {
                Job::Wait if is_lost => Job::BringUp,
                job => job,
            }
        })
    }

    async fn change_lab(self: &Arc<Self>, seat: &SeatConfig, job: &Job) -> Result<(), Refusal> {
        match job {
            Job::Wait | Job::Watch(_) => Ok(()),
            Job::BringUp => self.bring_up(seat).await,
            Job::Reset => {
                limited(self.backend.reset(&seat.lab)).await.map_err(Refusal::Lab)?;
                self.record_ready(seat).await
            }
            Job::Start => self.begin_seat(seat).await,
            Job::End(id, by) => self.end_seat(seat, id, *by).await,
        }
    }

    async fn bring_up(self: &Arc<Self>, seat: &SeatConfig) -> Result<(), Refusal> {
        limited(self.backend.bring_up(&seat.lab)).await.map_err(Refusal::Lab)?;
        self.record_ready(seat).await
    }

    async fn record_ready(self: &Arc<Self>, seat: &SeatConfig) -> Result<(), Refusal> {
        let number = seat.number;
        self.found(number);
        let ready = move |found: &Seat| (found.lab != LabState::Ready).then_some(Event::Ready { seat: number });
        self.record_seat(number, ready).await
    }

    /// The referee of a seat's drill cannot look at its lab.
    fn is_out_of_sight(&self, seat: u16) -> bool {
        self.with_state(|state| {
            let active = state.room.seats.get(&seat).and_then(|seat| seat.drill());
            let drill = active.and_then(|active| state.drills.get(&active.id));
            state.room.paused.is_none() && drill.is_some_and(lab_drill::fold::Drill::is_unknown)
        })
    }

    async fn poll_off_thread(self: &Arc<Self>, seat: u16) {
        let host = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || host.poll(seat)).await;
    }
}

/// Limits the time of a change of a lab.
pub(super) async fn limited<T>(work: impl Future<Output = Result<T, BackendError>>) -> Result<T, String> {
    match timeout(CHANGE_TIMEOUT, work).await {
        Ok(result) => result.map_err(|BackendError(reason)| reason),
        Err(_) => Err(format!("it did not end within {} minutes", CHANGE_TIMEOUT.as_secs() / 60)),
    }
}
