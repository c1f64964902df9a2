//! Rate limit with one token bucket per key (the committed part of RFC 2697). A bucket holds `burst` tokens and refills at a
//! constant rate; each request uses one token. [`Bucket`] is pure arithmetic.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::service::config::number_and_unit;

use super::auth::KeyName;

/// Maximum number of requests of a rate and of a burst.
const MAX_REQUESTS: u64 = 1_000_000;

/// Number of requests per period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    requests: u32,
    seconds: u32,
}

impl Rate {
    /// Parses `10/s`, `300/m` or `1000/h`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let seconds = match unit {
            "/s" => 1,
            "/m" => 60,
            "/h" => 3600,
            _ => return None,
        };
        let requests = u32::try_from(number).ok().filter(|_| (1..=MAX_REQUESTS).contains(&number))?;
        Some(Self { requests, seconds })
    }

    fn per_second(self) -> f64 {
        f64::from(self.requests) / f64::from(self.seconds)
    }
}

/// Parses the number of requests that may arrive at once.
pub(super) fn burst(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = text.parse().ok().filter(|_| digits)?;
    (1..=MAX_REQUESTS).contains(&u64::from(number)).then_some(number)
}

/// Rate limiter with a bucket per key.
pub(super) struct Limiter {
    rate: f64,
    burst: f64,
    buckets: [Mutex<Bucket>; KeyName::ALL.len()],
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// Creates full buckets. `burst` defaults to the number of requests in the rate.
    pub(super) fn new(rate: Rate, burst: Option<u32>) -> Self {
        let burst = f64::from(burst.unwrap_or(rate.requests));
        let full = Bucket { tokens: burst, at: tokio::time::Instant::now().into_std() };
        Self { rate: rate.per_second(), burst, buckets: KeyName::ALL.map(|_| Mutex::new(full)) }
    }

    /// Uses a token. The error is the time until the next one in whole seconds, rounded up.
    pub(super) fn try_acquire(&self, key: KeyName, now: Instant) -> Result<(), u64> {
        let mut bucket = self.buckets[key as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let result = bucket.try_acquire(self.rate, self.burst, now);
        result.map_err(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

impl Bucket {
    /// Uses a token. The error is the time until the next one. `rate` is in tokens per second.
    fn try_acquire(&mut self, rate: f64, burst: f64, now: Instant) -> Result<(), Duration> {
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
    fn a_burst_is_followed_by_the_rate() {
        let limiter = limiter("6/m", Some(3));
        let started = Instant::now();
        let after = |millis| limiter.try_acquire(KeyName::Current, started + Duration::from_millis(millis));
        assert_eq!([after(0), after(0), after(0)], [Ok(()); 3]);
        assert_eq!(after(0), Err(10));
        assert_eq!(after(9_100), Err(1));
        assert_eq!(after(10_100), Ok(()));
        assert_eq!(after(10_200), Err(10));
        // A clock that goes backwards adds no tokens.
        assert_eq!(after(0), Err(10));
        // The bucket never holds more than the burst, however long it is idle.
        assert_eq!([after(900_000), after(900_000), after(900_000)], [Ok(()); 3]);
        assert!(after(900_000).is_err());
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let limiter = limiter("1/m", None);
        let now = Instant::now();
        assert_eq!(limiter.try_acquire(KeyName::Current, now), Ok(()));
        assert!(limiter.try_acquire(KeyName::Current, now).is_err());
        assert_eq!(limiter.try_acquire(KeyName::Previous, now), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 0.01..1000.0,
            burst in 1u32..100,
            steps in proptest::collection::vec(0u64..5_000_000, 1..200),
        ) {
            let started = Instant::now();
            let mut bucket = Bucket { tokens: f64::from(burst), at: started };
            let (mut now, mut taken) = (started, 0u32);
            for step in steps {
                now += Duration::from_micros(step);
                match bucket.try_acquire(rate, f64::from(burst), now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        // A caller that waits as long as reported gets a token.
                        let (mut later, then) = (bucket, now + wait + Duration::from_micros(1));
                        prop_assert!(later.try_acquire(rate, f64::from(burst), then).is_ok());
                    }
                }
                let most = f64::from(burst) + rate * (now - started).as_secs_f64();
                prop_assert!(f64::from(taken) <= most + 1e-6, "{taken} of {most}");
            }
        }
    }
}
