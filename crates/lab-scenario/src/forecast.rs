//! [`forecast`]: what a run of a plan would do, as far as that is known before: each step in words, how much it sends and for
//! how long, and what would be put back. Pure.

use std::time::Duration;

use super::plan::{Action, Change, Check, Condition, Plan, Step, Traffic, Verb, WaitFor};
use lab_core::engine::{APP, KEY_VARIABLE};
use lab_core::event::Secrets;
use lab_traffic::Amount;

/// What a run would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// In the order in which they would run.
    pub steps: Vec<StepForecast>,
    /// What is put back at the end, in that order: a service, `caller` or `caller NAME`, and which part of it.
    pub undo: Vec<(String, String)>,
}

/// What a step would do.
#[derive(Clone, Debug, PartialEq)]
pub struct StepForecast {
    /// As the timeline names it.
    pub name: String,
    /// `baseline` to `verify`.
    pub phase: &'static str,
    /// The action's key.
    pub action: &'static str,
    /// What happens, in a few words.
    pub what: String,
    /// The service that it changes, if it changes one.
    pub service: Option<String>,
    /// What it sends; none where it sends nothing, or where an earlier step decides.
    pub requests: Option<u64>,
    /// How long its traffic or its wait takes; what a change takes is the engine's to say.
    pub seconds: Option<f64>,
    /// How long it may take at most, where it waits for something.
    pub deadline: Option<f64>,
    /// What must be seen: metric, comparator and bound.
    pub expect: Vec<String>,
}

impl Forecast {
    /// Requests of all steps, background traffic aside.
    pub fn requests(&self) -> u64 {
        self.steps.iter().filter_map(|step| step.requests).sum()
    }

    /// Seconds of traffic and of waits.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.seconds).sum()
    }

    /// Seconds that waiting for something may add.
    pub fn deadline(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.deadline).sum()
    }
}

/// What a run of `plan` would do that stops after the step of this index, where one is given.
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
        for item in changes(&step.action) {
            if !undo.contains(&item) {
                undo.push(item);
            }
        }
    }
    undo.reverse();
    Forecast { steps: all().map(|(role, step)| one(role, step, &plan.secrets)).collect(), undo }
}

fn one(role: &str, step: &Step, secrets: &Secrets) -> StepForecast {
    let known = step.late.is_none();
    let (requests, seconds, deadline) = amounts(&step.action);
    let mut what = words(&step.action, secrets);
    if !known {
        // A number that stands for one that is not known yet says nothing.
        if let Action::Traffic(traffic) = &step.action {
            what = format!("requests at {}", load(traffic));
        }
        what.push_str(" (with what earlier steps will have shown)");
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

/// Requests, seconds, and the seconds of a deadline.
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

/// How many requests, and for how long: the first is sent at once.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e7")]
fn sends(traffic: &Traffic) -> (u64, f64) {
    match traffic.amount {
        Amount::Requests(requests) => (requests, requests.saturating_sub(1) as f64 / traffic.rate),
        Amount::Duration(time) => ((time.as_secs_f64() * traffic.rate).ceil() as u64, time.as_secs_f64()),
    }
}

fn words(action: &Action, secrets: &Secrets) -> String {
    match action {
        Action::Traffic(traffic) => match traffic.amount {
            Amount::Requests(1) => "1 request".to_owned(),
            Amount::Requests(requests) => format!("{requests} requests at {}", load(traffic)),
            Amount::Duration(time) => format!("for {time:?} at {}", load(traffic)),
        },
        Action::Background(traffic) => format!("from now on {} in the background", load(traffic)),
        Action::StopBackground { name, .. } => format!("{name} ends"),
        Action::RotateKey { server } => format!("app redeployed, the server expects {server}"),
        Action::AlignKey { callers } => format!("{} the server's key", whom(callers, "gets", "get")),
        Action::CallerKey { key, callers } => format!("{} {key}", whom(callers, "sends", "send")),
        Action::Change(change) => changed(change),
        Action::Wait(time) => format!("nothing for {time:?}"),
        Action::WaitFor(wait) => waits(wait, secrets),
        Action::Check(check) => asks(check, secrets),
        Action::Run(command) => format!("on this machine: {}", command.command.join(" ")),
    }
}

/// `20/s, web 15/s and batch 5/s`, and where to where that is not the usual place.
fn load(traffic: &Traffic) -> String {
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

fn whom(callers: &[String], one: &str, several: &str) -> String {
    match callers {
        [] => format!("the caller {one}"),
        [name] => format!("{name} {one}"),
        names => format!("{} {several}", names.join(", ")),
    }
}

fn changed(change: &Change) -> String {
    let service = &change.service;
    match change.verb {
        Verb::SetEnv => {
            let set = change.change.env.iter().map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => format!("{name} unset"),
            });
            let back = if change.rolled_back { ", which must fail and be rolled back" } else { "" };
            format!("{service} redeployed: {}{back}", set.collect::<Vec<_>>().join(", "))
        }
        Verb::Stop => format!("{service} stopped"),
        Verb::Start => format!("{service} started"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} frozen"),
        Verb::Unpause => format!("{service} goes on"),
    }
}

fn waits(wait: &WaitFor, secrets: &Secrets) -> String {
    let what = match &wait.what {
        Condition::Metrics(all) => {
            let each = all.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text));
            each.collect::<Vec<_>>().join(", ")
        }
        Condition::Answer(check) => asks(check, secrets),
        Condition::Query { query, is } => {
            let is = is.as_ref().map_or_else(|| "has an answer".to_owned(), |is| format!("is {}", is.text));
            format!("{query} {is}")
        }
        Condition::Alert { alert, is } => format!("the alert {alert} is {}", is.name()),
    };
    format!("until {what}, at most {:?}", wait.timeout)
}

fn asks(check: &Check, secrets: &Secrets) -> String {
    // Once it is quoted, a secret in it would not be known again.
    let body = check.body.as_deref().map_or_else(String::new, |body| format!(" with {:?}", secrets.mask(body)));
    format!("{} {} is {}{body}", check.method, check.path, check.status)
}

/// What an action changes that is put back.
fn changes(action: &Action) -> Vec<(String, String)> {
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

/// Seconds as a duration; for those who print them.
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
    fn the_story_is_told_with_its_amounts() {
        let plan = load(&Source::Library("rotate-key".into()), &LoadOptions::default()).unwrap();
        let told = forecast(&plan, None);
        assert_eq!((told.requests(), told.steps.len()), (120, 5));
        assert!((told.seconds() - 5.85).abs() < 1e-9, "{}", told.seconds());
        assert_eq!(told.steps[1].what, "app redeployed, the server expects apikey-v2");
        let undo: Vec<String> = told.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
        assert_eq!(undo, ["caller key", "app APP_API_KEY"]);
        assert_eq!(forecast(&plan, Some(1)).steps.len(), 2);
    }

    #[test]
    fn a_secret_is_masked_before_it_is_quoted() {
        let plan = plan(
            "title: T\nparameters: { token: { default: 'hush\"hush\\hush', secret: true } }\nsteps:\n  \
             - check: { path: /, body: 'my ${token}' }\n  - wait_for: { path: /, body: '${token}' }\n",
        );
        let told = forecast(&plan, None);
        let told: Vec<&str> = told.steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(told, ["GET / is 200 with \"my ***\"", "until GET / is 200 with \"***\", at most 30s"]);
    }

    #[test]
    fn every_action_has_its_words() {
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
        let told = forecast(&plan(text), None);
        let lines: Vec<String> = told.steps.iter().map(|step| format!("{}: {}", step.name, step.what)).collect();
        let undo: Vec<String> = told.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
        insta::assert_snapshot!(format!("{}\nundo: {}", lines.join("\n"), undo.join(", ")));
        assert_eq!((told.requests(), told.seconds(), told.deadline()), (83, 2.5, 100.0));
    }
}
