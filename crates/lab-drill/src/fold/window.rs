//! The callers' requests over the last seconds.

use serde::{Serialize, Serializer};

/// Length of the window, in seconds.
pub(crate) const SECONDS: usize = 10;
/// Number of seconds without a failure after which the callers count as recovered.
const RECOVERED: usize = 3;
/// Longest time between the ends of two consecutive seconds, in milliseconds.
const STEP: u64 = 1500;

/// The callers' requests of one second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Its end.
    pub at: u64,
    /// Requests sent and requests that succeeded, of each caller in the order of the start.
    pub callers: Box<[(u32, u32)]>,
}

/// Requests of all callers over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Requests sent.
    pub sent: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
}

impl Second {
    /// Its begin, in drill time.
    pub fn begin(&self) -> u64 {
        self.at.saturating_sub(1000)
    }
}

/// What the callers got before the fault. One whose requests all failed then, such as an old script with a wrong key, is no
/// measure of the fault: neither its failures nor its requests count.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Requests sent and requests that succeeded, of each caller.
    before: Vec<(u32, u32)>,
}

impl Heard {
    pub(super) fn new(callers: usize) -> Self {
        Self { before: vec![(0, 0); callers] }
    }

    /// Adds a second before the fault.
    pub(super) fn add(&mut self, second: &Second) {
        for (sum, (sent, succeeded)) in self.before.iter_mut().zip(&second.callers) {
            *sum = (sum.0.saturating_add(*sent), sum.1.saturating_add(*succeeded));
        }
    }

    /// Whether a caller counts.
    pub(super) fn counts(&self, caller: usize) -> bool {
        self.before.get(caller).is_none_or(|(sent, succeeded)| *sent == 0 || *succeeded > 0)
    }

    /// Requests of the callers that count.
    fn counted<'a>(&'a self, second: &'a Second) -> impl Iterator<Item = (u32, u32)> + 'a {
        second.callers.iter().enumerate().filter(|(caller, _)| self.counts(*caller)).map(|(_, requests)| *requests)
    }

    /// Whether there were requests, and none failed.
    pub(super) fn succeeds(&self, second: &Second) -> bool {
        self.failed(second) == 0 && self.counted(second).any(|(sent, _)| sent > 0)
    }

    /// Number of failed requests.
    pub(super) fn failed(&self, second: &Second) -> u32 {
        self.counted(second).map(|(sent, succeeded)| sent.saturating_sub(succeeded)).sum()
    }
}

impl Share {
    /// Share of the last 10 seconds, or of the last 3 if they have no failure: after a fix, older failures are over. `None` without
    /// any second.
    pub(super) fn current(seconds: &[Second], heard: &Heard) -> Option<Self> {
        let last = |count: usize| &seconds[seconds.len().saturating_sub(count)..];
        let recovered = seconds.len() >= RECOVERED && last(RECOVERED).iter().all(|second| heard.succeeds(second));
        let last = last(if recovered { RECOVERED } else { SECONDS });
        let requests = last.iter().flat_map(|second| heard.counted(second));
        let add = |share: Self, (sent, succeeded): (u32, u32)| Self {
            sent: share.sent + u64::from(sent),
            succeeded: share.succeeded + u64::from(succeeded),
        };
        (!last.is_empty()).then(|| requests.fold(Self::default(), add))
    }

    /// Failed requests by requests, 0 to 1. Without any request it is 1, since no traffic is no success.
    pub fn failing(self) -> f64 {
        if self.sent == 0 {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds are far below 2^52")]
        let ratio = self.sent.saturating_sub(self.succeeded) as f64 / self.sent as f64;
        ratio
    }

    /// At least 99 % of the requests succeeded.
    pub fn is_healthy(self) -> bool {
        self.failing() <= 0.01
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut share = serializer.serialize_struct("Share", 3)?;
        share.serialize_field("sent", &self.sent)?;
        share.serialize_field("succeeded", &self.succeeded)?;
        share.serialize_field("failing", &self.failing())?;
        share.end()
    }
}

/// Running sums over the last 10 consecutive seconds.
#[derive(Clone, Debug)]
pub(super) struct Window {
    rates: Vec<f64>,
    sums: Vec<(u32, u32)>,
    /// Number of seconds in the sums.
    length: usize,
    /// End of the last second.
    last: u64,
    /// Begin of the first second.
    start: u64,
}

impl Window {
    pub(super) fn new(callers: &[(String, f64)]) -> Self {
        let rates: Vec<f64> = callers.iter().map(|(_, rate)| *rate).collect();
        Self { sums: vec![(0, 0); rates.len()], rates, length: 0, last: 0, start: 0 }
    }

    /// Forgets all seconds.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.sums.fill((0, 0));
    }

    /// Adds a second that follows `before`.
    pub(super) fn add(&mut self, second: &Second, before: &[Second]) {
        if self.length > 0 && second.at > self.last + STEP {
            self.clear();
        }
        if self.length == SECONDS
            && let Some(oldest) = before.len().checked_sub(SECONDS).and_then(|index| before.get(index))
        {
            for (sum, (sent, succeeded)) in self.sums.iter_mut().zip(&oldest.callers) {
                *sum = (sum.0.saturating_sub(*sent), sum.1.saturating_sub(*succeeded));
            }
            self.length -= 1;
        }
        for (sum, (sent, succeeded)) in self.sums.iter_mut().zip(&second.callers) {
            *sum = (sum.0.saturating_add(*sent), sum.1.saturating_add(*succeeded));
        }
        self.length += 1;
        self.last = second.at;
        let first = before.len().checked_sub(self.length - 1).and_then(|index| before.get(index));
        self.start = first.unwrap_or(second).begin();
    }

    /// Start of the window, and whether every caller succeeds in it. `None` if it is not complete.
    pub(super) fn verdict(&self, heard: &Heard) -> Option<(u64, bool)> {
        let succeeds = |((sent, succeeded), rate): (&(u32, u32), &f64)| {
            // 90 % of the rate, over 10 seconds.
            f64::from(*sent) >= rate * 9.0 && u64::from(*succeeded) * 100 >= u64::from(*sent) * 99
        };
        let counted = || self.sums.iter().zip(&self.rates).enumerate().filter(|(caller, _)| heard.counts(*caller));
        let all = || counted().all(|(_, one)| succeeds(one));
        (self.length == SECONDS).then(|| (self.start, all()))
    }
}
