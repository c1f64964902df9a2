//! Log filter for probes. Health checks and scrapes arrive many times a minute, during a start many times a second, and would
//! bury the users' requests in the log.

use std::sync::atomic::{AtomicU16, Ordering};

/// Last status of each probe path.
pub(super) struct Probes {
    /// Path and last status.
    last: [(String, AtomicU16); 2],
}

impl Probes {
    pub(super) fn new(health_path: &str, metrics_path: &str) -> Self {
        Self { last: [health_path, metrics_path].map(|path| (path.to_owned(), AtomicU16::new(0))) }
    }

    /// Returns `true` for requests that are not probes, and for probes whose status changed.
    pub(super) fn should_log(&self, path: &str, status: u16) -> bool {
        let last = self.last.iter().find(|(probe, _)| probe == path);
        last.is_none_or(|(_, last)| last.swap(status, Ordering::Relaxed) != status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_logged_when_their_status_changes_and_requests_always() {
        let probes = Probes::new("/health", "/metrics");
        let logged =
            |path, statuses: &[u16]| statuses.iter().map(|it| probes.should_log(path, *it)).collect::<Vec<_>>();
        assert_eq!(logged("/health", &[503, 503, 200, 200, 503]), [true, false, true, false, true]);
        assert_eq!(logged("/metrics", &[200, 200]), [true, false]);
        assert_eq!(logged("/api/users", &[200, 200]), [true, true]);
    }
}
