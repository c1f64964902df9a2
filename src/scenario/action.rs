//! What an action means: its texts, parameters filled in, turned into an [`Action`] of the plan.

use std::time::Duration;

use super::expect::{self, Unknown};
use super::file::{Args, StepFile};
use super::plan::{Action, Change, Check, Expectation, Traffic, Verb};
use super::template::{self, Resolved, Scope};
use super::value;
use crate::engine::{APP, DB, GATEWAY, KEY_VARIABLE, RunState, ServiceChange};
use crate::event::Phase;
use crate::traffic::Amount;
use crate::yaml::list;
use crate::yaml::node::Text;
use crate::yaml::{Diagnostic, Diagnostics, meant, shown};

/// The services of the stack. What can be done to each is the engine's to say.
const SERVICES: [&str; 5] = [GATEWAY, APP, DB, "prometheus", "grafana"];

/// Fills in parameters and reads values; what is wrong is reported where it was written.
pub(crate) struct Reader<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) out: &'a mut Diagnostics,
}

impl Reader<'_> {
    pub(crate) fn resolve(&self, text: &Text) -> Option<Resolved> {
        template::resolve(text, self.scope)
    }

    /// A value; `what` it is of, for the message: `rate`.
    pub(crate) fn value<T>(
        &mut self,
        what: &str,
        text: &Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let resolved = self.resolve(text)?;
        match read(&resolved.text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let found = if resolved.text.is_empty() { "empty".to_owned() } else { shown(&resolved.text) };
                let message = format!("`{what}` is {found}");
                // Where the value is nothing but a parameter, the mistake is where that got its value.
                let mut diagnostic = match &resolved.written {
                    Some(written) => Diagnostic::at(message, written).note(format!(
                        "it stands for {} at {}",
                        shown(&text.text),
                        text.place
                    )),
                    None => Diagnostic { notes: resolved.origins, ..Diagnostic::at(message, &text.place) },
                };
                diagnostic.label = expected;
                self.out.push(diagnostic);
                None
            }
        }
    }

    /// The action of a step that is no `scenario`; none where something in it is wrong.
    pub(crate) fn action(&mut self, step: &StepFile) -> Option<Action> {
        let before = self.out.len();
        let key = step.spec.key;
        let action = match &step.args {
            Args::Text(text) if key == "wait" => self.value(key, text, value::span).map(Action::Wait),
            Args::Text(text) => self.change(key, text),
            Args::Fields { .. } => {
                let fields = Fields { step, reader: self };
                match key {
                    "traffic" => Some(fields.traffic()),
                    "rotate_key" => fields.rotate_key(),
                    "align_key" => fields.align_key(),
                    "set_env" => fields.set_env(),
                    _ => fields.check(),
                }
            }
        };
        action.filter(|_| self.out.len() == before)
    }

    fn change(&mut self, key: &str, text: &Text) -> Option<Action> {
        let service = self.value(key, text, service)?;
        let (verb, change) = match key {
            "stop" => (Verb::Stop, ServiceChange::run(RunState::Stopped)),
            "start" => (Verb::Start, ServiceChange::run(RunState::Running)),
            "kill" => (Verb::Kill, ServiceChange::kill()),
            "pause" => (Verb::Pause, ServiceChange::run(RunState::Paused)),
            _ => (Verb::Unpause, ServiceChange::run(RunState::Running)),
        };
        Some(Action::Change(Change { verb, service, change }))
    }

    /// The expectations of a step; `traffic`: whether it, or one of the steps that it includes, sends some.
    pub(crate) fn expectations(&mut self, step: &StepFile, traffic: bool) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (metric, bound) in &step.expect {
            let subject = match expect::subject(&metric.text) {
                Ok(subject) => subject,
                Err(expected) => {
                    let message = format!("unknown metric {}", shown(&metric.text));
                    let diagnostic = Diagnostic::at(message, &metric.place);
                    self.out.push(match expected {
                        Unknown::Metric => diagnostic.label("expected a metric").help(expect::metrics()),
                        Unknown::Counter => diagnostic.label("the app has no such counter").help(expect::counters()),
                        Unknown::Because(expected) => diagnostic.label(expected),
                    });
                    continue;
                }
            };
            if subject.needs_traffic() && !traffic {
                self.out.push(no_traffic(step, metric));
            }
            let read = |bound: &str| expect::expectation(subject, &metric.text, bound);
            expectations.extend(self.value(&metric.text, bound, read));
        }
        expectations
    }
}

fn no_traffic(step: &StepFile, metric: &Text) -> Diagnostic {
    let key = step.spec.key;
    let why = match key {
        "scenario" => "no step of this scenario sends traffic".to_owned(),
        _ => format!("`{key}` sends no traffic"),
    };
    let message = format!("{} can never be known here: {why}", shown(&metric.text));
    let diagnostic = Diagnostic::at(message, &metric.place).label("expected the delta of a counter");
    if key == "check" {
        diagnostic.help("a check says what it must see by itself: `check: { path: /health, status: 200 }`")
    } else {
        diagnostic.help("put it on a step with `traffic`")
    }
}

/// A service's name.
fn service(text: &str) -> Result<String, String> {
    if SERVICES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(meant(text, SERVICES, &format!("expected a service: {}", list(SERVICES))))
}

/// The phase that an action belongs to by itself; none where its place in the story decides.
pub(crate) fn natural_phase(action: &Action) -> Option<Phase> {
    match action {
        Action::RotateKey { .. } => Some(Phase::Inject),
        Action::AlignKey => Some(Phase::Remedy),
        Action::Change(change) => Some(match change.verb {
            Verb::SetEnv | Verb::Stop | Verb::Kill | Verb::Pause => Phase::Inject,
            Verb::Start | Verb::Unpause => Phase::Remedy,
        }),
        Action::Traffic(_) | Action::Wait(_) | Action::Check(_) => None,
    }
}

/// The mapping of one action.
struct Fields<'f, 'a> {
    step: &'f StepFile,
    reader: &'f mut Reader<'a>,
}

impl Fields<'_, '_> {
    fn text(&self, key: &str) -> Option<Text> {
        match &self.step.args {
            Args::Fields { texts, .. } => texts.get(key).cloned(),
            Args::Text(_) => None,
        }
    }

    fn map(&self, key: &str) -> Vec<(Text, Option<Text>)> {
        match &self.step.args {
            Args::Fields { maps, .. } => maps.get(key).cloned().unwrap_or_default(),
            Args::Text(_) => Vec::new(),
        }
    }

    /// The value under a key; none where it is not there, or, reported, wrong.
    fn value<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        self.reader.value(key, &text, read)
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, text) in self.map("headers") {
            let known = self.reader.value("headers", &name, value::header_name);
            let text = text.and_then(|text| self.reader.value(&name.text, &text, value::header_value));
            if let (Some(name), Some(text)) = (known, text) {
                headers.push((name, text));
            }
        }
        headers
    }

    fn traffic(mut self) -> Action {
        let requests = self.value("requests", value::requests);
        let duration = self.value("duration", value::span);
        let rate = self.value("rate", value::rate).unwrap_or(20.0);
        if let (Some(_), Some(text)) = (self.text("requests"), self.text("duration")) {
            self.reader.out.push(
                Diagnostic::at("`duration` beside `requests`", &text.place)
                    .label("expected one of the two: traffic ends after a number of requests, or after a time"),
            );
        }
        if let (Some(duration), Some(text)) = (duration, self.text("duration"))
            && duration.as_secs_f64() * rate > 1e7
        {
            let message = format!("{rate} requests a second for {duration:?} are too many");
            self.reader.out.push(Diagnostic::at(message, &text.place).label("the limit is 10000000 requests a step"));
        }
        let amount = match duration {
            Some(duration) => Amount::Duration(duration),
            None => Amount::Requests(requests.unwrap_or(40)),
        };
        Action::Traffic(Traffic {
            amount,
            rate,
            connections: self.value("connections", value::connections).unwrap_or(1),
            path: self.value("path", value::path).unwrap_or_else(|| "/api/users".to_owned()),
            method: self.value("method", value::method).unwrap_or_else(|| "GET".to_owned()),
            headers: self.headers(),
            key: self.value("key", value::sent_key),
            timeout: self.value("timeout", value::timeout).unwrap_or(Duration::from_secs(3)),
        })
    }

    fn rotate_key(mut self) -> Option<Action> {
        Some(Action::RotateKey { server: self.value("server", value::server_key)? })
    }

    fn align_key(mut self) -> Option<Action> {
        self.value("caller", |text| match text {
            "server" => Ok(()),
            _ => Err("expected `server`: the caller is given the server's key".to_owned()),
        })?;
        Some(Action::AlignKey)
    }

    fn set_env(mut self) -> Option<Action> {
        let mut change = ServiceChange::default();
        let env = self.map("env");
        for (name, text) in &env {
            let known = self.reader.value("env", name, value::env_name);
            let read = if name.text == KEY_VARIABLE { value::server_key } else { value::env_value };
            let text = text.as_ref().map(|text| self.reader.value(&name.text, text, read));
            // Reported where it is wrong; the step is not used then.
            if let (Some(name), None | Some(Some(_))) = (known, &text) {
                change.env.insert(name, text.flatten());
            }
        }
        let service = self.value("service", service)?;
        // An `env` that is no mapping has been reported.
        if env.is_empty() && matches!(&self.step.args, Args::Fields { maps, .. } if maps.contains_key("env")) {
            self.reader.out.push(
                Diagnostic::at("`set_env` sets nothing", &self.step.place).label("expected `env: { NAME: value }`"),
            );
        }
        Some(Action::Change(Change { verb: Verb::SetEnv, service, change }))
    }

    fn check(mut self) -> Option<Action> {
        let path = self.value("path", value::path);
        let check = Check {
            path: path.clone().unwrap_or_default(),
            method: self.value("method", value::method).unwrap_or_else(|| "GET".to_owned()),
            headers: self.headers(),
            key: self.value("key", value::sent_key),
            status: self.value("status", value::status).unwrap_or(200),
            body: self.value("body", value::body),
            timeout: self.value("timeout", value::timeout).unwrap_or(Duration::from_secs(3)),
        };
        path.map(|_| Action::Check(check))
    }
}
