//! Proves that the referee of a drill recognizes the wrong fixes of a scenario, by the revisions that a proof run left.

use std::collections::BTreeSet;

use super::runs::ProofRun;
use crate::drill::contains_fix;
use crate::lab::Lab;
use crate::lab::revisions::{Author, Outcome, Revision};
use lab_core::engine::Roles;
use lab_core::event::{Event, EventKind, Phase};
use lab_scenario::lesson::WrongFix;
use lab_scenario::plan::{Kind, Plan};

/// Revisions before the first step of the fix, by subject and number: the fault is among the changes of the run, but no part of
/// the fix.
pub(super) type Before = BTreeSet<(String, u64)>;

/// Notes the revisions when the first step of the fix begins. `event` is the current one.
pub(super) fn note(before: &mut Option<Before>, event: &Event, lab: &Lab) {
    let is_fix = matches!(&event.kind, EventKind::StepStarted(step) if step.phase == Phase::Remedy);
    if is_fix && before.is_none() {
        let revisions = lab.revisions().unwrap_or_default();
        *before = Some(revisions.iter().map(|it| (it.subject.clone(), it.number)).collect());
    }
}

/// Returns the finding if the run executes a wrong fix that is not recognized in its revisions, or looks like another one.
pub(super) fn check(
    (plan, run): (&Plan, &ProofRun),
    (events, before): (&[Event], &Before),
    lab: &Lab,
    roles: &Roles,
) -> Option<String> {
    let executed = |fix: &&WrongFix| plan.kind == Kind::Incident && run.part == format!("wrong fix {}", fix.name);
    let fix = plan.claims.wrong_fixes.iter().find(executed)?;
    let revisions = match lab.revisions() {
        Ok(revisions) => revisions,
        Err(error) => return Some(error.to_string()),
    };
    let author = Author::Run { run: run_id(events)?.to_owned() };
    let is_own = |it: &Revision| {
        it.author == author && it.outcome == Outcome::Done && !before.contains(&(it.subject.clone(), it.number))
    };
    let is_made = |fix: &WrongFix| contains_fix(&revisions, &fix.steps, roles, is_own);
    if !is_made(fix) {
        return Some("the referee of a drill does not recognize it by its changes".to_owned());
    }
    let other = plan.claims.wrong_fixes.iter().find(|other| other.name != fix.name && is_made(other))?;
    Some(format!("the referee of a drill also recognizes {} in its changes", other.name))
}

fn run_id(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::RunStarted(started) => Some(started.id.as_str()),
        _ => None,
    })
}
