//! Fixes that people may try: [`WrongFix`], which does not end the incident, and [`OtherFix`], which does although the
//! runbook does it differently.

use std::sync::Arc;

use crate::actions::Action;
use crate::file::{self, StepFile};
use crate::plan::Step;
use crate::schema::{MappingSpec, OTHER_FIX, WRONG_FIX};
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, quote, quote_list};

/// A plausible attempt that does not fix the incident.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongFix {
    /// Unique among the fixes of the scenario.
    pub name: String,
    /// Reason why it does not help.
    pub why: String,
    /// Steps of the attempt, executed while the fault is active.
    pub steps: Vec<Step>,
}

/// A legitimate fix other than the scenario's own.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherFix {
    /// Unique among the fixes of the scenario.
    pub name: String,
    /// Steps of the fix, executed while the fault is active.
    pub steps: Vec<Step>,
}

impl WrongFix {
    /// Changes of the lab that the attempt makes, in order. A referee recognises the attempt by them.
    pub fn changes(&self) -> Vec<&Action> {
        changes(&self.steps)
    }
}

impl OtherFix {
    /// Changes of the lab that the fix makes, in order.
    pub fn changes(&self) -> Vec<&Action> {
        changes(&self.steps)
    }
}

/// Actions of the steps that change the lab, in order.
pub fn changes<'s>(steps: impl IntoIterator<Item = &'s Step>) -> Vec<&'s Action> {
    steps.into_iter().map(|step| &step.action).filter(|action| action.is_change()).collect()
}

/// A wrong or other fix as written.
#[derive(Debug)]
pub(crate) struct FixFile {
    pub(crate) name: Text,
    /// Only in wrong fixes.
    pub(crate) why: Option<Text>,
    pub(crate) steps: Vec<Arc<StepFile>>,
}

/// Fixes as written.
#[derive(Debug, Default)]
pub(crate) struct FixesFile {
    pub(crate) wrong: Vec<FixFile>,
    pub(crate) other: Vec<FixFile>,
}

pub(super) fn read(fields: &Fields<'_>, out: &mut Diagnostics) -> FixesFile {
    let mut list = |key, spec, what| fields.get(key).map(|entry| fixes(entry, spec, what, out)).unwrap_or_default();
    let wrong: Vec<FixFile> = list("wrong_fixes", &WRONG_FIX, "wrong fix");
    let other: Vec<FixFile> = list("other_fixes", &OTHER_FIX, "other fix");
    let mut known: Vec<&FixFile> = Vec::new();
    for fix in wrong.iter().chain(&other) {
        if let Some(first) = known.iter().find(|known| known.name.text == fix.name.text) {
            let message = format!("two fixes are named {}", quote(&fix.name.text));
            let first = format!("the first one is at {}", first.name.place);
            out.push(Diagnostic::at(message, &fix.name.place).label("give this one another name").note(first));
        }
        known.push(fix);
    }
    FixesFile { wrong, other }
}

fn fixes(entry: &Entry, spec: &MappingSpec, what: &str, out: &mut Diagnostics) -> Vec<FixFile> {
    let key = entry.key.text.as_str();
    let NodeKind::List(items) = &entry.value.kind else {
        let keys = quote_list(spec.key_names());
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::missing_value(&entry.key, "a list of fixes"),
            _ => fields::wrong_kind(key, &entry.value, &format!("a list, each entry with {keys}")),
        });
        return Vec::new();
    };
    items.iter().filter_map(|item| fix(item, key, spec, what, out)).collect()
}

fn fix(item: &Node, list: &str, spec: &MappingSpec, what: &str, out: &mut Diagnostics) -> Option<FixFile> {
    let keys = quote_list(spec.key_names());
    let NodeKind::Mapping(entries) = &item.kind else {
        out.push(fields::wrong_kind(list, item, &format!("a mapping with {keys} in each entry")));
        return None;
    };
    let fields = Fields::read(entries, spec.label, &spec.key_names(), &[], out);
    for key in spec.key_names().into_iter().filter(|key| fields.lacks(key)) {
        let message = format!("this {what} has no `{key}`");
        out.push(Diagnostic::at(message, &item.place).label(format!("expected a mapping with {keys}")));
    }
    let (name, why) = (fields.text("name", out), fields.text("why", out));
    let steps = fields.get("steps").map(|entry| file::step_list(entry, out)).unwrap_or_default();
    Some(FixFile { name: name?, why, steps })
}
