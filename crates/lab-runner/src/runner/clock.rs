//! Time of a run, in seconds since its start and in UTC, and the [`Reporter`] that adds it to events. The wall clock is
//! read only once, so the two always agree.

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

    pub(super) fn elapsed(&self) -> f64 {
        seconds(self.instant.elapsed())
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.at(self.elapsed())
    }

    /// Converts seconds since the start of the run to UTC.
    pub(super) fn at(&self, elapsed: f64) -> DateTime<Utc> {
        let micros = Duration::from_secs_f64(elapsed.max(0.0));
        self.start + TimeDelta::from_std(micros).unwrap_or_default().max(TimeDelta::zero())
    }

    /// Converts UTC to seconds since the start of the run.
    pub(super) fn since_start(&self, at: DateTime<Utc>) -> f64 {
        seconds((at - self.start).to_std().unwrap_or_default())
    }
}

/// Converts to seconds with microsecond precision.
pub(super) fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// Rounds to microseconds.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Masks events, adds the time and forwards them. Stops forwarding after the first error.
pub(super) struct Reporter<F> {
    emit: F,
    clock: Clock,
    /// Values to mask in every event.
    secrets: Secrets,
    error: Option<io::Error>,
}

impl<F: FnMut(&Event) -> io::Result<()>> Reporter<F> {
    pub(super) fn new(emit: F, clock: Clock, secrets: Secrets) -> Self {
        Self { emit, clock, secrets, error: None }
    }

    /// Adds values to mask.
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

    /// The error that stopped forwarding.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}
