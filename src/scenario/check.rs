//! Whether an engine can do what a plan asks for: looked at before a run starts, so that nothing is ever skipped.

use super::plan::{Action, Plan, Step, Verb};
use crate::engine::{APP, Ability, ServiceSpec};
use crate::yaml::list;
use crate::yaml::{Diagnostic, Diagnostics, meant};

impl Plan {
    /// Every step that is not possible on this engine.
    pub fn check_engine(&self, engine: &str, services: &[ServiceSpec]) -> Result<(), Diagnostics> {
        let mut found = Diagnostics::default();
        for step in &self.steps {
            let (service, ability, verb) = match &step.action {
                Action::Change(change) => (change.service.as_str(), change.verb.needs(), past(change.verb)),
                Action::RotateKey { .. } => (APP, Ability::SetEnv, "given another key"),
                Action::Traffic(_) | Action::AlignKey | Action::Wait(_) | Action::Check(_) => continue,
            };
            if let Some(diagnostic) = refusal(step, engine, services, service, ability, verb) {
                found.push(diagnostic);
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

fn refusal(
    step: &Step,
    engine: &str,
    services: &[ServiceSpec],
    service: &str,
    ability: Ability,
    verb: &str,
) -> Option<Diagnostic> {
    let subject = format!("step `{}` ({})", step.name, step.place);
    let Some(spec) = services.iter().find(|spec| spec.name == service) else {
        let names = || services.iter().map(|spec| spec.name.as_str());
        let diagnostic = Diagnostic::new(format!("{subject}: `{service}` is not there on the {engine} engine"));
        return Some(diagnostic.label(meant(service, names(), &format!("it has {}", list(names())))));
    };
    if spec.abilities.contains(&ability) {
        return None;
    }
    let can: Vec<&str> = spec.abilities.iter().map(|ability| ability.name()).collect();
    let can =
        if can.is_empty() { "nothing can be done to it".to_owned() } else { format!("it can: {}", can.join(", ")) };
    Some(Diagnostic::new(format!("{subject}: `{service}` cannot be {verb} on the {engine} engine; {can}")))
}

fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::SetEnv => "given another environment",
        Verb::Stop => "stopped",
        Verb::Start => "started",
        Verb::Kill => "killed",
        Verb::Pause => "paused",
        Verb::Unpause => "unpaused",
    }
}
