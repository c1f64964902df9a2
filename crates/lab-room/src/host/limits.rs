//! [`Rates`]: how often a seat may act, and how much it may write.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::SeatNumber;

/// A rate with a burst, of actions or of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Amount per second in the long run.
    pub(super) per_second: f64,
    /// Amount at once.
    pub(super) burst: f64,
}

/// Limits one thing for each seat.
#[derive(Debug)]
pub(super) struct Rates {
    rate: Rate,
    seats: BTreeMap<SeatNumber, (f64, Instant)>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, seats: BTreeMap::new() }
    }

    /// Counts an action.
    ///
    /// # Errors
    /// The time until the next one is possible.
    pub(super) fn add(&mut self, seat: SeatNumber, now: Instant) -> Result<(), Duration> {
        self.add_amount(seat, 1.0, now)
    }

    /// Counts an amount.
    ///
    /// # Errors
    /// The time until it is possible.
    pub(super) fn add_amount(&mut self, seat: SeatNumber, amount: f64, now: Instant) -> Result<(), Duration> {
        let Rate { per_second, burst } = self.rate;
        let (left, last) = self.seats.entry(seat).or_insert((burst, now));
        let passed = now.saturating_duration_since(*last).as_secs_f64();
        let available = (*left + passed * per_second).min(burst);
        (*left, *last) = (available, now);
        if available < amount {
            return Err(Duration::from_secs_f64((amount - available) / per_second));
        }
        *left -= amount;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_rate_and_seats_do_not_share_it() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut rates = Rates::new(Rate { per_second: 5.0, burst: 3.0 });
        for _ in 0..3 {
            assert_eq!(rates.add(1, start), Ok(()));
        }
        assert_eq!(rates.add(1, start), Err(Duration::from_millis(200)));
        assert_eq!(rates.add(2, start), Ok(()));
        assert_eq!((rates.add(1, after(210)), rates.add(1, after(220)).is_err()), (Ok(()), true));
        assert!(rates.add_amount(2, 2.5, start).is_err() && rates.add_amount(2, 2.0, start).is_ok());
        assert!((0..10).filter(|_| rates.add(1, after(60_000)).is_ok()).count() == 3);
    }
}
