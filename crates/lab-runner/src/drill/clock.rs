//! Drill time: milliseconds since the start, without the time in which the referee was away or could not look.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Clock {
    /// Drill time at `since`.
    base: u64,
    since: Instant,
    is_stopped: bool,
}

impl Clock {
    /// Clock that continues from a drill time.
    pub(super) fn from(base: u64) -> Self {
        Self { base, since: Instant::now(), is_stopped: false }
    }

    pub(super) fn now(&self) -> u64 {
        if self.is_stopped { self.base } else { self.base + milliseconds(self.since.elapsed()) }
    }

    pub(super) fn stop(&mut self) {
        (self.base, self.is_stopped) = (self.now(), true);
    }

    pub(super) fn start(&mut self) {
        if self.is_stopped {
            (self.since, self.is_stopped) = (Instant::now(), false);
        }
    }

    /// Leaves out a time that just passed, in which this process did not run.
    pub(super) fn leave_out(&mut self, gap: Duration) {
        self.base = self.now().saturating_sub(milliseconds(gap)).max(self.base);
        self.since = Instant::now();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stands_still_while_it_is_stopped_and_leaves_gaps_out() {
        let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        let mut clock = Clock::from(5000);
        pass(2).await;
        assert_eq!(clock.now(), 7000);
        clock.stop();
        pass(60).await;
        assert_eq!(clock.now(), 7000);
        clock.start();
        clock.start();
        pass(1).await;
        assert_eq!(clock.now(), 8000);
        pass(30).await;
        clock.leave_out(Duration::from_secs(29));
        assert_eq!(clock.now(), 9000);
        clock.leave_out(Duration::from_secs(29));
        assert_eq!(clock.now(), 9000, "it never goes back");
    }
}
