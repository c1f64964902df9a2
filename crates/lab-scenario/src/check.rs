//! Checks before a run: the engine and the lab support every step, and the user allows it. No step is ever skipped.

use std::collections::BTreeSet;

use super::actions::Requirement;
use super::plan::{Metric, Plan, Step};
use lab_core::engine::{Ability, Endpoints, Roles, ServiceSpec, environment};
use lab_yaml::quote_list;
use lab_yaml::{Diagnostic, Diagnostics, did_you_mean};

/// Engines with the same processes.
const SWARM: &str = "swarm";
const EMBEDDED: &str = "embedded";
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
            match step.action.profile().requirement {
                Requirement::Ability { service, ability, participle, change } => {
                    let service = roles.service(service);
                    if let Some(diagnostic) = refusal(step, engine, services, service, ability, participle) {
                        found.push(diagnostic);
                    } else if let (Some(change), Some(spec)) = (change, spec(services, service)) {
                        // Values from earlier steps are checked during the run.
                        for why in environment::refusals(spec, change, services, step.deferred.is_none()) {
                            let message = format!("step `{}` ({}): {why}", step.name, step.place);
                            found.push(Diagnostic::new(self.secrets.mask(&message)));
                        }
                    }
                }
                Requirement::Prometheus if !services.iter().any(|spec| spec.name == PROMETHEUS) => {
                    found.push(no_queries(step, &format!("on the {engine} engine")));
                }
                Requirement::None | Requirement::Prometheus | Requirement::Alert(_) | Requirement::Commands => {}
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Returns true if `engines` allows this engine. A lab on a Swarm runs the processes of the embedded engine.
    pub fn runs_on(&self, engine: &str) -> bool {
        let engine = if engine == SWARM { EMBEDDED } else { engine };
        self.engines.is_empty() || self.engines.iter().any(|known| known == engine)
    }

    /// Reports every step that needs something this lab does not run: queries without Prometheus, and alerts without
    /// an evaluator.
    pub fn check_lab(&self, lab: &str, endpoints: &Endpoints) -> Result<(), Diagnostics> {
        let mut found = Diagnostics::default();
        for step in self.all_steps() {
            if matches!(step.action.profile().requirement, Requirement::Prometheus) && endpoints.prometheus.is_none() {
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
        let runs_command = |step: &&Step| matches!(step.action.profile().requirement, Requirement::Commands);
        for step in self.all_steps().filter(|_| !allowed).filter(runs_command) {
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
        let awaited = match self.action.profile().requirement {
            Requirement::Alert(alert) => Some(alert),
            Requirement::None | Requirement::Ability { .. } | Requirement::Prometheus | Requirement::Commands => None,
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
    participle: &str,
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
    Some(Diagnostic::new(format!("{subject}: `{service}` cannot be {participle} on the {engine} engine; {can}")))
}
