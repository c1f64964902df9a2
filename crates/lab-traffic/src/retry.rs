//! Retries: which failed attempts are followed by another one, and when.

use std::time::Duration;

use super::Cause;
use super::client::Received;
use super::random::Random;

/// Longest wait that a `Retry-After` header can ask for.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// Further attempts of failed requests, as HTTP clients make them. An attempt is repeated after a timeout, a failed or lost
/// connection, and the status codes 429, 502, 503 and 504. The result of a request is that of its last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of attempts after the first one.
    pub retries: u32,
    /// Time between a failed attempt and the next one.
    pub backoff: Duration,
    /// Waits for a random part of the backoff, so that callers that failed together do not retry together.
    pub jitter: bool,
    /// Waits at least as many seconds as the `Retry-After` header says, up to ten minutes.
    pub heed_retry_after: bool,
}

impl Retry {
    /// Returns the time until the next attempt, if there is one. `attempts` were made so far. The jitter of a request
    /// depends only on its `number`.
    pub(super) fn wait(&self, outcome: &Result<Received, Cause>, attempts: u32, number: u64) -> Option<Duration> {
        if attempts > self.retries || !is_temporary(outcome) {
            return None;
        }
        let part = if self.jitter { Random::new(number ^ (u64::from(attempts) << 48)).fraction() } else { 1.0 };
        let asked = match outcome {
            Ok(received) if self.heed_retry_after => Duration::from_secs(u64::from(received.retry_after)).min(MAX_WAIT),
            _ => Duration::ZERO,
        };
        Some(self.backoff.mul_f64(part).max(asked))
    }
}

/// Returns true for failures that may pass.
fn is_temporary(outcome: &Result<Received, Cause>) -> bool {
    match outcome {
        Ok(received) => matches!(received.code, 429 | 502 | 503 | 504),
        Err(cause) => match cause {
            Cause::Refused | Cause::Reset | Cause::Timeout | Cause::Connect | Cause::Dns | Cause::Other => true,
            // A response that is not HTTP, and a limit of the sender.
            Cause::Protocol | Cause::Exhausted => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(code: u16, retry_after: u32) -> Received {
        Received { code, bytes: 0, retry_after }
    }

    #[test]
    fn only_failures_that_may_pass_are_retried() {
        let retry = Retry { retries: 1, ..Retry::default() };
        for code in [429, 502, 503, 504] {
            assert_eq!(retry.wait(&Ok(answer(code, 0)), 1, 0), Some(Duration::ZERO), "{code}");
        }
        for code in [200, 204, 301, 400, 401, 403, 404, 409, 499, 500, 501] {
            assert_eq!(retry.wait(&Ok(answer(code, 0)), 1, 0), None, "{code}");
        }
        for cause in Cause::ALL {
            let retried = retry.wait(&Err(cause), 1, 0).is_some();
            assert_eq!(retried, !matches!(cause, Cause::Protocol | Cause::Exhausted), "{cause:?}");
        }
    }

    #[test]
    fn there_are_as_many_retries_as_configured() {
        let retry = |retries| Retry { retries, ..Retry::default() };
        let timeout = Err(Cause::Timeout);
        assert_eq!(retry(0).wait(&timeout, 1, 0), None);
        assert!(retry(3).wait(&timeout, 3, 0).is_some());
        assert_eq!(retry(3).wait(&timeout, 4, 0), None);
    }

    #[test]
    fn retry_after_prolongs_the_backoff_if_it_is_heeded() {
        let retry = Retry { retries: 1, backoff: Duration::from_secs(2), ..Retry::default() };
        let heeding = Retry { heed_retry_after: true, ..retry };
        for (asked, ignoring, heeded) in [(0, 2, 2), (1, 2, 2), (7, 2, 7), (u32::MAX, 2, 600)] {
            let seconds = |retry: &Retry| retry.wait(&Ok(answer(429, asked)), 1, 0).map(|wait| wait.as_secs());
            assert_eq!((seconds(&retry), seconds(&heeding)), (Some(ignoring), Some(heeded)), "{asked}");
        }
        assert_eq!(heeding.wait(&Err(Cause::Timeout), 1, 0), Some(Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn jitter_is_a_repeatable_part_of_the_backoff(number in any::<u64>(), attempts in 1u32..10) {
            let retry =
                Retry { retries: 10, backoff: Duration::from_secs(1), jitter: true, ..Retry::default() };
            let wait = retry.wait(&Err(Cause::Reset), attempts, number).expect("it is retried");
            prop_assert!(wait <= Duration::from_secs(1));
            prop_assert_eq!(retry.wait(&Err(Cause::Reset), attempts, number), Some(wait));
        }
    }

    #[test]
    fn jitter_spreads_the_retries() {
        let retry = Retry { retries: 1, backoff: Duration::from_secs(1), jitter: true, ..Retry::default() };
        let wait = |number| retry.wait(&Err(Cause::Reset), 1, number).expect("it is retried");
        let early = (0..1000).filter(|number| wait(*number) < Duration::from_millis(500)).count();
        assert!((450..550).contains(&early), "{early} of 1000 in the first half");
    }
}
