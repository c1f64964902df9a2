//! Changes of the lab by hand while a run is active. They are allowed, and reported as notices of the run.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::context::Context;
use crate::lab::Lab;
use crate::lab::revisions::{Author, CALLERS, Entry, Outcome};
use lab_core::engine::Roles;

/// Interval at which the history is checked for new revisions.
const INTERVAL: Duration = Duration::from_millis(250);

/// Watches the history of a lab.
pub(super) struct ManualChanges {
    lab: Lab,
    roles: Roles,
    /// Revisions that were seen, as subject and number.
    seen: Vec<(String, u64)>,
    fingerprint: Option<(u64, SystemTime)>,
    /// Notices to report.
    notices: VecDeque<String>,
    /// Effects of the reported changes, in the words of [`super::observation::KnownState::differences`].
    effects: Vec<String>,
}

impl ManualChanges {
    /// Starts with the revisions so far.
    pub(super) fn start(context: &Context) -> Self {
        let (lab, roles) = (context.lab.clone(), context.engine.roles());
        let fingerprint = lab.history_fingerprint();
        let revisions = lab.revisions().unwrap_or_default();
        let seen = revisions.iter().map(|it| (it.subject.clone(), it.number)).collect();
        Self { lab, roles, seen, fingerprint, notices: VecDeque::new(), effects: Vec::new() }
    }

    /// Waits for the next change by hand.
    pub(super) async fn next(&mut self) -> String {
        loop {
            self.look();
            if let Some(notice) = self.notices.pop_front() {
                return notice;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Changes by hand that were not reported yet.
    pub(super) fn ready(&mut self) -> Vec<String> {
        self.look();
        self.notices.drain(..).collect()
    }

    /// Returns whether a notice describes the effect of a change by hand that was reported.
    pub(super) fn explain(&self, notice: &str) -> bool {
        self.effects.iter().any(|effect| notice.starts_with(effect))
    }

    fn look(&mut self) {
        let fingerprint = self.lab.history_fingerprint();
        if fingerprint == self.fingerprint {
            return;
        }
        self.fingerprint = fingerprint;
        // A damaged history is reported by the commands that need it.
        let Ok(revisions) = self.lab.revisions() else { return };
        for subject in revisions.subjects() {
            for entry in revisions.entries(subject) {
                self.add(&entry);
            }
        }
    }

    fn add(&mut self, entry: &Entry<'_>) {
        let revision = entry.revision;
        let key = (revision.subject.clone(), revision.number);
        if revision.outcome == Outcome::Pending || self.seen.contains(&key) {
            return;
        }
        self.seen.push(key);
        if revision.outcome == Outcome::Done && matches!(revision.author, Author::Hand { .. }) {
            let what = entry.text(&self.roles);
            self.effects.extend(self.effects_of(entry));
            self.notices.push_back(format!("{what}: changed by {}", revision.author.text()));
        }
    }

    fn effects_of(&self, entry: &Entry<'_>) -> Vec<String> {
        let subject = entry.revision.subject.as_str();
        let mut effects = Vec::new();
        for change in entry.differences() {
            let Some(new) = change.new else { continue };
            match change.name.strip_prefix("caller").map(str::trim_start) {
                Some("") if subject == CALLERS => effects.push(format!("caller key is now {new}:")),
                Some(name) if subject == CALLERS => effects.push(format!("key of caller {name} is now {new}:")),
                _ if change.name == self.roles.key_variable => effects.push(format!("server key is now {new}:")),
                _ => {}
            }
        }
        effects.extend(entry.run_change().map(|(_, new)| format!("{subject} is now {}:", new.name())));
        effects
    }
}
