//! Values that are known only once earlier steps have run: `${steps.NAME.OUTPUT}`. Before the run it is checked that the
//! step comes earlier, that it has such an output and that a value of that kind fits; [`Step::settled`] fills them in.

use std::sync::Arc;

use super::action::Reader;
use super::expect::{self, Subject};
use super::file::StepFile;
use super::plan::{Action, Caller, Expectation, Metric, Of, Step};
use super::template::{Part, Resolved, Room, Scope};
use lab_core::event::Secrets;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Diagnostics, first, list, meant, near, shown};

/// What a text output may turn out to be, tried in turn before the run: where nothing of it fits, nothing ever will.
const SAMPLES: [&str; 6] = ["1", "x", "1s", "/x", "GET", "> 1"];

/// A value that a step will have shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The [`Step::id`] of the step.
    pub step: usize,
    /// What of it.
    pub what: Shown,
    /// `NAME.OUTPUT`, as written.
    name: String,
}

/// What a step shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// How long it took, as `1500ms`.
    Duration,
    /// What its requests or the app's counters came to: a count, or a latency as `1.2ms`.
    Measured(Of, Metric),
    /// The status of the answer to its request.
    Status,
    /// The body of that answer.
    Body,
    /// What a query gave last.
    Value,
    /// What a command wrote to its standard output, without line ends at its end.
    Stdout,
    /// How a command ended.
    ExitCode,
}

impl Shown {
    /// Values of this kind, of which at least one must fit.
    fn samples(&self) -> &'static [&'static str] {
        match self {
            Self::Duration | Self::Measured(_, Metric::Latency(_)) => &["1ms"],
            Self::Measured(..) | Self::ExitCode => &["1"],
            Self::Status => &["200"],
            Self::Value => &["1", "1.5"],
            Self::Body | Self::Stdout => &SAMPLES,
        }
    }

    /// What it is, for messages.
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
    /// As it stands in the file.
    pub(crate) fn written(&self) -> String {
        format!("${{steps.{}}}", self.name)
    }

    /// What it is, as a sentence.
    pub(crate) fn described(&self) -> String {
        format!("`{}` is {}", self.written(), self.what.kind())
    }
}

/// A step that comes before the present one, as the file names it that is being laid out.
#[derive(Clone, Debug)]
pub(crate) struct Earlier {
    pub(crate) name: String,
    pub(crate) id: usize,
    /// Its action's key.
    pub(crate) action: &'static str,
    pub(crate) asks: Asks,
    /// The callers that it drives.
    pub(crate) callers: Vec<String>,
}

/// What a step asks by itself, and so has an answer of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Request,
    Query,
    /// Not known: it is wrong, and reported.
    Anything,
}

/// What a step may refer to beside its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    pub(crate) callers: Vec<Caller>,
    /// Those that somebody has given a name.
    pub(crate) earlier: Vec<Arc<Earlier>>,
}

impl Around {
    /// The earlier step whose name, with a dot, begins the text; and the rest of it.
    pub(crate) fn step<'a, 't>(&'a self, text: &'t str) -> Option<(&'a Earlier, &'t str)> {
        let begins = |step: &'a Earlier| Some((step, text.strip_prefix(step.name.as_str())?.strip_prefix('.')?));
        self.earlier.iter().map(AsRef::as_ref).filter_map(begins).max_by_key(|(step, _)| step.name.len())
    }

    /// The steps that begin background traffic.
    pub(crate) fn backgrounds(&self) -> impl Iterator<Item = &Earlier> {
        self.earlier.iter().map(AsRef::as_ref).filter(|step| step.action == "background")
    }

    /// The output that is written so. Of `few` mistakes it is told what was probably meant.
    pub(crate) fn output(&self, written: &str, text: &Text, few: bool) -> Result<Output, Diagnostic> {
        let Some((step, name)) = self.step(written) else {
            let wanted = written.split('.').next().unwrap_or(written);
            let names = || self.earlier.iter().map(|step| step.name.as_str());
            let place = text.place.narrow(&format!("${{steps.{written}}}"));
            let near = if few { near(wanted, names()) } else { None };
            let known = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.earlier.is_empty() => "no step before this one has a `name`".to_owned(),
                None => format!("the steps before this one: {}", first(names())),
            };
            let message = format!("there is no step {} before this one", shown(wanted));
            let help = "a step is referred to by its `name`, from the steps after it in the same file";
            return Err(Diagnostic::at(message, &place).label(known).help(help));
        };
        if let Some(what) = shows(step, name) {
            return Ok(Output { step: step.id, what, name: written.to_owned() });
        }
        let place = text.place.narrow(&format!("${{steps.{written}}}"));
        let message = format!("the step `{}` has no output {}", step.name, shown(name));
        let (all, shown) = outputs(step);
        let label = meant(name, all.iter().copied(), &format!("a `{}` step has {shown}", step.action));
        Err(Diagnostic::at(message, &place).label(label))
    }
}

/// The outputs of a step, for near misses and for messages.
fn outputs(step: &Earlier) -> (Vec<&'static str>, String) {
    let mut all = vec!["duration", "requests.delta", "auth_success.delta", "auth_failures.delta"];
    match step.action {
        "traffic" => all.extend(["sent", "failed", "status.200", "latency.p99"]),
        "run" => all.extend(["stdout", "exit_code"]),
        _ => {}
    }
    match step.asks {
        Asks::Request => all.extend(["status", "body"]),
        Asks::Query => all.push("value"),
        Asks::Nothing | Asks::Anything => {}
    }
    let shown = list(all.iter().copied());
    (all, shown)
}

fn shows(step: &Earlier, name: &str) -> Option<Shown> {
    let asks = |what| step.asks == what || step.asks == Asks::Anything;
    match name {
        "duration" => return Some(Shown::Duration),
        "status" if asks(Asks::Request) => return Some(Shown::Status),
        "body" if asks(Asks::Request) => return Some(Shown::Body),
        "value" if asks(Asks::Query) => return Some(Shown::Value),
        "stdout" if step.action == "run" => return Some(Shown::Stdout),
        "exit_code" if step.action == "run" => return Some(Shown::ExitCode),
        _ => {}
    }
    let (of, name) = match name.strip_prefix("caller.").and_then(|rest| rest.split_once('.')) {
        Some((caller, rest)) if step.callers.iter().any(|known| known == caller) => {
            (Of::Caller(caller.to_owned()), rest)
        }
        _ => (Of::All, name),
    };
    let subject = expect::subject(name).ok()?;
    let traffic = step.action == "traffic";
    match &subject {
        Subject::Delta { .. } if of == Of::All => {}
        Subject::Alert(_) => return None,
        _ if !traffic => return None,
        Subject::Delta { .. } => return None,
        _ => {}
    }
    Some(Shown::Measured(of, subject.plain()?))
}

/// A text whose outputs stand for samples: the first of those that `read` takes. The error is that of the first.
pub(crate) fn sampled<T>(resolved: &Resolved, read: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
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

/// Says what an output came to; an error says why that is not known.
pub type Look<'a> = &'a dyn Fn(&Output) -> Result<String, String>;

/// A step as written, with all that it needs to be read again once its outputs are known.
#[derive(Clone, Debug)]
pub struct Late {
    pub(crate) file: Arc<StepFile>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) around: Around,
    pub(crate) folder: Option<std::path::PathBuf>,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

/// A bound as written, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct LateBound {
    pub(crate) parts: Vec<Part>,
    pub(crate) subject: Subject,
}

impl Step {
    /// What happens in it and what it expects, with what earlier steps showed filled in. An error says what does not fit,
    /// without the secrets in it.
    pub fn settled(&self, look: Look, secrets: &Secrets) -> Result<(Action, Vec<Expectation>), String> {
        let expect =
            self.expect.iter().map(|expectation| expectation.settled(look, secrets)).collect::<Result<_, _>>()?;
        let Some(late) = &self.late else { return Ok((self.action.clone(), expect)) };
        let (mut out, room) = (Diagnostics::default(), Room::default());
        let mut reader = Reader::new(&late.scope, &late.around, late.folder.as_deref(), &room, &mut out);
        reader.look = Some((look, secrets));
        let action = reader.action(&late.file);
        match (action, out.items().first()) {
            (Some(action), None) => Ok(action).map(|action| (action, expect)),
            (_, Some(wrong)) if wrong.label.is_empty() => Err(wrong.message.clone()),
            (_, Some(wrong)) => Err(format!("{}: {}", wrong.message, wrong.label)),
            (None, None) => Err("its values could not be filled in".to_owned()),
        }
    }
}

impl Expectation {
    /// The same with its bound filled in.
    pub fn settled(&self, look: Look, secrets: &Secrets) -> Result<Self, String> {
        let Some(late) = &self.late else { return Ok(self.clone()) };
        let mut bound = String::new();
        for part in &late.parts {
            match part {
                Part::Text(text) => bound.push_str(text),
                Part::Output(output) => bound.push_str(&look(output)?),
            }
        }
        let read = expect::expectation(late.subject.clone(), &self.metric_text, &bound);
        let found = || shown(&secrets.mask(&bound));
        let read = read.map_err(|expected| format!("`{}` is {}: {expected}", self.metric_text, found()))?;
        Ok(Self { of: self.of.clone(), since: self.since, ..read })
    }
}
