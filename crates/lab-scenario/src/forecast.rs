//! [`forecast`]: describes a run before it starts: the steps, their traffic and duration, and what is undone at the
//! end. Pure.

use std::time::Duration;

use super::plan::{Action, Change, Check, Condition, Plan, Step, Traffic, Verb, WaitFor};
use lab_core::engine::{APP, KEY_VARIABLE};
use lab_core::event::Secrets;
use lab_traffic::Amount;

/// Forecast of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// In execution order.
    pub steps: Vec<StepForecast>,
    /// What is undone at the end, in order: the target (a service, `caller` or `caller NAME`) and its part.
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
        for item in undo_targets(&step.action) {
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
    let (requests, seconds, deadline) = amounts(&step.action);
    let mut what = describe(&step.action, secrets);
    if !known {
        // A sample value would be misleading here.
        if let Action::Traffic(traffic) = &step.action {
            what = format!("requests at {}", describe_traffic(traffic));
        }
        what.push_str(" (values come from earlier steps)");
    }
    StepForecast {
        name: format!("{role}{}", step.name),
        phase: step.phase.name(),
        action: step.action.name(),
        what,
        service: match &step.action {
            Action::Change(change) => Some(change.service.clone()),
            Action::RotateKey { .. } => Some(APP.to_owned()),
            _ => None,
        },
        requests: requests.filter(|_| known),
        seconds: seconds.filter(|_| known),
        deadline,
        expect: step.expect.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text)).collect(),
    }
}

/// Requests, seconds, and deadline in seconds.
fn amounts(action: &Action) -> (Option<u64>, Option<f64>, Option<f64>) {
    match action {
        Action::Traffic(traffic) => {
            let (requests, seconds) = sends(traffic);
            (Some(requests), Some(seconds), None)
        }
        Action::Wait(time) => (None, Some(time.as_secs_f64()), None),
        Action::WaitFor(wait) => (None, None, Some(wait.timeout.as_secs_f64())),
        Action::Run(command) => (None, None, Some(command.timeout.as_secs_f64())),
        Action::Check(_) => (Some(1), None, None),
        _ => (None, None, None),
    }
}

/// Requests and duration. The first request is sent immediately.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e7")]
fn sends(traffic: &Traffic) -> (u64, f64) {
    match traffic.amount {
        Amount::Requests(requests) => (requests, requests.saturating_sub(1) as f64 / traffic.rate),
        Amount::Duration(time) => ((time.as_secs_f64() * traffic.rate).ceil() as u64, time.as_secs_f64()),
    }
}

fn describe(action: &Action, secrets: &Secrets) -> String {
    match action {
        Action::Traffic(traffic) => match traffic.amount {
            Amount::Requests(1) => "1 request".to_owned(),
            Amount::Requests(requests) => format!("{requests} requests at {}", describe_traffic(traffic)),
            Amount::Duration(time) => format!("for {time:?} at {}", describe_traffic(traffic)),
        },
        Action::Background(traffic) => format!("{} in the background from now on", describe_traffic(traffic)),
        Action::StopBackground { name, .. } => format!("{name} stops"),
        Action::RotateKey { server } => format!("app redeployed, the server expects {server}"),
        Action::AlignKey { callers } => format!("{} the server's key", callers_do(callers, "gets", "get")),
        Action::CallerKey { key, callers } => format!("{} {key}", callers_do(callers, "sends", "send")),
        Action::Change(change) => describe_change(change),
        Action::Wait(time) => format!("for {time:?}"),
        Action::WaitFor(wait) => describe_wait(wait, secrets),
        Action::Check(check) => describe_check(check, secrets),
        Action::Run(command) => format!("on this machine: {}", command.command.join(" ")),
    }
}

/// Such as `20/s by web, batch`, with method and path if they are not the usual ones.
fn describe_traffic(traffic: &Traffic) -> String {
    let mut text = format!("{}/s", traffic.rate);
    if let [first, rest @ ..] = &traffic.callers[..] {
        text = format!("{text} by {}", first.name);
        text.extend(rest.iter().map(|caller| format!(", {}", caller.name)));
    }
    if traffic.path != "/api/users" || traffic.method != "GET" {
        text = format!("{text} to {} {}", traffic.method, traffic.path);
    }
    match traffic.key.as_deref() {
        Some("") => text + ", without a key",
        Some(key) => format!("{text}, with the key {key}"),
        None => text,
    }
}

fn callers_do(callers: &[String], one: &str, several: &str) -> String {
    match callers {
        [] => format!("the caller {one}"),
        [name] => format!("{name} {one}"),
        names => format!("{} {several}", names.join(", ")),
    }
}

fn describe_change(change: &Change) -> String {
    let service = &change.service;
    match change.verb {
        Verb::SetEnv => {
            let set = change.change.env.iter().map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => format!("{name} unset"),
            });
            let back = if change.rolled_back { ", expected to fail and be rolled back" } else { "" };
            format!("{service} redeployed: {}{back}", set.collect::<Vec<_>>().join(", "))
        }
        Verb::Stop => format!("{service} stopped"),
        Verb::Start => format!("{service} started"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} frozen"),
        Verb::Unpause => format!("{service} resumed"),
    }
}

fn describe_wait(wait: &WaitFor, secrets: &Secrets) -> String {
    let what = match &wait.what {
        Condition::Metrics(all) => {
            let each = all.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text));
            each.collect::<Vec<_>>().join(", ")
        }
        Condition::Answer(check) => describe_check(check, secrets),
        Condition::Query { query, is } => {
            let is = is.as_ref().map_or_else(|| "has an answer".to_owned(), |is| format!("is {}", is.text));
            format!("{query} {is}")
        }
        Condition::Alert { alert, is } => format!("the alert {alert} is {}", is.name()),
    };
    format!("until {what}, at most {:?}", wait.timeout)
}

fn describe_check(check: &Check, secrets: &Secrets) -> String {
    // Mask before quoting: the escaped text would no longer match the secret.
    let body = check.body.as_deref().map_or_else(String::new, |body| format!(" with {:?}", secrets.mask(body)));
    format!("{} {} is {}{body}", check.method, check.path, check.status)
}

/// Parts that an action changes and the undo restores.
fn undo_targets(action: &Action) -> Vec<(String, String)> {
    let item = |target: &str, name: &str| (target.to_owned(), name.to_owned());
    match action {
        Action::RotateKey { .. } => vec![item(APP, KEY_VARIABLE)],
        Action::AlignKey { callers } | Action::CallerKey { callers, .. } if callers.is_empty() => {
            vec![item("caller", "key")]
        }
        Action::AlignKey { callers } | Action::CallerKey { callers, .. } => {
            callers.iter().map(|name| (format!("caller {name}"), "key".to_owned())).collect()
        }
        Action::Change(change) if change.verb == Verb::SetEnv => {
            change.change.env.keys().map(|name| item(&change.service, name)).collect()
        }
        Action::Change(change) => vec![item(&change.service, "state")],
        Action::Run(_) => vec![item("both sides", "key"), item("every service", "state")],
        Action::Traffic(_)
        | Action::Background(_)
        | Action::StopBackground { .. }
        | Action::Wait(_)
        | Action::WaitFor(_)
        | Action::Check(_) => Vec::new(),
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
