//! [`Probes`]: which answers to `/health` and to a scrape are news. Whoever watches the app asks many times a minute, while it
//! starts many times a second, and would hide in the log what its users did.

use std::sync::atomic::{AtomicU16, Ordering};

/// The last answers to probes.
pub(super) struct Probes {
    /// By path, the status.
    last: [(String, AtomicU16); 2],
}

impl Probes {
    pub(super) fn new(health_path: &str, metrics_path: &str) -> Self {
        Self { last: [health_path, metrics_path].map(|path| (path.to_owned(), AtomicU16::new(0))) }
    }

    /// Whether this answer is to be told: it is none to a probe, or another than the one before.
    pub(super) fn is_news(&self, path: &str, status: u16) -> bool {
        let last = self.last.iter().find(|(probe, _)| probe == path);
        last.is_none_or(|(_, last)| last.swap(status, Ordering::Relaxed) != status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_told_when_its_answer_changes_and_a_request_always() {
        let probes = Probes::new("/health", "/metrics");
        let told = |path, statuses: &[u16]| statuses.iter().map(|it| probes.is_news(path, *it)).collect::<Vec<_>>();
        assert_eq!(told("/health", &[503, 503, 200, 200, 503]), [true, false, true, false, true]);
        assert_eq!(told("/metrics", &[200, 200]), [true, false]);
        assert_eq!(told("/api/users", &[200, 200]), [true, true]);
    }
}
