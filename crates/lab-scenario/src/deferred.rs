//! Deferred values: outputs of earlier steps, written as `${steps.NAME.OUTPUT}`. Loading checks that the step comes
//! earlier, has this output, and that a value of this type fits. [`Step::resolve_deferred`] fills in the values during
//! the run.

use std::sync::Arc;

use super::Expected;
use super::actions::{self, ActionKind, TrafficKind};
use super::expect::{self, MetricName};
use super::file::StepFile;
use super::plan::{Action, Caller, Expectation, Metric, Sender, Step};
use super::reader::Reader;
use super::template::{LengthBudget, Resolved, Scope, ValuePart};
use lab_core::event::Secrets;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Diagnostics, did_you_mean, nearest, quote, quote_first, quote_list};

/// Sample values for text outputs. A value that accepts none of them is rejected before the run.
const SAMPLES: [&str; 6] = ["1", "x", "1s", "/x", "GET", "> 1"];

/// Output of an earlier step.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// [`Step::id`] of the step.
    pub step: usize,
    /// Quantity that it refers to.
    pub what: OutputKind,
    /// `NAME.OUTPUT`, as written.
    name: String,
}

/// Kind of output.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputKind {
    /// Duration of the step, such as `1500ms`.
    Duration,
    /// Metric of the step: a count, or a latency such as `1.2ms`.
    Measured(Sender, Metric),
    /// Status code of its response.
    Status,
    /// Body of its response.
    Body,
    /// Last result of its query.
    Value,
    /// Standard output of its command, without trailing newlines.
    Stdout,
    /// Exit code of its command.
    ExitCode,
}

impl OutputKind {
    /// Sample values; at least one must be accepted.
    fn samples(&self) -> &'static [&'static str] {
        match self {
            Self::Duration | Self::Measured(_, Metric::Latency(_)) => &["1ms"],
            Self::Measured(..) | Self::ExitCode => &["1"],
            Self::Status => &["200"],
            Self::Value => &["1", "1.5"],
            Self::Body | Self::Stdout => &SAMPLES,
        }
    }

    /// Type of the value, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::Duration | Self::Measured(_, Metric::Latency(_)) => "a duration",
            Self::Measured(..) | Self::ExitCode | Self::Status => "a count",
            Self::Value => "a number",
            Self::Body | Self::Stdout => "a text",
        }
    }
}

impl Output {
    /// The output as written in the file.
    pub(crate) fn written(&self) -> String {
        format!("${{steps.{}}}", self.name)
    }

    /// One sentence for messages.
    pub(crate) fn described(&self) -> String {
        format!("`{}` is {}", self.written(), self.what.kind())
    }
}

/// A preceding step, under its name in the file being flattened.
#[derive(Clone, Debug)]
pub(crate) struct EarlierStep {
    pub(crate) name: String,
    pub(crate) id: usize,
    pub(crate) kind: ActionKind,
    pub(crate) response: Response,
    /// Callers that send its traffic.
    pub(crate) callers: Vec<String>,
}

/// Response that a step receives, available as outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    None,
    Request,
    Query,
    /// The step is wrong, which has been reported.
    Unknown,
}

/// Names that a step can refer to besides parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepContext {
    pub(crate) callers: Vec<Caller>,
    /// Only steps with an explicit name.
    pub(crate) earlier: Vec<Arc<EarlierStep>>,
}

impl StepContext {
    /// Finds the earlier step that `text` starts with (`NAME.`), and returns the rest of the text.
    pub(crate) fn step<'a, 't>(&'a self, text: &'t str) -> Option<(&'a EarlierStep, &'t str)> {
        let begins = |step: &'a EarlierStep| Some((step, text.strip_prefix(step.name.as_str())?.strip_prefix('.')?));
        self.earlier.iter().map(AsRef::as_ref).filter_map(begins).max_by_key(|(step, _)| step.name.len())
    }

    /// Steps that start background traffic.
    pub(crate) fn backgrounds(&self) -> impl Iterator<Item = &EarlierStep> {
        self.earlier.iter().map(AsRef::as_ref).filter(|step| step.kind.definition().traffic == TrafficKind::Background)
    }

    /// Parses an output reference. Suggestions are only computed if there are `few` errors so far.
    pub(crate) fn output(&self, written: &str, text: &Text, few: bool) -> Result<Output, Diagnostic> {
        let Some((step, name)) = self.step(written) else {
            let wanted = written.split('.').next().unwrap_or(written);
            let names = || self.earlier.iter().map(|step| step.name.as_str());
            let place = text.place.narrow(&format!("${{steps.{written}}}"));
            let near = if few { nearest(wanted, names()) } else { None };
            let known = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.earlier.is_empty() => "no earlier step has a `name`".to_owned(),
                None => format!("the earlier steps: {}", quote_first(names())),
            };
            let message = format!("there is no earlier step {}", quote(wanted));
            let help = "refer to a step by its `name`, from a later step of the same file";
            return Err(Diagnostic::at(message, &place).label(known).help(help));
        };
        if let Some(what) = shows(step, name) {
            return Ok(Output { step: step.id, what, name: written.to_owned() });
        }
        let place = text.place.narrow(&format!("${{steps.{written}}}"));
        let message = format!("the step `{}` has no output {}", step.name, quote(name));
        let (all, shown) = outputs(step);
        let label = did_you_mean(name, all.iter().copied(), &format!("a `{}` step has {shown}", step.kind.name()));
        Err(Diagnostic::at(message, &place).label(label))
    }
}

/// Outputs of a step, for suggestions and messages.
fn outputs(step: &EarlierStep) -> (Vec<&'static str>, String) {
    let mut all = vec!["duration", "requests.delta", "auth_success.delta", "auth_failures.delta"];
    all.extend(step.kind.definition().outputs);
    match step.response {
        Response::Request => all.extend(["status", "body"]),
        Response::Query => all.push("value"),
        Response::None | Response::Unknown => {}
    }
    let shown = quote_list(all.iter().copied());
    (all, shown)
}

fn shows(step: &EarlierStep, name: &str) -> Option<OutputKind> {
    let has = |name: &str| step.kind.definition().outputs.contains(&name);
    let gives = |what| step.response == what || step.response == Response::Unknown;
    match name {
        "duration" => return Some(OutputKind::Duration),
        "status" if gives(Response::Request) => return Some(OutputKind::Status),
        "body" if gives(Response::Request) => return Some(OutputKind::Body),
        "value" if gives(Response::Query) => return Some(OutputKind::Value),
        "stdout" if has(name) => return Some(OutputKind::Stdout),
        "exit_code" if has(name) => return Some(OutputKind::ExitCode),
        _ => {}
    }
    let (sender, name) = match name.strip_prefix("caller.").and_then(|rest| rest.split_once('.')) {
        Some((caller, rest)) if step.callers.iter().any(|known| known == caller) => {
            (Sender::Caller(caller.to_owned()), rest)
        }
        _ => (Sender::All, name),
    };
    let subject = expect::metric_name(name).ok()?;
    let traffic = step.kind.definition().traffic == TrafficKind::Step;
    match &subject {
        MetricName::Delta { .. } if sender == Sender::All => {}
        MetricName::Alert(_) => return None,
        _ if !traffic => return None,
        MetricName::Delta { .. } => return None,
        _ => {}
    }
    Some(OutputKind::Measured(sender, subject.plain()?))
}

/// Parses a text with samples in place of its outputs. Succeeds if one sample is accepted, else returns the error for
/// the first.
pub(crate) fn sampled<T>(resolved: &Resolved, read: impl Fn(&str) -> Result<T, Expected>) -> Result<T, Expected> {
    let most = resolved.outputs().map(|output| output.what.samples().len()).max().unwrap_or(1);
    let sample = |index: usize| {
        resolved.text(|output| {
            let samples = output.what.samples();
            samples[index.min(samples.len() - 1)].to_owned()
        })
    };
    let first = read(&sample(0));
    if first.is_ok() {
        return first;
    }
    (1..most).find_map(|index| read(&sample(index)).ok()).map_or(first, Ok)
}

/// Looks up the value of an output.
pub type OutputLookup<'a> = &'a dyn Fn(&Output) -> Result<String, UnknownOutput>;

/// Reason why the value of an output is not known, such as "that step was not executed".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownOutput(String);

impl UnknownOutput {
    /// Creates the error from the reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A value from an earlier step that is not known or does not fit, with secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// An output has no value.
    #[error(transparent)]
    Unknown(#[from] UnknownOutput),
    /// A value is not of the expected form.
    #[error("{found}: {expected}")]
    Mismatch {
        /// The key and its value.
        found: String,
        /// The expected form.
        expected: Expected,
    },
    /// The action cannot be read with the values.
    #[error("{0}")]
    Action(String),
}

/// A step as written, with everything needed to read it again once its outputs are known.
#[derive(Clone, Debug)]
pub struct DeferredStep {
    pub(crate) file: Arc<StepFile>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) context: StepContext,
    pub(crate) folder: Option<std::path::PathBuf>,
}

impl PartialEq for DeferredStep {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

/// A bound as written, with its metric.
#[derive(Clone, Debug, PartialEq)]
pub struct DeferredBound {
    pub(crate) parts: Vec<ValuePart>,
    pub(crate) subject: MetricName,
}

impl Step {
    /// Action and expectations with the outputs of earlier steps filled in. The error describes the value that does
    /// not fit, with secrets masked.
    pub fn resolve_deferred(
        &self,
        lookup: OutputLookup,
        secrets: &Secrets,
    ) -> Result<(Action, Vec<Expectation>), Unresolved> {
        let expect = self
            .expect
            .iter()
            .map(|expectation| expectation.resolve_deferred(lookup, secrets))
            .collect::<Result<_, _>>()?;
        let Some(deferred) = &self.deferred else { return Ok((self.action.clone(), expect)) };
        let (mut out, budget) = (Diagnostics::default(), LengthBudget::default());
        let mut reader = Reader::new(&deferred.scope, &deferred.context, deferred.folder.as_deref(), &budget, &mut out);
        reader.lookup = Some((lookup, secrets));
        let action = actions::read(&deferred.file, &mut reader);
        match (action, out.items().first()) {
            (Some(action), None) => Ok(action).map(|action| (action, expect)),
            (_, Some(wrong)) if wrong.label.is_empty() => Err(Unresolved::Action(wrong.message.clone())),
            (_, Some(wrong)) => Err(Unresolved::Action(format!("{}: {}", wrong.message, wrong.label))),
            (None, None) => Err(Unresolved::Action("its values could not be filled in".to_owned())),
        }
    }
}

impl Expectation {
    /// The expectation with its bound filled in.
    pub fn resolve_deferred(&self, lookup: OutputLookup, secrets: &Secrets) -> Result<Self, Unresolved> {
        let Some(deferred) = &self.deferred else { return Ok(self.clone()) };
        let mut bound = String::new();
        for part in &deferred.parts {
            match part {
                ValuePart::Text(text) => bound.push_str(text),
                ValuePart::Output(output) => bound.push_str(&lookup(output)?),
            }
        }
        let read = expect::expectation(deferred.subject.clone(), &self.metric_text, &bound);
        let found = || format!("`{}` is {}", self.metric_text, quote(&secrets.mask(&bound)));
        let read = read.map_err(|expected| Unresolved::Mismatch { found: found(), expected })?;
        Ok(Self { sender: self.sender.clone(), since: self.since, ..read })
    }
}
