//! [`Pacer`]: when requests are due. Pure arithmetic on the elapsed time and the requests released, after vegeta's
//! `lib/pacer.go`; the schedule is absolute (request `i` is due at `i / rate`), so that nothing drifts.

use std::time::Duration;

use super::Amount;

/// A schedule of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    rate: f64,
    total: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many requests more are due, at least one.
    Release(u64),
    /// None is due for so long.
    Wait(Duration),
    /// All were released.
    Done,
}

impl Pacer {
    /// A schedule of this many requests, or of those due before a time; `rate` in requests a second, above 0.
    pub(super) fn new(amount: Amount, rate: f64) -> Self {
        let total = match amount {
            Amount::Requests(total) => total,
            Amount::Duration(end) => due_before(end, rate),
        };
        Self { rate, total }
    }

    /// How many requests there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When a request is due, counted from the first one; none beyond the last.
    pub(super) fn due(&self, index: u64) -> Option<Duration> {
        (index < self.total).then(|| due(index, self.rate))
    }

    /// What to do at `elapsed` when `released` requests were released before.
    pub(super) fn next(&self, elapsed: Duration, released: u64) -> Pace {
        let Some(next) = self.due(released) else { return Pace::Done };
        let wait = next.saturating_sub(elapsed);
        if !wait.is_zero() {
            return Pace::Wait(wait);
        }
        // Those due at `elapsed` itself are due.
        let owed = due_before(elapsed + Duration::from_nanos(1), self.rate).min(self.total);
        Pace::Release(owed.saturating_sub(released).max(1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
fn due(index: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(index as f64 / rate).unwrap_or(Duration::MAX)
}

/// How many requests are due before `end`: the smallest `n` with `due(n) >= end`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and the product is not negative"
)]
fn due_before(end: Duration, rate: f64) -> u64 {
    let mut count = (end.as_secs_f64() * rate).ceil() as u64;
    // The product may be rounded across a request's instant, by one.
    while count > 0 && due(count - 1, rate) >= end {
        count -= 1;
    }
    while due(count, rate) < end {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forty_at_twenty_a_second_take_until_1_95_s() {
        let pacer = Pacer::new(Amount::Requests(40), 20.0);
        assert_eq!(pacer.due(0), Some(Duration::ZERO));
        assert_eq!(pacer.due(39), Some(Duration::from_millis(1950)));
        assert_eq!(pacer.due(40), None);
        assert_eq!(pacer.next(Duration::ZERO, 0), Pace::Release(1));
        assert_eq!(pacer.next(Duration::ZERO, 1), Pace::Wait(Duration::from_millis(50)));
        assert_eq!(pacer.next(Duration::from_millis(100), 1), Pace::Release(2));
        assert_eq!(pacer.next(Duration::from_secs(9), 40), Pace::Done);
    }

    #[test]
    fn a_duration_takes_those_due_before_it() {
        assert_eq!(Pacer::new(Amount::Duration(Duration::from_secs(2)), 20.0).total(), 40);
        assert_eq!(Pacer::new(Amount::Duration(Duration::from_millis(1)), 1.0).total(), 1);
        assert_eq!(Pacer::new(Amount::Duration(Duration::from_millis(2001)), 20.0).total(), 41);
    }

    proptest! {
        #[test]
        fn a_request_is_due_exactly_on_schedule(index in 0u64..10_000_000, rate in 0.001f64..1e6) {
            let pacer = Pacer::new(Amount::Requests(u64::MAX), rate);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let exact = index as f64 / rate;
            let due = pacer.due(index).expect("within the total").as_secs_f64();
            prop_assert!((due - exact).abs() <= 1e-9 + exact * 1e-12, "{due} {exact}");
        }

        #[test]
        fn a_duration_ends_between_two_requests(millis in 1u64..100_000, rate in 0.001f64..1e5) {
            let end = Duration::from_millis(millis);
            let total = Pacer::new(Amount::Duration(end), rate).total();
            prop_assert!(total > 0);
            prop_assert!(due(total - 1, rate) < end);
            prop_assert!(due(total, rate) >= end);
        }

        /// Whatever the delays of the one who asks: nothing is released early, all is released once, and right after a
        /// release nothing is owed.
        #[test]
        fn every_request_is_released_once_and_not_early(
            total in 1u64..500, rate in 0.5f64..5e4, late in prop::collection::vec(0u64..50_000_000, 1..50),
        ) {
            let pacer = Pacer::new(Amount::Requests(total), rate);
            let (mut elapsed, mut released, mut turn) = (Duration::ZERO, 0, 0);
            loop {
                match pacer.next(elapsed, released) {
                    Pace::Release(count) => {
                        released += count;
                        prop_assert!(pacer.due(released - 1).is_some_and(|due| due <= elapsed));
                        prop_assert!(!matches!(pacer.next(elapsed, released), Pace::Release(_)));
                    }
                    Pace::Wait(wait) => {
                        elapsed += wait + Duration::from_nanos(late[turn % late.len()]);
                        turn += 1;
                    }
                    Pace::Done => break,
                }
            }
            prop_assert_eq!(released, total);
        }
    }
}
