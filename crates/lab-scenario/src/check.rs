//! Whether an engine can do what a plan asks for, and whether the user lets it: looked at before a run starts, so that
//! nothing is ever skipped.

use std::collections::BTreeSet;

use super::plan::{Action, Condition, Metric, Plan, Step, Verb};
use lab_core::engine::{APP, Ability, Endpoints, Roles, ServiceSpec, environment};
use lab_yaml::list;
use lab_yaml::{Diagnostic, Diagnostics, meant};

/// The service that answers queries.
const PROMETHEUS: &str = "prometheus";

impl Plan {
    /// Every step that is not possible on this engine; first of all, that the scenario is not for it.
    pub fn check_engine(&self, engine: &str, services: &[ServiceSpec], roles: &Roles) -> Result<(), Diagnostics> {
        let mut found = Diagnostics::default();
        if !self.runs_on(engine) {
            let engines = list(self.engines.iter().map(String::as_str));
            let message = format!("{} cannot run on the {engine} engine", self.name);
            found.push(Diagnostic::new(message).label(format!("its `engines`: {engines}")));
            return Err(found);
        }
        for step in self.all_steps() {
            let (service, ability, verb) = match &step.action {
                Action::Change(change) => (change.service.as_str(), change.verb.needs(), past(change.verb)),
                Action::RotateKey { .. } => (APP, Ability::SetEnv, "given another key"),
                Action::WaitFor(wait) if matches!(wait.what, Condition::Query { .. }) => {
                    if !services.iter().any(|spec| spec.name == PROMETHEUS) {
                        found.push(no_queries(step, &format!("on the {engine} engine")));
                    }
                    continue;
                }
                Action::Traffic(_)
                | Action::Background(_)
                | Action::StopBackground { .. }
                | Action::AlignKey { .. }
                | Action::CallerKey { .. }
                | Action::Wait(_)
                | Action::WaitFor(_)
                | Action::Check(_)
                | Action::Run(_) => continue,
            };
            let service = roles.service(service);
            if let Some(diagnostic) = refusal(step, engine, services, service, ability, verb) {
                found.push(diagnostic);
            } else if let (Action::Change(change), Some(spec)) = (&step.action, spec(services, service)) {
                // Values that earlier steps give are checked when they are known.
                for why in environment::refusals(spec, &change.change, services, step.late.is_none()) {
                    let message = format!("step `{}` ({}): {why}", step.name, step.place);
                    found.push(Diagnostic::new(self.secrets.mask(&message)));
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Whether the scenario is for this engine, as far as its `engines` say.
    pub fn runs_on(&self, engine: &str) -> bool {
        self.engines.is_empty() || self.engines.iter().any(|known| known == engine)
    }

    /// Every step that asks for what this lab goes without: queries, where its Prometheus does not run, and alerts, where
    /// nobody says what they are.
    pub fn check_lab(&self, lab: &str, endpoints: &Endpoints) -> Result<(), Diagnostics> {
        let query =
            |step: &Step| matches!(&step.action, Action::WaitFor(wait) if matches!(wait.what, Condition::Query { .. }));
        let mut found = Diagnostics::default();
        for step in self.all_steps() {
            if query(step) && endpoints.prometheus.is_none() {
                found.push(no_queries(step, &format!("in lab {lab}")));
            }
            if step.asks_for_alerts() && endpoints.alerts().is_none() {
                let message = format!("step `{}` ({}): nobody evaluates alerts in lab {lab}", step.name, step.place);
                found.push(Diagnostic::new(message).label("its Prometheus does not run"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Every step that names an alert which the rules of this lab do not have; `known` are those that they have.
    pub fn check_alerts(&self, lab: &str, known: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let known = || known.iter().map(String::as_str);
        let mut found = Diagnostics::default();
        for (step, alert) in self.alerts_asked().filter(|(_, alert)| known().all(|name| name != *alert)) {
            let message = format!("step `{}` ({}): lab {lab} has no alert `{alert}`", step.name, step.place);
            let has = match known().next() {
                Some(_) => format!("its alerts: {}", list(known())),
                None => "its rules have no alerts".to_owned(),
            };
            found.push(Diagnostic::new(message).label(meant(alert, known(), &has)));
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// The alerts that its steps wait for, or expect something of.
    pub fn alerts_asked(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.all_steps().flat_map(|step| step.alerts_asked().map(move |alert| (step, alert)))
    }

    /// The same, knowing whether any of its steps waits for an alert, or expects something of one.
    pub(super) fn with_alerts(mut self) -> Self {
        let asks = self.all_steps().any(Step::asks_for_alerts);
        self.alerts = asks;
        self
    }

    /// Every step that runs a command, where the user has not allowed that.
    pub fn check_commands(&self, allowed: bool) -> Result<(), Diagnostics> {
        let mut found = Diagnostics::default();
        for step in self.all_steps().filter(|step| !allowed && matches!(step.action, Action::Run(_))) {
            let message = format!("step `{}` ({}) runs a command on this machine", step.name, step.place);
            let label = "only with --allow-commands, for a scenario that you trust";
            found.push(Diagnostic::new(message).label(label));
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl Step {
    /// Whether it waits for an alert, or expects something of one.
    pub fn asks_for_alerts(&self) -> bool {
        self.alerts_asked().next().is_some()
    }

    fn alerts_asked(&self) -> impl Iterator<Item = &str> {
        let awaited = match &self.action {
            Action::WaitFor(wait) => match &wait.what {
                Condition::Alert { alert, .. } => Some(alert.as_str()),
                _ => None,
            },
            _ => None,
        };
        let expected = self.expect.iter().filter_map(|expected| match &expected.metric {
            Metric::Alert { alert, .. } => Some(alert.as_str()),
            _ => None,
        });
        awaited.into_iter().chain(expected)
    }
}

fn no_queries(step: &Step, place: &str) -> Diagnostic {
    let message = format!("step `{}` ({}): there is no Prometheus {place} to ask", step.name, step.place);
    Diagnostic::new(message).label("`wait_for` with `metrics` or `path` needs none")
}

fn spec<'s>(services: &'s [ServiceSpec], service: &str) -> Option<&'s ServiceSpec> {
    services.iter().find(|spec| spec.name == service)
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
    let Some(spec) = spec(services, service) else {
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
