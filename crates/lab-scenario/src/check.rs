//! Checks before a run: the engine and the lab support every step, and the user allows it. No step is ever skipped.

use std::collections::BTreeSet;

use super::plan::{Action, Condition, Metric, Plan, Step, Verb};
use lab_core::engine::{APP, Ability, Endpoints, Roles, ServiceSpec, environment};
use lab_yaml::quote_list;
use lab_yaml::{Diagnostic, Diagnostics, did_you_mean};

/// Service that answers queries.
const PROMETHEUS: &str = "prometheus";

impl Plan {
    /// Reports every step that the engine does not support. If the scenario excludes the engine, that is the only
    /// error.
    pub fn check_engine(&self, engine: &str, services: &[ServiceSpec], roles: &Roles) -> Result<(), Diagnostics> {
        let mut found = Diagnostics::default();
        if !self.runs_on(engine) {
            let engines = quote_list(self.engines.iter().map(String::as_str));
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
                // Values from earlier steps are checked during the run.
                for why in environment::refusals(spec, &change.change, services, step.deferred.is_none()) {
                    let message = format!("step `{}` ({}): {why}", step.name, step.place);
                    found.push(Diagnostic::new(self.secrets.mask(&message)));
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Returns true if `engines` allows this engine.
    pub fn runs_on(&self, engine: &str) -> bool {
        self.engines.is_empty() || self.engines.iter().any(|known| known == engine)
    }

    /// Reports every step that needs something this lab does not run: queries without Prometheus, and alerts without
    /// an evaluator.
    pub fn check_lab(&self, lab: &str, endpoints: &Endpoints) -> Result<(), Diagnostics> {
        let query =
            |step: &Step| matches!(&step.action, Action::WaitFor(wait) if matches!(wait.what, Condition::Query { .. }));
        let mut found = Diagnostics::default();
        for step in self.all_steps() {
            if query(step) && endpoints.prometheus.is_none() {
                found.push(no_queries(step, &format!("in lab {lab}")));
            }
            if step.asks_for_alerts() && endpoints.alerts().is_none() {
                let message = format!("step `{}` ({}): no one evaluates alerts in lab {lab}", step.name, step.place);
                found.push(Diagnostic::new(message).label("its Prometheus does not run"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Reports every step that names an alert missing from `known`, the alerts of this lab.
    pub fn check_alerts(&self, lab: &str, known: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let known = || known.iter().map(String::as_str);
        let mut found = Diagnostics::default();
        for (step, alert) in self.alerts_asked().filter(|(_, alert)| known().all(|name| name != *alert)) {
            let message = format!("step `{}` ({}): lab {lab} has no alert `{alert}`", step.name, step.place);
            let has = match known().next() {
                Some(_) => format!("its alerts: {}", quote_list(known())),
                None => "its rules have no alerts".to_owned(),
            };
            found.push(Diagnostic::new(message).label(did_you_mean(alert, known(), &has)));
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Alerts that steps wait for or expect, with the step.
    pub fn alerts_asked(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.all_steps().flat_map(|step| step.alerts_asked().map(move |alert| (step, alert)))
    }

    /// Sets [`Plan::alerts`] from the steps.
    pub(super) fn with_alerts(mut self) -> Self {
        let asks = self.all_steps().any(Step::asks_for_alerts);
        self.alerts = asks;
        self
    }

    /// Reports every step that runs a command, unless commands are allowed.
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
    /// Returns true if the step waits for an alert or has an expectation on one.
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
    let message = format!("step `{}` ({}): there is no Prometheus {place}", step.name, step.place);
    Diagnostic::new(message).label("use `wait_for` with `metrics` or `path`, which does not need it")
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
        let diagnostic = Diagnostic::new(format!("{subject}: `{service}` does not exist on the {engine} engine"));
        return Some(diagnostic.label(did_you_mean(service, names(), &format!("it has {}", quote_list(names())))));
    };
    if spec.abilities.contains(&ability) {
        return None;
    }
    let can: Vec<&str> = spec.abilities.iter().map(|ability| ability.name()).collect();
    let can =
        if can.is_empty() { "it supports no actions".to_owned() } else { format!("it supports {}", can.join(", ")) };
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
