//! Reads the actions whose value is a mapping.

use std::collections::BTreeMap;
use std::time::Duration;

use super::action::{Reader, service};
use super::callers;
use super::expect;
use super::file::{Args, StepFile};
use super::plan::{Action, AlertIs, Change, Check, Command, Condition, Traffic, Verb, WaitFor};
use super::template;
use super::value;
use lab_core::engine::{KEY_VARIABLE, ServiceChange};
use lab_traffic::Amount;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, did_you_mean, quote_list};

/// Default timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Default deadline and polling interval of `wait_for`.
const WAIT: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(500);
/// Default deadline for alerts. Their rules look back 30 seconds, and then hold for several more.
const ALERT_WAIT: Duration = Duration::from_mins(1);
/// Default timeout of a command.
const COMMAND: Duration = Duration::from_mins(1);
/// Duration of background traffic: longer than any run.
const UNLIMITED: Duration = Duration::from_hours(24);

/// Value of one action.
pub(super) struct ActionFields<'f, 'a> {
    pub(super) step: &'f StepFile,
    pub(super) reader: &'f mut Reader<'a>,
}

impl ActionFields<'_, '_> {
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

    fn list(&self, key: &str) -> Vec<Text> {
        match &self.step.args {
            Args::Fields { lists, .. } => lists.get(key).cloned().unwrap_or_default(),
            Args::Text(_) => Vec::new(),
        }
    }

    /// Parses the value of a key. Returns `None` if the key is missing or the value is wrong (which is reported).
    fn value<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        self.reader.value(key, &text, read)
    }

    /// Returns true if the value is only a sample that stands for an output of an earlier step.
    fn is_sample(&mut self, key: &str) -> bool {
        let text = self.text(key).filter(|_| self.reader.lookup.is_none());
        text.is_some_and(|text| template::has_outputs(&text, self.reader.scope))
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, text) in self.map("headers") {
            let known = self.reader.fixed("headers", &name, value::header_name);
            let text = text.and_then(|text| self.reader.value(&name.text, &text, value::header_value));
            if let (Some(name), Some(text)) = (known, text) {
                headers.push((name, text));
            }
        }
        headers
    }

    /// Callers of a step: those listed, else all callers of the file. Empty if the file declares none.
    fn callers(&mut self) -> Vec<String> {
        let known: Vec<String> = self.reader.context.callers.iter().map(|caller| caller.name.clone()).collect();
        let wanted = self.list("callers");
        if wanted.is_empty() {
            return known;
        }
        let mut callers: Vec<String> = Vec::new();
        for text in wanted {
            let names = || known.iter().map(String::as_str);
            let has = if known.is_empty() {
                "there are no `callers` at the top of the file".to_owned()
            } else {
                format!("the callers: {}", quote_list(names()))
            };
            let read = |name: &str| match known.iter().find(|known| *known == name) {
                Some(name) => Ok(name.clone()),
                None => Err(did_you_mean(name, names(), &has)),
            };
            let Some(name) = self.reader.fixed("callers", &text, read) else { continue };
            if callers.contains(&name) {
                let twice = Diagnostic::at(format!("`{name}` is listed twice"), &text.place);
                self.reader.out.push(twice.label("remove one of the two"));
            } else {
                callers.push(name);
            }
        }
        callers
    }

    pub(super) fn traffic(mut self) -> Action {
        let requests = self.value("requests", value::requests);
        let duration = self.value("duration", value::step_duration);
        let rate = self.value("rate", value::rate);
        if let (Some(_), Some(text)) = (self.text("requests"), self.text("duration")) {
            self.reader.out.push(
                Diagnostic::at("`duration` cannot be combined with `requests`", &text.place)
                    .label("remove one of the two: traffic ends after a number of requests or after a duration"),
            );
        }
        let amount = match duration {
            Some(duration) => Amount::Duration(duration),
            None => Amount::Requests(requests.unwrap_or(40)),
        };
        let traffic = self.load(amount, rate);
        if let (Some(duration), Some(text)) = (duration, self.text("duration"))
            && duration.as_secs_f64() * traffic.rate > 1e7
        {
            let message = format!("{} requests per second for {duration:?} are too many", traffic.rate);
            self.reader.out.push(Diagnostic::at(message, &text.place).label("the limit is 10000000 requests per step"));
        }
        let least = traffic.callers.len() as u64;
        if let Amount::Requests(requests) = amount
            && requests < least
            && !self.is_sample("requests")
        {
            let place = self.text("requests").map_or_else(|| self.step.place.clone(), |text| text.place);
            let message = format!("{requests} requests are too few for {least} callers");
            self.reader.out.push(Diagnostic::at(message, &place).label("expected at least one per caller"));
        }
        Action::Traffic(traffic)
    }

    pub(super) fn background(mut self) -> Action {
        let rate = self.value("rate", value::rate);
        Action::Background(self.load(Amount::Duration(UNLIMITED), rate))
    }

    /// Builds the traffic of a step. `amount` and `rate` are totals over all callers.
    fn load(&mut self, amount: Amount, rate: Option<f64>) -> Traffic {
        let names = self.callers();
        let own: Vec<_> = self.reader.context.callers.iter().filter(|caller| names.contains(&caller.name)).collect();
        let whole = rate.unwrap_or_else(|| callers::rate(&own));
        let connections = self.value("connections", value::connections);
        let own: Vec<_> = self.reader.context.callers.iter().filter(|caller| names.contains(&caller.name)).collect();
        Traffic {
            amount,
            rate: whole,
            connections: connections.unwrap_or(1),
            callers: callers::share(&own, amount, whole, connections),
            path: self.value("path", value::path).unwrap_or_else(|| "/api/users".to_owned()),
            method: self.value("method", value::method).unwrap_or_else(|| "GET".to_owned()),
            headers: self.headers(),
            key: self.value("key", value::sent_key),
            timeout: self.value("timeout", value::timeout).unwrap_or(TIMEOUT),
        }
    }

    pub(super) fn rotate_key(mut self) -> Option<Action> {
        let both = [self.text("server"), self.text("caller")];
        let at = |message: &str, place| Diagnostic::at(message, place).label("expected `server: KEY` or `caller: KEY`");
        match &both {
            [Some(_), Some(caller)] => {
                self.reader.out.push(at("`caller` cannot be combined with `server`", &caller.place));
                None
            }
            [None, None] => {
                self.reader.out.push(at("`rotate_key` needs `server` or `caller`", &self.step.place));
                None
            }
            [Some(_), None] => {
                if let Some(first) = self.list("callers").first() {
                    let message = "`callers` cannot be combined with `server`";
                    let label = "`callers` can only be combined with `caller`";
                    self.reader.out.push(Diagnostic::at(message, &first.place).label(label));
                }
                Some(Action::RotateKey { server: self.value("server", value::server_key)? })
            }
            [None, Some(_)] => {
                let callers = self.callers();
                Some(Action::CallerKey { key: self.value("caller", value::server_key)?, callers })
            }
        }
    }

    pub(super) fn align_key(mut self) -> Option<Action> {
        self.value("caller", |text| match text {
            "server" => Ok(()),
            _ => Err("expected `server`: the callers get the server's key".to_owned()),
        })?;
        Some(Action::AlignKey { callers: self.callers() })
    }

    pub(super) fn set_env(mut self) -> Option<Action> {
        let mut change = ServiceChange::default();
        let env = self.map("env");
        for (name, text) in &env {
            let known = self.reader.fixed("env", name, value::env_name);
            let read = if name.text == KEY_VARIABLE { value::server_key } else { value::env_value };
            let text = text.as_ref().map(|text| self.reader.value(&name.text, text, read));
            // A wrong value has been reported, and the step is not used.
            if let (Some(name), None | Some(Some(_))) = (known, &text) {
                change.env.insert(name, text.flatten());
            }
        }
        let text = self.text("service")?;
        let service = self.reader.fixed("service", &text, service)?;
        for (name, _) in &env {
            if let Err(why) = value::env_of(&service, &name.text) {
                let message = format!("`{}` of `{service}` cannot be set", name.text);
                self.reader.out.push(Diagnostic::at(message, &name.place).label(why));
            }
        }
        // An `env` that is not a mapping has been reported.
        if env.is_empty() && matches!(&self.step.args, Args::Fields { maps, .. } if maps.contains_key("env")) {
            self.reader.out.push(
                Diagnostic::at("`set_env` changes no variable", &self.step.place)
                    .label("expected `env: { NAME: value }`"),
            );
        }
        let rolled_back = self.value("rolled_back", value::boolean).unwrap_or(false);
        Some(Action::Change(Change { verb: Verb::SetEnv, service, change, rolled_back }))
    }

    pub(super) fn check(mut self) -> Option<Action> {
        self.request().map(Action::Check)
    }

    /// Reads a request and its expected response. Returns `None` if the path is missing or wrong (which is reported).
    fn request(&mut self) -> Option<Check> {
        let path = self.value("path", value::path);
        let check = Check {
            path: path.clone().unwrap_or_default(),
            method: self.value("method", value::method).unwrap_or_else(|| "GET".to_owned()),
            headers: self.headers(),
            caller: self.caller(),
            key: self.value("key", value::sent_key),
            status: self.value("status", value::status).unwrap_or(200),
            body: self.value("body", value::body),
            timeout: match self.step.spec.name {
                "check" => self.value("timeout", value::timeout).unwrap_or(TIMEOUT),
                _ => TIMEOUT,
            },
        };
        path.map(|_| check)
    }

    /// Caller whose key the request sends: the one given, else the first caller of the file.
    fn caller(&mut self) -> Option<String> {
        let known = &self.reader.context.callers;
        let Some(text) = self.text("caller") else { return known.first().map(|caller| caller.name.clone()) };
        if let Some(key) = self.text("key") {
            self.reader.out.push(
                Diagnostic::at("`key` cannot be combined with `caller`", &key.place).label("remove one of the two"),
            );
        }
        let names: Vec<String> = known.iter().map(|caller| caller.name.clone()).collect();
        let has = if names.is_empty() {
            "there are no `callers` at the top of the file".to_owned()
        } else {
            format!("the callers: {}", quote_list(names.iter().map(String::as_str)))
        };
        self.reader.fixed("caller", &text, |name| match names.iter().find(|known| *known == name) {
            Some(name) => Ok(name.clone()),
            None => Err(did_you_mean(name, names.iter().map(String::as_str), &has)),
        })
    }

    pub(super) fn wait_for(mut self) -> Option<Action> {
        const KINDS: [(&str, &[&str]); 4] = [
            ("metrics", &["metrics"]),
            ("path", &["path", "method", "headers", "caller", "key", "status", "body"]),
            ("query", &["query", "is"]),
            ("alert", &["alert", "state", "within"]),
        ];
        let Args::Fields { texts, maps, .. } = &self.step.args else { return None };
        let has = |key: &str| texts.contains_key(key) || maps.contains_key(key);
        let what: Vec<&str> = KINDS.iter().map(|(key, _)| *key).filter(|key| has(key)).collect();
        let [what] = what[..] else {
            let found =
                if what.is_empty() { "has no condition".to_owned() } else { format!("has {}", quote_list(what)) };
            self.reader.out.push(
                Diagnostic::at(format!("`wait_for` {found}"), &self.step.place)
                    .label("expected one of `metrics`, `path`, `query` and `alert`"),
            );
            return None;
        };
        for (kind, keys) in KINDS.iter().filter(|(kind, _)| *kind != what) {
            if let Some(key) = keys.iter().find(|key| has(key)) {
                let place = texts.get(key).map_or_else(|| self.step.place.clone(), |text| text.place.clone());
                let label = format!("only allowed in a `wait_for` with `{kind}`");
                self.reader
                    .out
                    .push(Diagnostic::at(format!("`{key}` cannot be combined with `{what}`"), &place).label(label));
            }
        }
        let condition = match what {
            "metrics" => self.counters(),
            "path" => self.request().map(Condition::Answer),
            "alert" => self.alert(),
            _ => {
                let query = self.value("query", value::query);
                let is = self.value("is", expect::threshold);
                query.map(|query| Condition::Query { query, is })
            }
        };
        let usual = if what == "alert" { ALERT_WAIT } else { WAIT };
        let (timeout, within) =
            (self.value("timeout", value::step_duration), self.value("within", value::step_duration));
        if let (Some(_), Some(text)) = (self.text("timeout"), self.text("within")) {
            let twice = Diagnostic::at("`within` cannot be combined with `timeout`", &text.place);
            self.reader.out.push(twice.label("remove one of the two; they mean the same"));
        }
        let timeout = within.or(timeout).unwrap_or(usual);
        let every = self.value("every", value::every).unwrap_or(EVERY);
        condition.map(|what| Action::WaitFor(WaitFor { what, timeout, every }))
    }

    /// Reads an alert and its expected state, `firing` by default.
    fn alert(&mut self) -> Option<Condition> {
        let alert = self.value("alert", expect::alert);
        let is = match self.text("state") {
            Some(_) => self.value("state", |text| expect::alert_is(text, &AlertIs::WAITED)),
            None => Some(AlertIs::Firing),
        };
        alert.zip(is).map(|(alert, is)| Condition::Alert { alert, is })
    }

    /// Reads the counter conditions of `wait_for`.
    fn counters(&mut self) -> Option<Condition> {
        let mut all = Vec::new();
        let metrics = self.map("metrics");
        for (metric, bound) in &metrics {
            let Ok(subject @ expect::MetricName::Delta { .. }) = expect::metric_name(&metric.text) else {
                let message = format!("`wait_for` does not support {}", lab_yaml::quote(&metric.text));
                let wrong = Diagnostic::at(message, &metric.place).label("expected the delta of a counter");
                self.reader.out.push(wrong.help(expect::counters()));
                continue;
            };
            let read = |bound: &str| expect::expectation(subject.clone(), &metric.text, bound);
            all.extend(bound.as_ref().and_then(|bound| self.reader.value(&metric.text, bound, read)));
        }
        if metrics.is_empty() {
            let nothing = Diagnostic::at("`metrics` is empty", &self.step.place);
            self.reader.out.push(nothing.label("expected `metrics: { auth_failures.delta: \"> 5\" }`"));
        }
        (!all.is_empty()).then_some(Condition::Metrics(all))
    }

    pub(super) fn run(mut self) -> Option<Action> {
        let mut command = Vec::new();
        for (index, text) in self.list("command").iter().enumerate() {
            let read = if index == 0 { value::program } else { value::argument };
            command.extend(self.reader.value("command", text, read));
        }
        let mut env = BTreeMap::new();
        for (name, text) in self.map("env") {
            let known = self.reader.fixed("env", &name, value::env_name);
            let text = text.and_then(|text| self.reader.value(&name.text, &text, value::env_value));
            env.extend(known.zip(text));
        }
        let timeout = self.value("timeout", value::step_duration).unwrap_or(COMMAND);
        let exit_code = self.value("exit_code", value::exit_code).unwrap_or(0);
        let folder = self.reader.folder.map(std::path::Path::to_path_buf);
        // A missing or wrong list has been reported.
        (!command.is_empty()).then_some(Action::Run(Command { command, folder, env, timeout, exit_code }))
    }
}
