//! Facts about the services and about the participant's changes, each reported once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::prepare::ran_at_start;
use super::wrong_fix;
use crate::lab::Lab;
use crate::lab::revisions::{Author, Outcome, Revision, Revisions};
use crate::undo::Before;
use lab_core::engine::{Description, Roles, RunState};
use lab_drill::event::Event;
use lab_drill::fold::Drill;
use lab_scenario::Plan;

/// What was reported so far.
pub(super) struct Lookout {
    lab: Lab,
    roles: Roles,
    plan: Arc<Plan>,
    /// States at the start.
    start: Vec<Before>,
    fingerprint: Option<(u64, SystemTime)>,
    /// Reported revisions.
    seen: BTreeSet<(String, u64)>,
    /// Reported wrong fixes.
    fixes: BTreeSet<String>,
    down: Vec<String>,
}

impl Lookout {
    /// Continues after what a log has.
    pub(super) fn new(lab: &Lab, roles: Roles, plan: &Arc<Plan>, start: Vec<Before>, drill: &Drill) -> Self {
        Self {
            lab: lab.clone(),
            roles,
            plan: Arc::clone(plan),
            start,
            fingerprint: None,
            seen: drill.changes.iter().map(|change| (change.subject.clone(), change.revision)).collect(),
            fixes: drill.wrong_fixes.iter().map(|fix| fix.name.clone()).collect(),
            down: drill.down.clone(),
        }
    }

    /// Whether there may be new revisions.
    pub(super) fn has_news(&self) -> bool {
        self.lab.history_fingerprint() != self.fingerprint
    }

    /// New changes of the participant since the start, and wrong fixes among those since the fault. A damaged history has
    /// none; the commands that need it report that.
    pub(super) fn changes(&mut self, start: DateTime<Utc>, fault: Option<DateTime<Utc>>) -> Vec<Event> {
        let fingerprint = self.lab.history_fingerprint();
        if fingerprint == self.fingerprint {
            return Vec::new();
        }
        let Ok(revisions) = self.lab.revisions() else { return Vec::new() };
        if revisions.pending().next().is_none() {
            self.fingerprint = fingerprint;
        }
        let mut events = self.new_changes(&revisions, start);
        if let Some(fault) = fault {
            events.extend(self.new_fixes(&revisions, fault));
        }
        events
    }

    fn new_changes(&mut self, revisions: &Revisions, start: DateTime<Utc>) -> Vec<Event> {
        let mut events = Vec::new();
        for subject in revisions.subjects() {
            for entry in revisions.entries(subject) {
                let key = (subject.to_owned(), entry.revision.number);
                if is_theirs(entry.revision, start) && self.seen.insert(key) {
                    let (subject, revision) = (subject.to_owned(), entry.revision.number);
                    events
                        .push((entry.revision.at, Event::Changed { subject, revision, text: entry.text(&self.roles) }));
                }
            }
        }
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn new_fixes(&mut self, revisions: &Revisions, fault: DateTime<Utc>) -> Vec<Event> {
        let fixes = &self.plan.claims.wrong_fixes;
        let is_made = |steps| wrong_fix::contains(revisions, steps, &self.roles, |it| is_theirs(it, fault));
        let made: Vec<String> = fixes.iter().filter(|fix| is_made(&fix.steps)).map(|fix| fix.name.clone()).collect();
        made.into_iter().filter(|name| self.fixes.insert(name.clone())).map(|name| Event::WrongFix { name }).collect()
    }

    /// Services that ran at the start and do not run now, if that has changed.
    pub(super) fn services(&mut self, now: &Description) -> Option<Event> {
        let is_down = |name: &str| now.service(name).is_none_or(|service| service.state != RunState::Running);
        let expected = self.start.iter().filter_map(|before| match before {
            Before::Service { service, .. } if ran_at_start(&self.start, service) => Some(service),
            _ => None,
        });
        let down: Vec<String> = expected.filter(|service| is_down(service)).cloned().collect();
        if down == self.down {
            return None;
        }
        self.down.clone_from(&down);
        Some(Event::Services { down })
    }
}

/// A change that the participant made after a time.
fn is_theirs(revision: &Revision, since: DateTime<Utc>) -> bool {
    revision.at >= since && revision.outcome == Outcome::Done && matches!(revision.author, Author::Hand { .. })
}
