//! [`Limiter`]: how many requests a key may send. A token bucket for each key (RFC 2697's committed part): it holds `burst`
//! tokens, fills at a steady rate, and a request takes one. [`Bucket`] is pure arithmetic.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::service::config::number_and_unit;

use super::auth::KeyName;

/// The largest rate, and the largest burst.
const MOST: u64 = 1_000_000;

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    requests: u32,
    seconds: u32,
}

impl Rate {
    /// `10/s`, `300/m`, `1000/h`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let seconds = match unit {
            "/s" => 1,
            "/m" => 60,
            "/h" => 3600,
            _ => return None,
        };
        let requests = u32::try_from(number).ok().filter(|_| (1..=MOST).contains(&number))?;
        Some(Self { requests, seconds })
    }

    fn per_second(self) -> f64 {
        f64::from(self.requests) / f64::from(self.seconds)
    }
}

/// How many requests may come at once.
pub(super) fn burst(text: &str) -> Option<u32> {
    let sane = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = text.parse().ok().filter(|_| sane)?;
    (1..=MOST).contains(&u64::from(number)).then_some(number)
}

/// The buckets of all keys.
pub(super) struct Limiter {
    rate: f64,
    burst: f64,
    buckets: [Mutex<Bucket>; KeyName::ALL.len()],
}

/// What is left for one key.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// All full. Without a `burst`, so many as the rate names may come at once.
    pub(super) fn new(rate: Rate, burst: Option<u32>) -> Self {
        let burst = f64::from(burst.unwrap_or(rate.requests));
        let full = Bucket { tokens: burst, at: tokio::time::Instant::now().into_std() };
        Self { rate: rate.per_second(), burst, buckets: KeyName::ALL.map(|_| Mutex::new(full)) }
    }

    /// Takes a token; else in how many whole seconds there will be one, at least 1.
    pub(super) fn take(&self, key: KeyName, now: Instant) -> Result<(), u64> {
        let mut bucket = self.buckets[key as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bucket.take(self.rate, self.burst, now);
        taken.map_err(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

impl Bucket {
    /// Takes a token, or says how long it is until there is one. `rate` is in tokens a second.
    fn take(&mut self, rate: f64, burst: f64, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.at);
        self.tokens = (self.tokens + since.as_secs_f64() * rate).min(burst);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate).max(Duration::from_nanos(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    use super::{Bucket, KeyName, Limiter, Rate, burst};

    fn limiter(rate: &str, burst: Option<u32>) -> Limiter {
        Limiter::new(Rate::parse(rate).unwrap(), burst)
    }

    #[test]
    fn rates_have_a_unit() {
        for good in ["1/s", "300/m", "1000000/h"] {
            assert!(Rate::parse(good).is_some(), "{good}");
        }
        for bad in ["", "10", "0/s", "1000001/s", "10/d", "-1/s", "1.5/s", "10 /s", "10/s/s", "99999999999999999999/s"]
        {
            assert!(Rate::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(
            (burst("1"), burst("0"), burst("+1"), burst("x"), burst("1000001")),
            (Some(1), None, None, None, None)
        );
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = limiter("6/m", Some(3));
        let begun = Instant::now();
        let after = |millis| limiter.take(KeyName::Current, begun + Duration::from_millis(millis));
        assert_eq!([after(0), after(0), after(0)], [Ok(()); 3]);
        assert_eq!(after(0), Err(10));
        assert_eq!(after(9_100), Err(1));
        assert_eq!(after(10_100), Ok(()));
        assert_eq!(after(10_200), Err(10));
        // A clock that goes back gives nothing away.
        assert_eq!(after(0), Err(10));
        // However long nobody asks, no more than the burst is saved up.
        assert_eq!([after(900_000), after(900_000), after(900_000)], [Ok(()); 3]);
        assert!(after(900_000).is_err());
    }

    #[test]
    fn each_key_has_a_bucket() {
        let limiter = limiter("1/m", None);
        let now = Instant::now();
        assert_eq!(limiter.take(KeyName::Current, now), Ok(()));
        assert!(limiter.take(KeyName::Current, now).is_err());
        assert_eq!(limiter.take(KeyName::Previous, now), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 0.01..1000.0,
            burst in 1u32..100,
            steps in proptest::collection::vec(0u64..5_000_000, 1..200),
        ) {
            let begun = Instant::now();
            let mut bucket = Bucket { tokens: f64::from(burst), at: begun };
            let (mut now, mut taken) = (begun, 0u32);
            for step in steps {
                now += Duration::from_micros(step);
                match bucket.take(rate, f64::from(burst), now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        // Whoever waits as long as told is let through.
                        let (mut later, then) = (bucket, now + wait + Duration::from_micros(1));
                        prop_assert!(later.take(rate, f64::from(burst), then).is_ok());
                    }
                }
                let most = f64::from(burst) + rate * (now - begun).as_secs_f64();
                prop_assert!(f64::from(taken) <= most + 1e-6, "{taken} of {most}");
            }
        }
    }
}
