//! Due times of requests: pure arithmetic on the elapsed time and the released requests, modelled on vegeta's `lib/pacer.go`.
//! Even arrivals are due when the profile's mass is a whole number. Poisson arrivals are due when it is a sum of exponential
//! gaps (time rescaling), which gives a Poisson process with exactly the profile's rate, even while that changes.

use std::time::Duration;

use super::profile::Profile;
use super::random::Random;
use super::{Amount, Arrivals, Stage};

/// Iterator over the remaining requests. A clone yields the same requests.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    profile: Profile,
    arrivals: Source,
    /// Number of requests taken.
    taken: u64,
    /// Mass of the profile at the next request.
    mass: f64,
    end: End,
    /// Requests due during the warm-up are not counted, not even in [`Amount::Requests`].
    warmup: Duration,
    warm: u64,
}

#[derive(Clone, Copy, Debug)]
enum End {
    After(u64),
    At(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Even,
    Poisson(Random),
}

/// Next step of the pacing loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Number of requests that are due, at least one.
    Release(u64),
    /// Time until the next request is due.
    Wait(Duration),
    /// All requests were released.
    Done,
}

impl Schedule {
    /// Schedules the warm-up at the first rate, then the stages, then the last rate until `amount` is reached.
    pub(super) fn new(stages: &[Stage], arrivals: Arrivals, amount: Amount, warmup: Duration) -> Self {
        let first = stages.first().map_or(0.0, |stage| if stage.from > 0.0 { stage.from } else { stage.to });
        let before = (!warmup.is_zero()).then_some(Stage { length: warmup, from: first, to: first });
        let end = match amount {
            Amount::Requests(count) => End::After(count),
            Amount::Duration(length) => End::At(warmup + length),
        };
        let arrivals = match arrivals {
            Arrivals::Even => Source::Even,
            Arrivals::Poisson { seed } => Source::Poisson(Random::new(seed)),
        };
        let profile = Profile::new(before.into_iter().chain(stages.iter().copied()));
        let mut schedule = Self { profile, arrivals, taken: 0, mass: 0.0, end, warmup, warm: 0 };
        if let Source::Poisson(random) = &mut schedule.arrivals {
            schedule.mass = random.exponential();
        }
        schedule
    }

    /// Number of counted requests. Exact for even arrivals and for [`Amount::Requests`], otherwise the expected value.
    pub(super) fn planned(&self) -> u64 {
        match self.end {
            End::After(count) => count,
            End::At(end) => {
                let mass =
                    |time: Duration| whole(self.profile.mass(time.as_secs_f64()), |count| self.even(count) < time);
                mass(end).saturating_sub(mass(self.warmup))
            }
        }
    }

    /// Due time of the next request, from the start of the warm-up. `None` after the last one.
    pub(super) fn due(&self) -> Option<Duration> {
        let due = self.profile.instant(self.mass);
        let within = match self.end {
            End::After(count) => self.taken - self.warm < count,
            End::At(end) => due < end,
        };
        within.then_some(due)
    }

    /// Claims the next request. Returns its number, counted from 0, and its due time.
    pub(super) fn claim(&mut self) -> Option<(u64, Duration)> {
        let due = self.due()?;
        let number = self.taken;
        self.taken += 1;
        self.warm += u64::from(due < self.warmup);
        self.mass = match &mut self.arrivals {
            Source::Even => float(self.taken),
            Source::Poisson(random) => self.mass + random.exponential(),
        };
        Some((number, due))
    }

    /// Takes all requests that are due at `elapsed`.
    pub(super) fn release(&mut self, elapsed: Duration) -> Step {
        let mut count = 0;
        loop {
            match self.due() {
                Some(due) if due <= elapsed => {
                    self.claim();
                    count += 1;
                }
                _ if count > 0 => return Step::Release(count),
                Some(due) => return Step::Wait(due.saturating_sub(elapsed)),
                None => return Step::Done,
            }
        }
    }

    fn even(&self, number: u64) -> Duration {
        self.profile.instant(float(number))
    }
}

/// Rounds `mass` up to the first number for which `before` is false. The correction is needed because instants are rounded.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and a mass is not negative")]
fn whole(mass: f64, before: impl Fn(u64) -> bool) -> u64 {
    let mut count = mass.ceil() as u64;
    while count > 0 && !before(count - 1) {
        count -= 1;
    }
    while before(count) {
        count += 1;
    }
    count
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steady(rate: f64, amount: Amount) -> Schedule {
        Schedule::new(&[Stage::steady(rate)], Arrivals::Even, amount, Duration::ZERO)
    }

    fn all(mut schedule: Schedule) -> Vec<Duration> {
        std::iter::from_fn(|| schedule.claim()).map(|(_, due)| due).collect()
    }

    #[test]
    fn forty_at_twenty_a_second_take_until_1_95_s() {
        let mut schedule = steady(20.0, Amount::Requests(40));
        let due = all(schedule.clone());
        assert_eq!((due.len(), due[0], due[39]), (40, Duration::ZERO, Duration::from_millis(1950)));
        assert_eq!(schedule.release(Duration::ZERO), Step::Release(1));
        assert_eq!(schedule.release(Duration::ZERO), Step::Wait(Duration::from_millis(50)));
        assert_eq!(schedule.release(Duration::from_millis(100)), Step::Release(2));
        assert_eq!(schedule.release(Duration::from_secs(9)), Step::Release(37));
        assert_eq!(schedule.release(Duration::from_secs(9)), Step::Done);
    }

    #[test]
    fn a_duration_takes_those_due_before_it() {
        let count = |millis, rate| {
            let schedule = steady(rate, Amount::Duration(Duration::from_millis(millis)));
            let planned = schedule.planned();
            assert_eq!(planned, all(schedule).len() as u64);
            planned
        };
        assert_eq!(count(2000, 20.0), 40);
        assert_eq!(count(1, 1.0), 1);
        assert_eq!(count(2001, 20.0), 41);
    }

    #[test]
    fn a_warm_up_comes_first_and_on_top() {
        let warm = Duration::from_secs(1);
        let schedule = Schedule::new(&[Stage::steady(20.0)], Arrivals::Even, Amount::Requests(40), warm);
        assert_eq!(schedule.planned(), 40);
        let due = all(schedule);
        assert_eq!((due.len(), due[59]), (60, Duration::from_millis(2950)));
        let stages = [Stage { length: Duration::from_secs(10), from: 0.0, to: 10.0 }];
        let timed = Schedule::new(&stages, Arrivals::Even, Amount::Duration(Duration::from_secs(10)), warm);
        assert_eq!(timed.planned(), 50);
        assert_eq!(all(timed).len(), 60);
    }

    #[test]
    fn poisson_arrivals_repeat_and_are_as_uneven_as_they_should_be() {
        let schedule = |seed| {
            let amount = Amount::Duration(Duration::from_secs(1000));
            Schedule::new(&[Stage::steady(100.0)], Arrivals::Poisson { seed }, amount, Duration::ZERO)
        };
        let due = all(schedule(7));
        assert_eq!(due, all(schedule(7)));
        assert_ne!(due, all(schedule(8)));
        // The mean and the variance of the counts per second are both 100.
        let mut counts = vec![0.0_f64; 1000];
        for at in &due {
            counts[usize::try_from(at.as_secs()).expect("short")] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((mean - 100.0).abs() < 1.5, "{mean}");
        assert!((variance - 100.0).abs() < 20.0, "{variance}");
    }

    proptest! {
        #[test]
        fn a_request_is_due_exactly_on_schedule(index in 0u64..10_000_000, rate in 0.001f64..1e6) {
            let due = steady(rate, Amount::Requests(u64::MAX)).even(index).as_secs_f64();
            let exact = float(index) / rate;
            prop_assert!((due - exact).abs() <= 1e-9 + exact * 1e-12, "{due} {exact}");
        }

        #[test]
        fn a_duration_ends_between_two_requests(millis in 1u64..100_000, rate in 0.001f64..1e5) {
            let end = Duration::from_millis(millis);
            let schedule = steady(rate, Amount::Duration(end));
            let total = schedule.planned();
            prop_assert!(total > 0);
            prop_assert!(schedule.even(total - 1) < end);
            prop_assert!(schedule.even(total) >= end);
        }

        /// For any delays of the caller, no request is released early, each is released once, and none is left over right
        /// after a release.
        #[test]
        fn every_request_is_released_once_and_not_early(
            total in 1u64..500, rate in 0.5f64..5e4, poisson in any::<Option<u64>>(),
            late in prop::collection::vec(0u64..50_000_000, 1..50),
        ) {
            let arrivals = poisson.map_or(Arrivals::Even, |seed| Arrivals::Poisson { seed });
            let mut schedule =
                Schedule::new(&[Stage::steady(rate)], arrivals, Amount::Requests(total), Duration::ZERO);
            let due = all(schedule.clone());
            prop_assert!(due.is_sorted());
            let (mut elapsed, mut released, mut turn) = (Duration::ZERO, 0, 0);
            loop {
                match schedule.release(elapsed) {
                    Step::Release(count) => {
                        released += usize::try_from(count).expect("small");
                        prop_assert!(due[released - 1] <= elapsed);
                        prop_assert!(!matches!(schedule.release(elapsed), Step::Release(_)));
                    }
                    Step::Wait(wait) => {
                        elapsed += wait + Duration::from_nanos(late[turn % late.len()]);
                        turn += 1;
                    }
                    Step::Done => break,
                }
            }
            prop_assert_eq!(released as u64, total);
        }
    }
}
