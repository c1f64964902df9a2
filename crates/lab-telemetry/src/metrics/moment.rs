//! [`Moment`]: a point in time on two clocks. The wall clock is only for display, since it can be set back or forward.
//! Durations, deadlines and the order of events use the steady clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For display.
    pub wall: DateTime<Utc>,
    /// Since a fixed point in the past; it never goes back.
    pub steady: Duration,
}

impl Moment {
    /// Now. The steady clock counts from the first call in this process.
    pub fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { wall: Utc::now(), steady: START.get_or_init(Instant::now).elapsed() }
    }

    /// Time that has passed since an earlier moment of the same process.
    pub fn since(self, earlier: Self) -> Duration {
        self.steady.saturating_sub(earlier.steady)
    }
}

impl From<DateTime<Utc>> for Moment {
    /// For recorded times, whose clocks agree: the steady clock counts from the epoch.
    fn from(wall: DateTime<Utc>) -> Self {
        Self { wall, steady: (wall - DateTime::UNIX_EPOCH).to_std().unwrap_or_default() }
    }
}
