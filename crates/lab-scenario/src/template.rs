//! Templates in values: `${name}` is replaced by a parameter, `${steps.NAME.OUTPUT}` by an output of an earlier step,
//! and `$${` is a literal `${`. Inserted text is not expanded again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::deferred::{Output, StepContext};
use lab_core::event::MASK;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Place, quote};

/// Maximum bytes of text in a plan, with parameters filled in and includes expanded.
const MAX_TEXT: usize = 2 << 20;
/// Maximum number of parameter origins listed in a message.
pub(super) const MAX_ORIGINS: usize = 20;
/// Bytes that a value counts in addition to its text.
const VALUE_OVERHEAD: usize = 32;
/// Prefix of output references.
const STEPS: &str = "steps.";

/// A segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'t> {
    Literal(&'t str),
    /// Name of a parameter.
    Parameter(&'t str),
    /// Step name and output name, separated by a dot.
    Output(&'t str),
}

/// Splits a text into segments. The error is the malformed part.
pub(crate) fn segments(text: &str) -> Result<Vec<Segment<'_>>, &str> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(literal) = rest[..at].strip_suffix('$') {
            segments.push(Segment::Literal(literal));
            segments.push(Segment::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        segments.push(Segment::Literal(&rest[..at]));
        let end = rest[at..].find('}').ok_or(&rest[at..])?;
        let name = &rest[at + 2..at + end];
        match name.strip_prefix(STEPS) {
            Some(output) if is_output(output) => segments.push(Segment::Output(output)),
            None if is_name(name) => segments.push(Segment::Parameter(name)),
            _ => return Err(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    segments.push(Segment::Literal(rest));
    Ok(segments)
}

/// Returns true for a valid parameter name.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Returns true if the text can be a step name and an output name.
fn is_output(text: &str) -> bool {
    let known = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    text.contains('.') && text.len() <= 400 && text.chars().all(known)
}

/// A part of a value after parameters are filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValuePart {
    Text(String),
    /// Output of an earlier step.
    Output(Output),
}

/// Value of a parameter, with its origin.
#[derive(Clone, Debug)]
pub(crate) struct ParameterValue {
    pub(crate) parts: Vec<ValuePart>,
    pub(crate) origin: Origin,
    /// Masked in all output.
    pub(crate) secret: bool,
}

impl ParameterValue {
    pub(crate) fn plain(text: String, origin: Origin, secret: bool) -> Self {
        Self { parts: vec![ValuePart::Text(text)], origin, secret }
    }

    /// Text of the value, with outputs as written.
    pub(crate) fn text(&self) -> String {
        let text = |part: &ValuePart| match part {
            ValuePart::Text(text) => text.clone(),
            ValuePart::Output(output) => output.written(),
        };
        self.parts.iter().map(text).collect()
    }

    /// Size of the value in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |part: &ValuePart| match part {
            ValuePart::Text(text) => text.len(),
            ValuePart::Output(output) => size_of::<Output>() + output.written().len(),
        };
        self.parts.iter().map(bytes).sum()
    }

    /// Text for display, masked if secret.
    pub(crate) fn shown(&self) -> String {
        if self.secret { MASK.to_owned() } else { self.text() }
    }
}

/// Origin of a parameter's value.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Default in the file.
    Default(Place),
    /// `with` of an including file.
    With(Place),
    /// Command line, with the parameter's name there.
    Set(String),
}

/// Parameters of one file while its steps are flattened.
pub(crate) type Scope = BTreeMap<String, ParameterValue>;

/// Remaining text size of a plan. Without a limit, a small file that repeats a long parameter could use any amount of
/// memory.
#[derive(Debug)]
pub(crate) struct LengthBudget(Cell<usize>);

impl Default for LengthBudget {
    fn default() -> Self {
        Self(Cell::new(MAX_TEXT))
    }
}

impl LengthBudget {
    /// Returns true if the budget is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Spends `bytes` of the budget; `at` is the place for the error. After the first failure the budget is spent.
    pub(crate) fn spend(&self, bytes: usize, at: &Place) -> Result<(), Diagnostic> {
        let left = self.0.get().checked_sub(bytes + VALUE_OVERHEAD);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            Diagnostic::at("the scenario holds too much text after filling in parameters", at)
                .label("the limit of 2 MiB is exceeded here")
                .help("each use of a parameter and each include of a file counts")
        })
    }
}

/// A text with its parameters filled in.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) parts: Vec<ValuePart>,
    /// If the text is a single parameter: the place of that parameter's value.
    pub(crate) written: Option<Place>,
    /// Origins of the first [`MAX_ORIGINS`] parameters, as sentences.
    pub(crate) origins: Vec<String>,
    /// True if it contains a secret.
    pub(crate) secret: bool,
}

impl Resolved {
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.parts.iter().filter_map(|part| match part {
            ValuePart::Output(output) => Some(output),
            ValuePart::Text(_) => None,
        })
    }

    /// The text, with `value` inserted for each output.
    pub(crate) fn text(&self, mut value: impl FnMut(&Output) -> String) -> String {
        let text = |part: &ValuePart| match part {
            ValuePart::Text(text) => text.clone(),
            ValuePart::Output(output) => value(output),
        };
        self.parts.iter().map(text).collect()
    }

    fn push(&mut self, part: &ValuePart) {
        match (self.parts.last_mut(), part) {
            (Some(ValuePart::Text(last)), ValuePart::Text(text)) => last.push_str(text),
            _ => self.parts.push(part.clone()),
        }
    }

    fn literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(ValuePart::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(ValuePart::Text(text.to_owned())),
        }
    }
}

/// Fills in parameters. Returns `None` for malformed text and unknown parameters, which [`super::references`] reports
/// once per file. The error is a missing step, a missing output, or too much text.
pub(crate) fn resolve(
    text: &Text,
    scope: &Scope,
    context: &StepContext,
    budget: &LengthBudget,
    few: bool,
) -> Result<Option<Resolved>, Diagnostic> {
    let mut resolved = Resolved::default();
    let Ok(segments) = segments(&text.text) else { return Ok(None) };
    budget.spend(text.text.len(), &text.place)?;
    let mut named = BTreeSet::new();
    for segment in segments {
        match segment {
            Segment::Literal(literal) => resolved.literal(literal),
            Segment::Output(written) => resolved.parts.push(ValuePart::Output(context.output(written, text, few)?)),
            Segment::Parameter(name) => {
                let Some(value) = scope.get(name) else { return Ok(None) };
                budget.spend(value.bytes(), &text.place)?;
                for part in &value.parts {
                    resolved.push(part);
                }
                resolved.secret |= value.secret;
                if !named.insert(name) || named.len() > MAX_ORIGINS {
                    continue;
                }
                let shown = quote(&value.shown());
                resolved.written = match &value.origin {
                    // A line with a secret is not shown.
                    _ if value.secret => None,
                    Origin::Default(place) | Origin::With(place) => {
                        Some(place.clone()).filter(|_| text.text.len() == name.len() + 3)
                    }
                    Origin::Set(_) => None,
                };
                resolved.origins.push(match &value.origin {
                    Origin::Default(place) => format!("`{name}` is {shown}, its default at {place}"),
                    Origin::With(place) => format!("`{name}` is {shown}, given at {place}"),
                    Origin::Set(set) => format!("`{name}` is {shown}, given by `--set {set}=…`"),
                });
            }
        }
    }
    Ok(Some(resolved))
}

/// Returns true if the text depends on the output of a step.
pub(crate) fn has_outputs(text: &Text, scope: &Scope) -> bool {
    let segments = segments(&text.text).unwrap_or_default();
    segments.iter().any(|segment| match segment {
        Segment::Output(_) => true,
        Segment::Parameter(name) => {
            scope.get(*name).is_some_and(|value| value.parts.iter().any(|part| matches!(part, ValuePart::Output(_))))
        }
        Segment::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{Segment, segments};

    #[test]
    fn parameters_are_found_within_text() {
        assert_eq!(
            segments("== ${n}!").unwrap(),
            [Segment::Literal("== "), Segment::Parameter("n"), Segment::Literal("!")]
        );
        assert_eq!(segments("a$b $ {").unwrap(), [Segment::Literal("a$b $ {")]);
    }

    #[test]
    fn a_second_dollar_makes_it_literal() {
        let text: String = segments("x$${n}")
            .unwrap()
            .into_iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) | Segment::Output(_) => "PARAMETER",
            })
            .collect();
        assert_eq!(text, "x${n}");
    }

    #[test]
    fn an_output_has_a_step_and_a_name() {
        let found = segments("== ${steps.drive-traffic.status.401}").unwrap();
        assert_eq!(found[1], Segment::Output("drive-traffic.status.401"));
        assert_eq!(segments("${steps.sent}"), Err("${steps.sent}"));
    }

    #[test]
    fn what_is_no_parameter_is_an_error() {
        assert_eq!(segments("a ${n"), Err("${n"));
        assert_eq!(segments("a ${a b} c"), Err("${a b}"));
        assert_eq!(segments("${}"), Err("${}"));
    }
}
