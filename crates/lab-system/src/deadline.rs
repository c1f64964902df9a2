//! Deadlines that exclude the time during which this process was suspended (Ctrl-Z, SIGSTOP). An answer that arrived
//! during the suspension is read before the deadline expires, so a suspension is never reported as a timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Resolution of the clock: at most this much of a suspension counts.
const TICK: Duration = Duration::from_millis(100);
/// A tick that takes this much longer was a suspension, or starvation equivalent to one, and does not count.
const SLACK: Duration = Duration::from_secs(1);

/// The deadline expired before the future completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits until this process has been running for `limit`.
pub async fn sleep(limit: Duration) {
    let mut left = limit;
    while !left.is_zero() {
        let tick = left.min(TICK);
        let begun = Instant::now();
        tokio::time::sleep(tick).await;
        if begun.elapsed() <= tick + SLACK {
            left -= tick;
        }
    }
}

/// Returns the future's value, or [`Elapsed`] if this process has been running for `limit` first.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        value = future => Ok(value),
        () = sleep(limit) => Err(Elapsed),
    }
}

/// A deadline that a loop polls between its steps.
#[derive(Debug)]
pub struct Deadline {
    over: Arc<AtomicBool>,
    counting: AbortHandle,
}

impl Deadline {
    /// Expires when this process has been running for `limit`. Must be called within a Tokio runtime.
    pub fn after(limit: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(limit.is_zero()));
        let passed = Arc::clone(&over);
        let counting = tokio::spawn(async move {
            sleep(limit).await;
            passed.store(true, Ordering::Relaxed);
        });
        Self { over, counting: counting.abort_handle() }
    }

    /// Returns true once the time limit has passed.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.counting.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_counts_and_a_suspension_does_not() {
        let begun = Instant::now();
        assert_eq!(timeout(Duration::from_millis(250), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed(), Duration::from_millis(250));
        let answer = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The clock jumps as it does for a process that was stopped for an hour.
            tokio::time::advance(Duration::from_hours(1)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            "answer"
        };
        assert_eq!(timeout(Duration::from_secs(3), answer).await, Ok("answer"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_sees_its_deadline() {
        let deadline = Deadline::after(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(900)).await;
        tokio::time::advance(Duration::from_mins(1)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!deadline.is_over());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(deadline.is_over());
        assert!(Deadline::after(Duration::ZERO).is_over());
    }
}
