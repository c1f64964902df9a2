//! [`Reader`]: fills in parameters and parses the values of a step. `actions` turns them into an [`Action`] of the plan.

use std::path::Path;

use super::Expected;
use super::deferred::{DeferredBound, OutputLookup, StepContext, sampled};
use super::expect::{self, MetricName, UnknownMetric};
use super::file::StepFile;
use super::plan::{Action, Expectation, Sender};
use super::template::{self, LengthBudget, MAX_ORIGINS, Resolved, Scope};
use lab_core::event::Secrets;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Diagnostics, did_you_mean, quote, quote_first, quote_list};

/// Fills in parameters and parses values. Reports errors at the place where the value was written.
pub(crate) struct Reader<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) context: &'a StepContext,
    /// Folder of the scenario file.
    pub(crate) folder: Option<&'a Path>,
    /// Outputs of earlier steps, and the secrets to mask. Only set during a run.
    pub(crate) lookup: Option<(OutputLookup<'a>, &'a Secrets)>,
    pub(crate) budget: &'a LengthBudget,
    pub(crate) out: &'a mut Diagnostics,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        scope: &'a Scope,
        context: &'a StepContext,
        folder: Option<&'a Path>,
        budget: &'a LengthBudget,
        out: &'a mut Diagnostics,
    ) -> Self {
        Self { scope, context, folder, lookup: None, budget, out }
    }

    /// Fills in the parameters of a text. Reports unknown ones and returns `None`.
    pub(crate) fn resolve(&mut self, text: &Text) -> Option<Resolved> {
        match template::resolve(text, self.scope, self.context, self.budget, self.out.are_few()) {
            Ok(resolved) => return resolved,
            Err(diagnostic) if self.budget.is_spent() => self.out.push_last(diagnostic),
            Err(diagnostic) => self.out.push(diagnostic),
        }
        None
    }

    /// Parses a value; `what` names it in messages (`rate`). Outputs of earlier steps are looked up during a run.
    /// Before the run, only their type is checked.
    pub(crate) fn value<T>(
        &mut self,
        what: &str,
        text: &Text,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let resolved = self.resolve(text)?;
        self.read(what, text, resolved, read)
    }

    fn read<T>(
        &mut self,
        what: &str,
        text: &Text,
        resolved: Resolved,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let Some((lookup, secrets)) = self.lookup else {
            return sampled(&resolved, read)
                .map_err(|expected| self.report_mismatch(what, text, resolved, expected))
                .ok();
        };
        let mut unknown = None;
        let filled = resolved.text(|output| {
            lookup(output).unwrap_or_else(|why| {
                unknown.get_or_insert(why);
                String::new()
            })
        });
        if let Some(why) = unknown {
            self.out.push(Diagnostic::at(format!("`{what}` is not known"), &text.place).label(why.to_string()));
            return None;
        }
        let found = if resolved.secret { lab_core::event::MASK.to_owned() } else { quote(&secrets.mask(&filled)) };
        let misfit = |expected: Expected| Diagnostic::at(format!("`{what}` is {found}"), &text.place).label(expected);
        read(&filled).map_err(|expected| self.out.push(misfit(expected))).ok()
    }

    /// Parses a value that must be known before the run.
    pub(crate) fn fixed<T>(
        &mut self,
        what: &str,
        text: &Text,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let resolved = self.resolve(text)?;
        self.read_fixed(what, text, resolved, read)
    }

    fn read_fixed<T>(
        &mut self,
        what: &str,
        text: &Text,
        resolved: Resolved,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        if let Some(output) = resolved.outputs().next() {
            let message = format!("`{what}` cannot be an output of a step");
            let label = format!("expected a value known before the run; {}", output.described());
            self.out.push(Diagnostic::at(message, &text.place).label(label));
            return None;
        }
        self.read(what, text, resolved, read)
    }

    /// Parses a value that is shown to users and must not contain a secret.
    pub(crate) fn open<T>(&mut self, what: &str, text: &Text, read: impl Fn(&str) -> Result<T, Expected>) -> Option<T> {
        let resolved = self.resolve(text)?;
        if resolved.secret {
            let message = format!("a secret in `{what}`");
            self.out.push(Diagnostic::at(message, &text.place).label("this text is shown to everyone"));
            return None;
        }
        self.read_fixed(what, text, resolved, read)
    }

    /// Reports a value that does not match the expected one.
    fn report_mismatch(&mut self, what: &str, text: &Text, resolved: Resolved, expected: Expected) {
        let outputs: Vec<String> =
            resolved.outputs().take(MAX_ORIGINS).map(super::deferred::Output::described).collect();
        let found = resolved.text(super::deferred::Output::written);
        let found = match found.as_str() {
            _ if resolved.secret => lab_core::event::MASK.to_owned(),
            "" => "empty".to_owned(),
            found => quote(found),
        };
        if self.is_reported(&resolved) {
            return;
        }
        let message = format!("`{what}` is {found}");
        // If the value is a single parameter, point to where the parameter got its value.
        let mut diagnostic = match &resolved.written {
            Some(written) => Diagnostic::at(message, written).note(format!(
                "it is the value of {} at {}",
                quote(&text.text),
                text.place
            )),
            None => Diagnostic { notes: resolved.origins, ..Diagnostic::at(message, &text.place) },
        };
        diagnostic.notes.extend(outputs);
        diagnostic.label = expected.into();
        self.out.push(diagnostic);
    }

    /// Returns true if another use of one of the parameters was reported already. A wrong value is one mistake, however often
    /// it is used.
    fn is_reported(&self, resolved: &Resolved) -> bool {
        let is_same = |item: &Diagnostic| match &resolved.written {
            Some(written) => item.place.as_ref() == Some(written),
            None => item.notes.iter().any(|note| resolved.origins.contains(note)),
        };
        self.out.are_few() && self.out.items().iter().any(is_same)
    }

    /// Expectations of a step. `traffic` describes the requests of the step, including those of included steps.
    pub(crate) fn expectations(&mut self, step: &StepFile, traffic: &Senders) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (metric, bound) in &step.expect {
            let Some((sender, subject)) = self.metric(metric, step, traffic) else { continue };
            let Some(resolved) = self.resolve(bound) else { continue };
            let has_outputs = resolved.outputs().next().is_some();
            let deferred =
                has_outputs.then(|| DeferredBound { parts: resolved.parts.clone(), subject: subject.clone() });
            let read = |bound: &str| expect::expectation(subject.clone(), &metric.text, bound);
            let read = self.read(&metric.text, bound, resolved, read);
            expectations.extend(read.map(|read| {
                let text = if deferred.is_some() { bound.text.clone() } else { read.text.clone() };
                Expectation { sender, text, deferred, ..read }
            }));
        }
        expectations
    }

    /// Splits a metric into sender and name. Reports metrics that this step cannot have and returns `None`.
    fn metric(&mut self, metric: &Text, step: &StepFile, traffic: &Senders) -> Option<(Sender, MetricName)> {
        let (sender, name) = match self.whose(&metric.text, traffic) {
            Ok(whose) => whose,
            Err(expected) => {
                let message = format!("unknown metric {}", quote(&metric.text));
                self.out.push(Diagnostic::at(message, &metric.place).label(expected));
                return None;
            }
        };
        let subject = match expect::metric_name(name) {
            Ok(subject) => subject,
            Err(expected) => {
                let message = format!("unknown metric {}", quote(&metric.text));
                let diagnostic = Diagnostic::at(message, &metric.place);
                self.out.push(match expected {
                    UnknownMetric::Metric => diagnostic.label("expected a metric").help(expect::metrics()),
                    UnknownMetric::Counter => diagnostic.label("the app has no such counter").help(expect::counters()),
                    UnknownMetric::Because(expected) => diagnostic.label(expected),
                });
                return None;
            }
        };
        match (&sender, subject.needs_traffic()) {
            (Sender::All, true) if !traffic.sends => self.out.push(no_traffic(step, metric)),
            (Sender::Caller(_) | Sender::Background(_), false) => {
                let message = format!("{} cannot be measured", quote(&metric.text));
                self.out.push(
                    Diagnostic::at(message, &metric.place)
                        .label("expected a metric of the caller's requests, such as `status.401`")
                        .help("the app's counters do not distinguish callers"),
                );
            }
            _ => {}
        }
        Some((sender, subject))
    }

    /// Parses the prefix `caller.NAME.` or `background.NAME.`; without one, the metric covers all requests.
    fn whose<'t>(&self, text: &'t str, traffic: &Senders) -> Result<(Sender, &'t str), Expected> {
        if let Some(rest) = text.strip_prefix("caller.") {
            let (name, rest) =
                rest.split_once('.').ok_or_else(|| Expected::new("expected `caller.NAME.` and a metric"))?;
            if traffic.callers.iter().any(|known| known == name) {
                return Ok((Sender::Caller(name.to_owned()), rest));
            }
            let callers = || traffic.callers.iter().map(String::as_str);
            return Err(Expected::new(if traffic.callers.is_empty() {
                "no callers send traffic in this step; declare them under `callers` at the top of the file".to_owned()
            } else {
                did_you_mean(name, callers(), &format!("the callers of this step: {}", quote_list(callers())))
            }));
        }
        if let Some(rest) = text.strip_prefix("background.") {
            let begins = |name: &str| rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            let found = self.context.backgrounds().filter_map(|step| Some((step, begins(&step.name)?)));
            if let Some((step, rest)) = found.max_by_key(|(step, _)| step.name.len()) {
                return Ok((Sender::Background(step.id), rest));
            }
            let names: Vec<&str> = self.context.backgrounds().map(|step| step.name.as_str()).collect();
            return Err(Expected::new(if names.is_empty() {
                "no earlier step has a `name` and a `background`".to_owned()
            } else {
                format!("expected `background.NAME.` and a metric, with one of {}", quote_first(names.iter().copied()))
            }));
        }
        Ok((Sender::All, text))
    }
}

/// Traffic of a step, including that of included steps.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    pub(crate) sends: bool,
    pub(crate) callers: Vec<String>,
}

impl Senders {
    pub(crate) fn add(&mut self, action: &Action) {
        if let Some(traffic) = action.traffic() {
            self.sends = true;
            self.callers.extend(traffic.callers.iter().map(|caller| caller.name.clone()));
        }
    }
}

fn no_traffic(step: &StepFile, metric: &Text) -> Diagnostic {
    let definition = step.kind.definition();
    let why = if definition.is_include() {
        "no step of this scenario sends traffic".to_owned()
    } else {
        format!("`{}` sends no traffic", step.kind.name())
    };
    let message = format!("{} cannot be measured here: {why}", quote(&metric.text));
    let diagnostic = Diagnostic::at(message, &metric.place).label("expected the delta of a counter");
    diagnostic.help(definition.traffic_hint)
}
