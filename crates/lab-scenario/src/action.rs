//! What an action means: its texts, parameters filled in, turned into an [`Action`] of the plan. `fields.rs` has the
//! actions that are mappings.

use std::path::Path;

use super::expect::{self, Subject, Unknown};
use super::fields::Fields;
use super::file::{Args, StepFile};
use super::late::{Around, LateBound, Look, sampled};
use super::plan::{Action, Change, Expectation, Of, Verb};
use super::template::{self, NOTED, Resolved, Room, Scope};
use super::value;
use lab_core::engine::{APP, DB, GATEWAY, RunState, ServiceChange};
use lab_core::event::{Phase, Secrets};
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Diagnostics, first, list, meant, shown};

/// The services of the stack. What can be done to each is the engine's to say.
pub(super) const SERVICES: [&str; 5] = [GATEWAY, APP, DB, "prometheus", "grafana"];

/// Fills in parameters and reads values; what is wrong is reported where it was written.
pub(crate) struct Reader<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) around: &'a Around,
    /// The folder of the file.
    pub(crate) folder: Option<&'a Path>,
    /// What earlier steps showed, and what of it is not to be told; none before the run.
    pub(crate) look: Option<(Look<'a>, &'a Secrets)>,
    pub(crate) room: &'a Room,
    pub(crate) out: &'a mut Diagnostics,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        scope: &'a Scope,
        around: &'a Around,
        folder: Option<&'a Path>,
        room: &'a Room,
        out: &'a mut Diagnostics,
    ) -> Self {
        Self { scope, around, folder, look: None, room, out }
    }

    /// A text with its parameters filled in; none where something in it is, reported, unknown.
    pub(crate) fn resolve(&mut self, text: &Text) -> Option<Resolved> {
        match template::resolve(text, self.scope, self.around, self.room, self.out.are_few()) {
            Ok(resolved) => return resolved,
            Err(diagnostic) if self.room.is_spent() => self.out.push_last(diagnostic),
            Err(diagnostic) => self.out.push(diagnostic),
        }
        None
    }

    /// A value; `what` it is of, for the message: `rate`. What comes from earlier steps is looked up while a run is on,
    /// and is before it only checked for its kind.
    pub(crate) fn value<T>(&mut self, what: &str, text: &Text, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let resolved = self.resolve(text)?;
        self.read(what, text, resolved, read)
    }

    fn read<T>(
        &mut self,
        what: &str,
        text: &Text,
        resolved: Resolved,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some((look, secrets)) = self.look else {
            return sampled(&resolved, read).map_err(|expected| self.misfit(what, text, resolved, expected)).ok();
        };
        let mut unknown = None;
        let filled = resolved.text(|output| {
            look(output).unwrap_or_else(|why| {
                unknown.get_or_insert(why);
                String::new()
            })
        });
        if let Some(why) = unknown {
            self.out.push(Diagnostic::at(format!("`{what}` is not known"), &text.place).label(why));
            return None;
        }
        let found = if resolved.secret { lab_core::event::MASK.to_owned() } else { shown(&secrets.mask(&filled)) };
        let misfit = |expected: String| Diagnostic::at(format!("`{what}` is {found}"), &text.place).label(expected);
        read(&filled).map_err(|expected| self.out.push(misfit(expected))).ok()
    }

    /// A value that is fixed before the run.
    pub(crate) fn fixed<T>(&mut self, what: &str, text: &Text, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let resolved = self.resolve(text)?;
        self.read_fixed(what, text, resolved, read)
    }

    fn read_fixed<T>(
        &mut self,
        what: &str,
        text: &Text,
        resolved: Resolved,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if let Some(output) = resolved.outputs().next() {
            let message = format!("`{what}` cannot come from a step");
            let label = format!("expected a value that is known before the run; {}", output.described());
            self.out.push(Diagnostic::at(message, &text.place).label(label));
            return None;
        }
        self.read(what, text, resolved, read)
    }

    /// A value for people to read, which a secret must not get into.
    pub(crate) fn open<T>(&mut self, what: &str, text: &Text, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let resolved = self.resolve(text)?;
        if resolved.secret {
            let message = format!("a secret in `{what}`");
            self.out.push(Diagnostic::at(message, &text.place).label("this is shown to everybody"));
            return None;
        }
        self.read_fixed(what, text, resolved, read)
    }

    /// Reports that a value is not what was expected.
    fn misfit(&mut self, what: &str, text: &Text, resolved: Resolved, expected: String) {
        let outputs: Vec<String> = resolved.outputs().take(NOTED).map(super::late::Output::described).collect();
        let found = resolved.text(super::late::Output::written);
        let found = match found.as_str() {
            _ if resolved.secret => lab_core::event::MASK.to_owned(),
            "" => "empty".to_owned(),
            found => shown(found),
        };
        let message = format!("`{what}` is {found}");
        // Where the value is nothing but a parameter, the mistake is where that got its value.
        let mut diagnostic = match &resolved.written {
            Some(written) => {
                Diagnostic::at(message, written).note(format!("it stands for {} at {}", shown(&text.text), text.place))
            }
            None => Diagnostic { notes: resolved.origins, ..Diagnostic::at(message, &text.place) },
        };
        diagnostic.notes.extend(outputs);
        diagnostic.label = expected;
        self.out.push(diagnostic);
    }

    /// The action of a step that is no `scenario`; none where something in it is wrong.
    pub(crate) fn action(&mut self, step: &StepFile) -> Option<Action> {
        let before = self.out.len();
        let key = step.spec.key;
        let action = match &step.args {
            Args::Text(text) if key == "wait" => self.value(key, text, value::span).map(Action::Wait),
            Args::Text(text) if key == "stop_background" => self.stop_background(text),
            Args::Text(text) => self.change(key, text),
            Args::Fields { .. } => {
                let fields = Fields { step, reader: self };
                match key {
                    "traffic" => Some(fields.traffic()),
                    "background" => Some(fields.background()),
                    "rotate_key" => fields.rotate_key(),
                    "align_key" => fields.align_key(),
                    "set_env" => fields.set_env(),
                    "wait_for" => fields.wait_for(),
                    "run" => fields.run(),
                    _ => fields.check(),
                }
            }
        };
        action.filter(|_| self.out.len() == before)
    }

    fn change(&mut self, key: &str, text: &Text) -> Option<Action> {
        let service = self.fixed(key, text, service)?;
        let (verb, change) = match key {
            "stop" => (Verb::Stop, ServiceChange::run(RunState::Stopped)),
            "start" => (Verb::Start, ServiceChange::run(RunState::Running)),
            "kill" => (Verb::Kill, ServiceChange::kill()),
            "pause" => (Verb::Pause, ServiceChange::run(RunState::Paused)),
            _ => (Verb::Unpause, ServiceChange::run(RunState::Running)),
        };
        Some(Action::Change(Change { verb, service, change, rolled_back: false }))
    }

    fn stop_background(&mut self, text: &Text) -> Option<Action> {
        let around = self.around;
        let names: Vec<&str> = around.backgrounds().map(|step| step.name.as_str()).collect();
        let known = if names.is_empty() {
            "no step before this one has a `name` and a `background`".to_owned()
        } else {
            format!("expected the name of a step with `background`: {}", first(names.iter().copied()))
        };
        let few = self.out.are_few();
        self.fixed("stop_background", text, |name| match around.backgrounds().find(|step| step.name == name) {
            Some(step) => Ok(Action::StopBackground { of: step.id, name: name.to_owned() }),
            None if few => Err(meant(name, names.iter().copied(), &known)),
            None => Err(known.clone()),
        })
    }

    /// The expectations of a step; `traffic`: whether it, or one of the steps that it includes, sends some, and by which
    /// callers.
    pub(crate) fn expectations(&mut self, step: &StepFile, traffic: &Sends) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (metric, bound) in &step.expect {
            let Some((of, subject)) = self.metric(metric, step, traffic) else { continue };
            let Some(resolved) = self.resolve(bound) else { continue };
            let has_outputs = resolved.outputs().next().is_some();
            let late = has_outputs.then(|| LateBound { parts: resolved.parts.clone(), subject: subject.clone() });
            let read = |bound: &str| expect::expectation(subject.clone(), &metric.text, bound);
            let read = self.read(&metric.text, bound, resolved, read);
            expectations.extend(read.map(|read| {
                let text = if late.is_some() { bound.text.clone() } else { read.text.clone() };
                Expectation { of, text, late, ..read }
            }));
        }
        expectations
    }

    /// Whose requests a metric is about, and what of them; none where it is, reported, no metric of this step.
    fn metric(&mut self, metric: &Text, step: &StepFile, traffic: &Sends) -> Option<(Of, Subject)> {
        let (of, name) = match self.whose(&metric.text, traffic) {
            Ok(whose) => whose,
            Err(expected) => {
                let message = format!("unknown metric {}", shown(&metric.text));
                self.out.push(Diagnostic::at(message, &metric.place).label(expected));
                return None;
            }
        };
        let subject = match expect::subject(name) {
            Ok(subject) => subject,
            Err(expected) => {
                let message = format!("unknown metric {}", shown(&metric.text));
                let diagnostic = Diagnostic::at(message, &metric.place);
                self.out.push(match expected {
                    Unknown::Metric => diagnostic.label("expected a metric").help(expect::metrics()),
                    Unknown::Counter => diagnostic.label("the app has no such counter").help(expect::counters()),
                    Unknown::Because(expected) => diagnostic.label(expected),
                });
                return None;
            }
        };
        match (&of, subject.needs_traffic()) {
            (Of::All, true) if !traffic.sends => self.out.push(no_traffic(step, metric)),
            (Of::Caller(_) | Of::Background(_), false) => {
                let message = format!("{} can never be known", shown(&metric.text));
                self.out.push(
                    Diagnostic::at(message, &metric.place)
                        .label("expected what a caller sees, such as `status.401`")
                        .help("the app's counters count all callers together: a delta is of all of them"),
                );
            }
            _ => {}
        }
        Some((of, subject))
    }

    /// `caller.NAME.…`, `background.NAME.…`, or all.
    fn whose<'t>(&self, text: &'t str, traffic: &Sends) -> Result<(Of, &'t str), String> {
        if let Some(rest) = text.strip_prefix("caller.") {
            let (name, rest) = rest.split_once('.').ok_or("expected `caller.NAME.` and a metric")?;
            if traffic.callers.iter().any(|known| known == name) {
                return Ok((Of::Caller(name.to_owned()), rest));
            }
            let callers = || traffic.callers.iter().map(String::as_str);
            return Err(if traffic.callers.is_empty() {
                "no callers send in this step: they are named under `callers` at the top of the file".to_owned()
            } else {
                meant(name, callers(), &format!("the callers of this step: {}", list(callers())))
            });
        }
        if let Some(rest) = text.strip_prefix("background.") {
            let begins = |name: &str| rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            let found = self.around.backgrounds().filter_map(|step| Some((step, begins(&step.name)?)));
            if let Some((step, rest)) = found.max_by_key(|(step, _)| step.name.len()) {
                return Ok((Of::Background(step.id), rest));
            }
            let names: Vec<&str> = self.around.backgrounds().map(|step| step.name.as_str()).collect();
            return Err(if names.is_empty() {
                "no step before this one has a `name` and a `background`".to_owned()
            } else {
                format!("expected `background.NAME.` and a metric, with one of {}", first(names.iter().copied()))
            });
        }
        Ok((Of::All, text))
    }
}

/// What a step, or the steps that it includes, send.
#[derive(Debug, Default)]
pub(crate) struct Sends {
    pub(crate) sends: bool,
    pub(crate) callers: Vec<String>,
}

impl Sends {
    /// Adds what an action sends.
    pub(crate) fn add(&mut self, action: &Action) {
        let Action::Traffic(traffic) = action else { return };
        self.sends = true;
        self.callers.extend(traffic.callers.iter().map(|caller| caller.name.clone()));
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
    match key {
        "check" => diagnostic.help("a check says what it must see by itself: `check: { path: /health, status: 200 }`"),
        "background" => diagnostic.help("put it on a step after it, as `background.NAME.status.200`"),
        _ => diagnostic.help("put it on a step with `traffic`"),
    }
}

/// A service's name.
pub(crate) fn service(text: &str) -> Result<String, String> {
    if SERVICES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(meant(text, SERVICES, &format!("expected a service: {}", list(SERVICES))))
}

/// The phase that an action belongs to by itself; none where its place in the story decides.
pub(crate) fn natural_phase(action: &Action) -> Option<Phase> {
    match action {
        Action::RotateKey { .. } | Action::CallerKey { .. } => Some(Phase::Inject),
        Action::AlignKey { .. } => Some(Phase::Remedy),
        Action::Change(change) => Some(match change.verb {
            Verb::SetEnv | Verb::Stop | Verb::Kill | Verb::Pause => Phase::Inject,
            Verb::Start | Verb::Unpause => Phase::Remedy,
        }),
        Action::Traffic(_)
        | Action::Background(_)
        | Action::StopBackground { .. }
        | Action::Wait(_)
        | Action::WaitFor(_)
        | Action::Check(_)
        | Action::Run(_) => None,
    }
}
