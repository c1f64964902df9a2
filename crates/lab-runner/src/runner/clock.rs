//! [`Clock`]: the time of a run, in seconds since its start and in UTC; and [`Reporter`], which stamps events with it. The
//! wall clock is read once, so that the two never disagree.

use std::io;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::Instant;

use lab_core::event::{Event, EventKind, Secrets};

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: DateTime<Utc>,
    instant: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Utc::now().trunc_subsecs(6), instant: Instant::now() }
    }

    /// Seconds since the run's start.
    pub(super) fn elapsed(&self) -> f64 {
        seconds(self.instant.elapsed())
    }

    /// Now, in UTC.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.at(self.elapsed())
    }

    /// So many seconds after the run's start, in UTC.
    pub(super) fn at(&self, elapsed: f64) -> DateTime<Utc> {
        let micros = Duration::from_secs_f64(elapsed.max(0.0));
        self.start + TimeDelta::from_std(micros).unwrap_or_default().max(TimeDelta::zero())
    }

    /// A time in UTC, in seconds since the run's start.
    pub(super) fn since_start(&self, at: DateTime<Utc>) -> f64 {
        seconds((at - self.start).to_std().unwrap_or_default())
    }
}

/// Seconds, to the microsecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// Seconds, to the microsecond.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Passes events on, each with its time. After the first one that could not be taken, no more are passed on.
pub(super) struct Reporter<F> {
    emit: F,
    clock: Clock,
    /// What no event is to tell.
    secrets: Secrets,
    error: Option<io::Error>,
}

impl<F: FnMut(&Event) -> io::Result<()>> Reporter<F> {
    pub(super) fn new(emit: F, clock: Clock, secrets: Secrets) -> Self {
        Self { emit, clock, secrets, error: None }
    }

    /// Also these are not to be told.
    pub(super) fn hide(&mut self, secrets: &Secrets) {
        self.secrets.extend(secrets);
    }

    pub(super) fn send(&mut self, mut kind: EventKind) {
        if self.error.is_some() {
            return;
        }
        kind.mask(&self.secrets);
        let elapsed = self.clock.elapsed();
        let event = Event { at: self.clock.at(elapsed), elapsed, kind };
        self.error = (self.emit)(&event).err();
    }

    /// Why events are no longer taken.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}
