//! [`forecast`]: describes a run before it starts: the steps, their traffic and duration, and what is undone at the
//! end. Pure.

use std::time::Duration;

use super::actions::{Amounts, Requirement, traffic};
use super::plan::{Action, Plan, Step};
use lab_core::event::Secrets;

/// Forecast of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// In execution order.
    pub steps: Vec<StepForecast>,
    /// Changes that the undo reverts, in order: the target (a service, `caller` or `caller NAME`) and its part.
    pub undo: Vec<(String, String)>,
}

/// Forecast of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepForecast {
    /// Name in the timeline.
    pub name: String,
    /// `baseline` to `verify`.
    pub phase: &'static str,
    /// Key of the action.
    pub action: &'static str,
    /// Description of the action.
    pub what: String,
    /// Service that the step changes.
    pub service: Option<String>,
    /// Number of requests. `None` if there are none, or if it depends on an earlier step.
    pub requests: Option<u64>,
    /// Duration of traffic or `wait`. Changes are not included, because their duration depends on the engine.
    pub seconds: Option<f64>,
    /// Maximum duration of a step that waits for a condition.
    pub deadline: Option<f64>,
    /// Expectations: metric, comparator and bound.
    pub expect: Vec<String>,
}

impl Forecast {
    /// Total requests, without background traffic.
    pub fn requests(&self) -> u64 {
        self.steps.iter().filter_map(|step| step.requests).sum()
    }

    /// Total seconds of traffic and `wait`.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.seconds).sum()
    }

    /// Additional seconds that conditions may take.
    pub fn deadline(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.deadline).sum()
    }
}

/// Forecasts a run of `plan`, up to and including the step with index `last`, if given.
pub fn forecast(plan: &Plan, last: Option<usize>) -> Forecast {
    let steps = &plan.steps[..last.map_or(plan.steps.len(), |last| last + 1).min(plan.steps.len())];
    let after: &[Step] = if last.is_some() { &[] } else { &plan.steady_state };
    let finally: &[Step] = if last.is_some() { &[] } else { &plan.finally };
    let parts = [("before/", &plan.steady_state[..]), ("", steps), ("after/", after), ("", finally)];
    let all = || parts.iter().flat_map(|(role, steps)| steps.iter().map(move |step| (*role, step)));
    let mut undo = Vec::new();
    if !steps.is_empty() {
        undo.extend(plan.callers.iter().map(|caller| (format!("caller {}", caller.name), "key".to_owned())));
    }
    for (_, step) in all() {
        for item in step.action.profile().undo {
            if !undo.contains(&item) {
                undo.push(item);
            }
        }
    }
    undo.reverse();
    Forecast { steps: all().map(|(role, step)| forecast_step(role, step, &plan.secrets)).collect(), undo }
}

fn forecast_step(role: &str, step: &Step, secrets: &Secrets) -> StepForecast {
    let known = step.deferred.is_none();
    let profile = step.action.profile();
    let Amounts { requests, seconds, deadline } = profile.amounts;
    let mut what = step.action.describe(secrets);
    if !known {
        // A sample value would be misleading here.
        if let Action::Traffic(traffic) = &step.action {
            what = format!("requests at {}", traffic::describe_load(traffic));
        }
        what.push_str(" (values come from earlier steps)");
    }
    StepForecast {
        name: format!("{role}{}", step.name),
        phase: step.phase.name(),
        action: step.action.name(),
        what,
        service: match profile.requirement {
            Requirement::Ability { service, .. } => Some(service.to_owned()),
            Requirement::None | Requirement::Prometheus | Requirement::Alert(_) | Requirement::Commands => None,
        },
        requests: requests.filter(|_| known),
        seconds: seconds.filter(|_| known),
        deadline,
        expect: step.expect.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text)).collect(),
    }
}

/// Converts seconds to a duration for display.
pub fn lasting(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{LoadOptions, Plan, Source, load};
    use super::forecast;

    fn plan(text: &str) -> Plan {
        let source = Source::Text { name: "test.yaml".into(), text: text.into() };
        load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
    }

    #[test]
    fn steps_are_described_with_their_amounts() {
        let plan = load(&Source::Library("rotate-key".into()), &LoadOptions::default()).unwrap();
        let shown = forecast(&plan, None);
        assert_eq!((shown.requests(), shown.steps.len()), (120, 5));
        assert!((shown.seconds() - 5.85).abs() < 1e-9, "{}", shown.seconds());
        assert_eq!(shown.steps[1].what, "app redeployed, the server expects apikey-v2");
        let undo: Vec<String> = shown.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
        assert_eq!(undo, ["caller key", "app APP_API_KEY"]);
        assert_eq!(forecast(&plan, Some(1)).steps.len(), 2);
    }

    #[test]
    fn a_secret_is_masked_before_it_is_quoted() {
        let plan = plan(
            "title: T\nparameters: { token: { default: 'hush\"hush\\hush', secret: true } }\nsteps:\n  \
             - check: { path: /, body: 'my ${token}' }\n  - wait_for: { path: /, body: '${token}' }\n",
        );
        let shown = forecast(&plan, None);
        let shown: Vec<&str> = shown.steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(shown, ["GET / is 200 with \"my ***\"", "until GET / is 200 with \"***\", at most 30s"]);
    }

    #[test]
    fn every_action_has_a_description() {
        let text = "
title: T
callers: { web: { rate: 30 }, batch: { rate: 10 } }
steady_state: [{ check: { path: /health } }]
steps:
  - { name: users, background: { callers: [web], rate: 5 } }
  - { name: count, traffic: { duration: 2s, key: '' } }
  - { traffic: { requests: '${steps.count.sent}', callers: [batch] } }
  - set_env: { service: app, env: { A: '1', B: null }, rolled_back: true }
  - { align_key: { caller: server, callers: [web] } }
  - { rotate_key: { caller: k3 } }
  - { pause: db }
  - { unpause: db }
  - { kill: app }
  - { start: app }
  - { wait: 500ms }
  - { wait_for: { metrics: { requests.delta: '> 5' }, timeout: 10s } }
  - { wait_for: { query: up, is: '> 0' } }
  - { check: { path: /x, status: 404, body: no } }
  - { run: { command: [echo, hello] } }
  - { stop_background: users }
finally: [{ stop: gateway }]
";
        let shown = forecast(&plan(text), None);
        let lines: Vec<String> = shown.steps.iter().map(|step| format!("{}: {}", step.name, step.what)).collect();
        let undo: Vec<String> = shown.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
        insta::assert_snapshot!(format!("{}\nundo: {}", lines.join("\n"), undo.join(", ")));
        assert_eq!((shown.requests(), shown.seconds(), shown.deadline()), (83, 2.5, 100.0));
    }
}
