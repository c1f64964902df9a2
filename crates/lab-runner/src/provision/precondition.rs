//! Differences between a lab and what a scenario expects of it, found before anything is injected.

use std::fmt;

use chrono::Utc;

use crate::lab::revisions::{Author, Entry, Revisions, State};
use crate::lab::{Lab, Record, previous_key};
use crate::undo::Pending;
use lab_core::engine::{APP, Description, Health, Roles, RunState, secret};
use lab_core::event::short_id;
use lab_scenario::plan::{Action, Kind, Plan, Verb};

/// A difference, with the command that removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Such as `app is stopped`.
    pub what: String,
    /// Command that helps.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Observed state of a lab before a run.
pub(super) struct Found<'a> {
    pub(super) lab: &'a Lab,
    pub(super) record: &'a Record,
    pub(super) description: &'a Description,
    pub(super) fault: Option<&'a Pending>,
    pub(super) revisions: &'a Revisions,
}

/// Returns what is not as a plan expects. Building blocks for other scenarios, such as `realign`, run on any lab.
pub(super) fn problems(plan: &Plan, found: &Found<'_>) -> Vec<Problem> {
    let name = found.lab.name_option();
    if plan.kind == Kind::Part {
        return Vec::new();
    }
    if let Some(fault) = found.fault {
        let what = format!("the kept fault of run {} ({}) is not undone", short_id(&fault.run), fault.scenario);
        return vec![Problem { what, fix: format!("lab recover{name}") }];
    }
    let problems = states(plan, found, &name);
    if !problems.is_empty() {
        return problems;
    }
    let mut problems = environment(plan, found, &name);
    problems.extend(keys(plan, found, &name));
    problems
}

/// Services on the request path that do not run, unless the scenario starts them itself.
fn states(plan: &Plan, found: &Found<'_>, name: &str) -> Vec<Problem> {
    let Roles { gateway, app, db, .. } = &found.description.roles;
    let starts = |service: &str| {
        let mut changes = plan.all_steps().filter_map(|step| match &step.action {
            Action::Change(change) if found.description.roles.service(&change.service) == service => Some(change.verb),
            _ => None,
        });
        matches!(changes.next(), Some(Verb::Start | Verb::Unpause))
    };
    let mut problems = Vec::new();
    for service in [gateway, app, db].into_iter().filter_map(|name| found.description.service(name)) {
        let fix = match (service.state, service.health) {
            (RunState::Stopped, _) => format!("lab start {}{name}", service.name),
            (RunState::Paused, _) => format!("lab unpause {}{name}", service.name),
            (RunState::Running, Health::Unhealthy) => format!("lab logs {}{name}", service.name),
            (RunState::Running, Health::Healthy | Health::Starting | Health::Unchecked) => continue,
        };
        if !starts(&service.name) {
            problems.push(Problem { what: format!("{} is {}", service.name, service.word()), fix });
        }
    }
    // A service that does not run explains why others are unhealthy.
    let is_down = |problem: &Problem| !problem.fix.starts_with("lab logs");
    if problems.iter().any(is_down) {
        problems.retain(is_down);
    }
    problems
}

/// Variables that were changed by hand. Only scenarios of the library are tuned to the environment of a new lab.
fn environment(plan: &Plan, found: &Found<'_>, name: &str) -> Vec<Problem> {
    if plan.source != plan.name {
        return Vec::new();
    }
    let roles = &found.description.roles;
    let mut problems = Vec::new();
    for service in &found.description.services {
        let Some(first) = found.revisions.first(&service.name) else { continue };
        let entries = found.revisions.entries(&service.name);
        let by_hand = |variable: &str| {
            let changes = |it: &Entry<'_>| it.differences().iter().any(|it| it.name == variable);
            let last = entries.iter().rev().find(|entry| changes(entry));
            last.is_some_and(|entry| matches!(entry.revision.author, Author::Hand { .. }))
        };
        let now = State::observed(service);
        for change in first.state.differences(&now) {
            let is_key = service.name == roles.app && change.name == roles.key_variable;
            if is_key || !by_hand(&change.name) {
                continue;
            }
            let what = match &change.new {
                Some(value) => {
                    let value = secret::mask_value(roles, &change.name, value);
                    format!("{} of {} was set to {value:?} by hand", change.name, service.name)
                }
                None => format!("{} of {} was unset by hand", change.name, service.name),
            };
            problems.push(Problem { what, fix: format!("lab reset{name}") });
        }
    }
    problems
}

/// Keys with which the scenario cannot work.
fn keys(plan: &Plan, found: &Found<'_>, name: &str) -> Vec<Problem> {
    let (Some(app), Some(server)) = (found.description.app(), found.description.server_key()) else {
        return Vec::new();
    };
    let roles = &found.description.roles;
    let caller = &found.record.caller_key;
    let mut problems = Vec::new();
    // The first step that needs the keys, or changes them.
    let sends = plan.all_steps().find_map(|step| match &step.action {
        Action::Traffic(_) | Action::Background(_) | Action::Check(_) => Some(true),
        Action::RotateKey { .. } | Action::CallerKey { .. } | Action::AlignKey { .. } => Some(false),
        _ => None,
    });
    let is_accepted = caller == server || previous_key(app, roles, Utc::now()).as_ref() == Some(caller);
    if plan.callers.is_empty() && sends == Some(true) && !is_accepted {
        let what = format!("the server expects {server}, but the caller sends {caller}");
        problems.push(Problem { what, fix: format!("lab key align{name}") });
    }
    let variable = |change: &lab_scenario::plan::Change| {
        let is_app = roles.service(&change.service) == roles.app || change.service == APP;
        change.change.env.get(&roles.key_variable).filter(|_| is_app).cloned().flatten()
    };
    let rotated = plan.steps.iter().filter(|step| step.deferred.is_none()).find_map(|step| match &step.action {
        Action::RotateKey { server } => Some(server.clone()),
        Action::Change(change) => variable(change),
        _ => None,
    });
    if plan.kind == Kind::Incident && rotated.as_deref() == Some(server) {
        let what = format!("the server already expects {server}, to which the scenario rotates its key");
        problems.push(Problem { what, fix: format!("lab reset{name}") });
    }
    problems
}
