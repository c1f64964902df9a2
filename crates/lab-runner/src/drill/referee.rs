//! [`Referee`]: drives the callers, injects the fault, looks at the lab, and writes what it sees into the drill's log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::lookout::Lookout;
use super::prepare::{prepare, revive};
use super::restore::Restore;
use super::traffic::{is_disruptive, is_overloaded, mix, succeeds};
use super::watch::{Pause, Watch, finished};
use super::wire::ProbeWire;
use super::{DrillError, check, inject};
use crate::callers::{CallerMix, CallersState, STATE_FILE, SecondCounts, Sending};
use crate::lab::revisions::Author;
use lab_core::engine::{Description, EngineError};
use lab_drill::event::{Check, Ending, Entry, Event};
use lab_drill::fold::Drill;
use lab_drill::log::{Log, LogError};
use lab_system::files;

/// Interval at which the participant's entries and the history are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A tick that comes later than this shows that the process did not run: the machine was suspended, or is overloaded.
const STALL: Duration = Duration::from_secs(2);
/// Interval of the look at the services.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Interval of the checks while the callers succeed, and once the incident is resolved.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const RESOLVED_INTERVAL: Duration = Duration::from_secs(2);
/// Interval of checks that disturb the callers.
const DISRUPTION_INTERVAL: Duration = Duration::from_secs(30);
/// Drill time in milliseconds after which a drill ends.
const TIME_LIMIT: u64 = 2 * 60 * 60 * 1000;
/// Looks that must fail in a row before the lab counts as out of sight.
const FAILED_LOOKS: u32 = 2;

mod sight;
#[cfg(test)]
mod tests;

/// The referee of one drill.
pub struct Referee {
    watch: Watch,
    log: Log,
    drill: Drill,
    clock: Clock,
    lookout: Lookout,
    sending: Sending,
    seconds: UnboundedReceiver<Vec<SecondCounts>>,
    mix: CallerMix,
    /// When the injection began.
    fault: Option<DateTime<Utc>>,
    injection: Option<JoinHandle<Result<(), DrillError>>>,
    look: Option<JoinHandle<Result<Description, EngineError>>>,
    check: Option<JoinHandle<Check>>,
    looked: Option<Instant>,
    checked: Option<Instant>,
    ticked: Instant,
    failed_looks: u32,
    /// Whether the last check failed after one that passed.
    is_doubtful: bool,
    /// Whether the callers notice a check.
    is_disruptive: bool,
    /// Whether every caller succeeded in the last second.
    succeeds: bool,
    pause: Pause,
    /// Drill time in milliseconds after which the drill ends.
    limit: u64,
}

impl Referee {
    /// Begins or continues to watch. Prepares the lab first if the fault was not injected yet. A fault whose injection was
    /// interrupted is undone and injected again.
    ///
    /// # Errors
    /// If the log cannot be used, or the lab cannot be observed or changed.
    pub async fn begin(watch: Watch, mut log: Log) -> Result<Self, DrillError> {
        let entries = log.read()?;
        let drill = Drill::from_entries(&entries).map_err(|_| DrillError::NotStarted)?;
        let fault = entries.iter().find(|entry| entry.event == Event::Injecting).map(|entry| entry.at);
        let id = drill.started.id.clone();
        if drill.ended.is_none() {
            revive(&watch.lab, watch.engine.as_ref()).await?;
        }
        if fault.is_none() && drill.ended.is_none() {
            prepare(&watch.lab, &watch.engine, &watch.wire, &watch.plan, (&id, log.secret())).await?;
        }
        let wire = ProbeWire(Arc::clone(&watch.wire));
        let give_up = CancellationToken::new();
        let restore = Restore { lab: &watch.lab, engine: &watch.engine, wire: &wire, drill: &id, give_up: &give_up };
        let start = restore.records()?.unwrap_or_default();
        let interrupted = fault.is_some() && drill.broken.is_none() && drill.failure.is_none();
        if interrupted && drill.ended.is_none() {
            restore.revert(&start, Author::Drill { drill: id.clone() }).await?;
        }
        let now = watch.engine.describe().await?;
        let (mix, is_disruptive) = (mix(&watch.plan), is_disruptive(&watch.plan));
        let mut sending = Sending::new(mix.clone(), now.endpoints.gateway.clone());
        let seconds = sending.seconds();
        let lookout = Lookout::new(&watch.lab, watch.engine.roles(), &watch.plan, start, &drill);
        let clock = Clock::from(drill.clock);
        let injection = interrupted.then(|| spawn_injection(&watch, &id));
        let mut referee = Self {
            watch,
            log,
            drill,
            clock,
            lookout,
            sending,
            seconds,
            mix,
            fault,
            injection,
            look: None,
            check: None,
            looked: None,
            checked: None,
            ticked: Instant::now(),
            failed_looks: 0,
            is_doubtful: false,
            is_disruptive,
            succeeds: false,
            pause: Pause::default(),
            limit: TIME_LIMIT,
        };
        referee.write(Event::Watching { pid: std::process::id() })?;
        referee.follow_keys();
        referee.save_callers(None);
        Ok(referee)
    }

    /// Watches until the drill is over, the lab is gone, or `end` is cancelled. Returns how the drill ended, if it did.
    /// During a `pause` drill time stands still.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub async fn run(
        mut self,
        end: CancellationToken,
        pause: Pause,
        is_gone: impl Fn() -> bool,
    ) -> Result<Option<Ending>, DrillError> {
        self.pause = pause;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            let step = tokio::select! {
                biased;
                () = end.cancelled() => break Ok(None),
                () = self.pause.changed() => self.follow_pause(),
                Some(second) = self.seconds.recv() => self.add_second(&second),
                done = finished(&mut self.injection) => self.end_injection(done),
                done = finished(&mut self.look) => self.end_look(done),
                done = finished(&mut self.check) => self.end_check(done),
                _ = ticks.tick() => if is_gone() { self.write(Event::Ended { by: Ending::LabGone }) } else { self.tick() },
            };
            match (step, self.drill.ended) {
                (Ok(()), Some(end)) => break Ok(Some(end.by)),
                (Ok(()), None) => {}
                // The drill was ended and published meanwhile.
                (Err(DrillError::Log(LogError::Over)), _) => break Ok(None),
                (Err(error), _) => break Err(error),
            }
        };
        // Half an injection is harder to revert than a whole one.
        if let Some(injection) = self.injection.take() {
            let _ = injection.await;
        }
        self.sending.end().await;
        self.save_callers(Some("the drill is over"));
        result
    }

    /// Writes an entry, and follows those of the participant before it.
    fn write(&mut self, event: Event) -> Result<(), DrillError> {
        let entries = self.log.append(Some(self.clock.now()), event)?;
        self.follow(&entries);
        Ok(())
    }

    fn follow(&mut self, entries: &[Entry]) {
        for entry in entries {
            if entry.event == Event::Injecting {
                self.fault.get_or_insert(entry.at);
            }
            self.drill.apply(entry);
        }
    }

    fn tick(&mut self) -> Result<(), DrillError> {
        let late = self.ticked.elapsed().saturating_sub(TICK);
        self.ticked = Instant::now();
        if late > STALL {
            self.leave_out(late)?;
        }
        let entries = self.log.read()?;
        self.follow(&entries);
        if self.drill.ended.is_some() {
            return Ok(());
        }
        self.follow_keys();
        if self.clock.now() >= self.limit {
            return self.write(Event::Ended { by: Ending::TimeLimit });
        }
        self.inject_if_due()?;
        self.look_if_due();
        self.check_if_due()
    }

    /// Lets the callers send the keys that they have now.
    fn follow_keys(&mut self) {
        // An unreadable record may be readable again later.
        if let Ok(Some(record)) = self.watch.lab.record() {
            self.sending.follow(&record);
        }
    }

    fn add_second(&mut self, second: &[SecondCounts]) -> Result<(), DrillError> {
        self.save_callers(None);
        let rates = self.drill.started.callers.iter().map(|(_, rate)| *rate);
        self.succeeds = second
            .iter()
            .zip(rates)
            .enumerate()
            .all(|(caller, (counts, rate))| !self.drill.counts(caller) || succeeds(counts, rate));
        if is_overloaded(second) {
            return self.lose_sight("the callers could not send their requests: this machine is overloaded");
        }
        if self.is_disruptive && self.check.is_some() {
            return Ok(());
        }
        if self.drill.is_unknown() {
            return if self.failed_looks == 0 { self.regain_sight() } else { Ok(()) };
        }
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let callers = second.iter().map(|counts| (number(counts.sent), number(counts.succeeded))).collect();
        match self.write(Event::Second { callers }) {
            // A full disk costs a second, not the drill.
            Err(DrillError::Log(LogError::File { .. })) => Ok(()),
            written => written,
        }
    }

    fn inject_if_due(&mut self) -> Result<(), DrillError> {
        let is_due = self.drill.started.fault && self.fault.is_none() && self.clock.now() >= self.drill.started.quiet;
        if !is_due || self.drill.is_unknown() {
            return Ok(());
        }
        self.write(Event::Injecting)?;
        self.injection = Some(spawn_injection(&self.watch, &self.drill.started.id));
        Ok(())
    }

    fn end_injection(&mut self, done: Result<Result<(), DrillError>, JoinError>) -> Result<(), DrillError> {
        match done {
            Ok(Ok(())) => self.write(Event::Broken),
            Ok(Err(error)) => self.give_up(error.to_string()),
            Err(panic) => self.give_up(crate::undo::TaskPanic::from(panic).to_string()),
        }
    }

    fn give_up(&mut self, reason: String) -> Result<(), DrillError> {
        self.write(Event::Failed { reason })?;
        self.write(Event::Ended { by: Ending::Void })
    }

    fn look_if_due(&mut self) {
        let is_due = self.looked.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL) || self.lookout.has_news();
        if self.look.is_none() && is_due {
            self.looked = Some(Instant::now());
            let Watch { lab, engine, .. } = self.watch.clone();
            let is_lost = self.failed_looks > FAILED_LOOKS;
            self.look = Some(tokio::spawn(async move {
                if is_lost {
                    // If this fails, the next look tries again.
                    let _ = revive(&lab, engine.as_ref()).await;
                }
                engine.describe().await
            }));
        }
    }

    fn end_look(&mut self, done: Result<Result<Description, EngineError>, JoinError>) -> Result<(), DrillError> {
        for event in self.lookout.changes(self.drill.at, self.fault) {
            self.write(event)?;
        }
        let now = match done {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => {
                self.failed_looks += 1;
                let reason = format!("the lab does not answer: {error}");
                return if self.failed_looks >= FAILED_LOOKS { self.lose_sight(&reason) } else { Ok(()) };
            }
            Err(_) => return Ok(()),
        };
        if self.failed_looks >= FAILED_LOOKS {
            self.regain_sight()?;
        }
        self.failed_looks = 0;
        self.sending.set_gateway(now.endpoints.gateway.clone());
        match self.lookout.services(&now) {
            Some(event) => self.write(event),
            None => Ok(()),
        }
    }

    /// Checks while the callers look as if the incident were mitigated, so that the result is known when they were for long
    /// enough.
    fn check_if_due(&mut self) -> Result<(), DrillError> {
        let pause = if self.drill.resolved().is_some() { RESOLVED_INTERVAL } else { CHECK_INTERVAL };
        let is_due = self.checked.is_none_or(|at| at.elapsed() >= pause);
        let is_useful = self.drill.impact.is_some() && self.succeeds && !self.drill.is_unknown();
        if self.check.is_none() && is_due && is_useful && (!self.is_disruptive || self.is_disruption_due()) {
            self.checked = Some(Instant::now());
            if self.is_disruptive {
                self.lose_sight("the referee tests the fix with requests that the callers notice")?;
            }
            let (watch, users) = (self.watch.clone(), self.drill.started.users.clone());
            self.check = Some(tokio::spawn(async move { check::check(&watch, users.as_deref()).await }));
        }
        Ok(())
    }

    /// Whether to execute a check that disturbs the callers: once after they were successful for long enough, and again after a
    /// change or a while.
    fn is_disruption_due(&self) -> bool {
        let changed = self.drill.changes.last().map(|change| change.at);
        let is_new = self.drill.check.as_ref().is_none_or(|(at, _)| changed.is_some_and(|changed| changed > *at));
        let is_over = self.checked.is_none_or(|at| at.elapsed() >= DISRUPTION_INTERVAL);
        self.drill.mitigated().is_some() && (is_new || (is_over && self.drill.resolved().is_none()))
    }

    fn end_check(&mut self, done: Result<Check, JoinError>) -> Result<(), DrillError> {
        if self.is_disruptive {
            self.regain_sight()?;
        }
        let Ok(check) = done else { return Ok(()) };
        // A passed check is not taken back by one request that came too late on a busy machine.
        let is_first = !self.is_doubtful && !self.is_disruptive;
        let fails_first = check != Check::Passed && is_first && matches!(self.drill.check, Some((_, Check::Passed)));
        self.is_doubtful = fails_first;
        if fails_first {
            self.checked = None;
            return Ok(());
        }
        let is_new = self.drill.check.as_ref().is_none_or(|(_, last)| *last != check);
        // Until the incident is resolved, the time of a passed check matters.
        let is_younger = check == Check::Passed && self.drill.resolved().is_none();
        if is_new || is_younger { self.write(Event::Checked(check)) } else { Ok(()) }
    }

    /// Writes the callers' counts, as the process of `lab callers start` does, without the scenario.
    fn save_callers(&self, ended: Option<&str>) {
        let state = CallersState {
            pid: std::process::id(),
            since: self.sending.since(),
            until: Utc::now().trunc_subsecs(0) + TimeDelta::hours(2),
            mix: self.mix.clone(),
            callers: self.sending.counts(),
            ended: ended.map(|why| (Utc::now().trunc_subsecs(3), why.to_owned())),
        };
        let path = self.watch.lab.folder().path(STATE_FILE);
        let written = serde_json::to_vec(&state).map_err(io::Error::from);
        // A full disk does not end the traffic, and the folder may be gone.
        let _ = written.and_then(|text| {
            if self.watch.lab.folder().root().exists() { files::write_volatile(&path, &text) } else { Ok(()) }
        });
    }
}

fn spawn_injection(watch: &Watch, id: &str) -> JoinHandle<Result<(), DrillError>> {
    let Watch { lab, engine, wire, plan } = watch.clone();
    tokio::spawn(inject::inject(lab, engine, wire, plan, id.to_owned()))
}
