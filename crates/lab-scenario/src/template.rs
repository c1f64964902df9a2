//! Parameters and outputs in values: `${name}` is replaced by the parameter's value, `${steps.NAME.OUTPUT}` by what an
//! earlier step showed, and `$${` stands for a literal `${`. What is put in is not looked at again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::late::{Around, Output};
use lab_core::event::MASK;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Place, shown};

/// Bytes of text in a plan, parameters filled in and files counted as often as they are included.
const MOST_TEXT: usize = 2 << 20;
/// Of how many parameters in a text a message says where they come from.
pub(super) const NOTED: usize = 20;
/// What a value takes beside its text.
const BESIDE: usize = 32;
/// How an output begins.
const STEPS: &str = "steps.";

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// As it stands.
    Literal(&'t str),
    /// The value of this parameter.
    Parameter(&'t str),
    /// What a step showed: its name and the output's, with a dot between.
    Output(&'t str),
}

/// The pieces of a text. The error is the part that is none of them.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, &str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(literal) = rest[..at].strip_suffix('$') {
            pieces.push(Piece::Literal(literal));
            pieces.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Literal(&rest[..at]));
        let end = rest[at..].find('}').ok_or(&rest[at..])?;
        let name = &rest[at + 2..at + end];
        match name.strip_prefix(STEPS) {
            Some(output) if is_output(output) => pieces.push(Piece::Output(output)),
            None if is_name(name) => pieces.push(Piece::Parameter(name)),
            _ => return Err(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

/// Whether a parameter may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether this could be a step's name and an output's.
fn is_output(text: &str) -> bool {
    let known = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    text.contains('.') && text.len() <= 400 && text.chars().all(known)
}

/// A part of a value whose parameters are filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// As it stands.
    Text(String),
    /// What an earlier step will have shown.
    Output(Output),
}

/// A parameter's value, and who gave it.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) parts: Vec<Part>,
    pub(crate) origin: Origin,
    /// Nobody is to read it.
    pub(crate) secret: bool,
}

impl Value {
    /// A plain one.
    pub(crate) fn plain(text: String, origin: Origin, secret: bool) -> Self {
        Self { parts: vec![Part::Text(text)], origin, secret }
    }

    /// As it stands where it is known before the run.
    pub(crate) fn text(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Output(output) => output.written(),
        };
        self.parts.iter().map(text).collect()
    }

    /// How much of it there is.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Output(output) => size_of::<Output>() + output.written().len(),
        };
        self.parts.iter().map(bytes).sum()
    }

    /// As people are shown it.
    pub(crate) fn shown(&self) -> String {
        if self.secret { MASK.to_owned() } else { self.text() }
    }
}

/// Who gave a parameter its value.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The file itself.
    Default(Place),
    /// `with`, in a file that includes it.
    With(Place),
    /// The command line, under this name.
    Set(String),
}

/// The parameters of one file, as they are while its steps are laid out.
pub(crate) type Scope = BTreeMap<String, Value>;

/// How much text a plan may still take. A small file can ask for any amount: it names a long parameter often.
#[derive(Debug)]
pub(crate) struct Room(Cell<usize>);

impl Default for Room {
    fn default() -> Self {
        Self(Cell::new(MOST_TEXT))
    }
}

impl Room {
    /// Whether there is none left.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Room for a value of so many bytes; `at`: where it is written. Nothing has room after the first that has none.
    pub(crate) fn take(&self, bytes: usize, at: &Place) -> Result<(), Diagnostic> {
        let left = self.0.get().checked_sub(bytes + BESIDE);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            Diagnostic::at("the scenario holds too much text, its parameters filled in", at)
                .label("the limit of 2 MiB is passed here")
                .help("a parameter counts as often as it is used, and a file as often as it is included")
        })
    }
}

/// A text with its parameters filled in.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) parts: Vec<Part>,
    /// Where the text is nothing but one parameter: where that one's value was written.
    pub(crate) written: Option<Place>,
    /// Where each parameter's value came from, as sentences; of the first of them.
    pub(crate) origins: Vec<String>,
    /// Whether it holds a secret.
    pub(crate) secret: bool,
}

impl Resolved {
    /// The outputs in it.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.parts.iter().filter_map(|part| match part {
            Part::Output(output) => Some(output),
            Part::Text(_) => None,
        })
    }

    /// The text, with `value` in place of each output.
    pub(crate) fn text(&self, mut value: impl FnMut(&Output) -> String) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Output(output) => value(output),
        };
        self.parts.iter().map(text).collect()
    }

    fn push(&mut self, part: &Part) {
        match (self.parts.last_mut(), part) {
            (Some(Part::Text(last)), Part::Text(text)) => last.push_str(text),
            _ => self.parts.push(part.clone()),
        }
    }

    fn literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// Fills in parameters. None where the text cannot be read or names an unknown parameter: both are found when the file is
/// read, once for each file. The error is about a step or an output that is not there, or about too much text.
pub(crate) fn resolve(
    text: &Text,
    scope: &Scope,
    around: &Around,
    room: &Room,
    few: bool,
) -> Result<Option<Resolved>, Diagnostic> {
    let mut resolved = Resolved::default();
    let Ok(pieces) = pieces(&text.text) else { return Ok(None) };
    room.take(text.text.len(), &text.place)?;
    let mut named = BTreeSet::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => resolved.literal(literal),
            Piece::Output(written) => resolved.parts.push(Part::Output(around.output(written, text, few)?)),
            Piece::Parameter(name) => {
                let Some(value) = scope.get(name) else { return Ok(None) };
                room.take(value.bytes(), &text.place)?;
                for part in &value.parts {
                    resolved.push(part);
                }
                resolved.secret |= value.secret;
                if !named.insert(name) || named.len() > NOTED {
                    continue;
                }
                let shown = shown(&value.shown());
                resolved.written = match &value.origin {
                    // A line that holds a secret is not shown.
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

/// Whether a step's output goes into a text.
pub(crate) fn has_outputs(text: &Text, scope: &Scope) -> bool {
    let pieces = pieces(&text.text).unwrap_or_default();
    pieces.iter().any(|piece| match piece {
        Piece::Output(_) => true,
        Piece::Parameter(name) => {
            scope.get(*name).is_some_and(|value| value.parts.iter().any(|part| matches!(part, Part::Output(_))))
        }
        Piece::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{Piece, pieces};

    #[test]
    fn parameters_are_found_within_text() {
        assert_eq!(pieces("== ${n}!").unwrap(), [Piece::Literal("== "), Piece::Parameter("n"), Piece::Literal("!")]);
        assert_eq!(pieces("a$b $ {").unwrap(), [Piece::Literal("a$b $ {")]);
    }

    #[test]
    fn a_second_dollar_makes_it_literal() {
        let text: String = pieces("x$${n}")
            .unwrap()
            .into_iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text,
                Piece::Parameter(_) | Piece::Output(_) => "PARAMETER",
            })
            .collect();
        assert_eq!(text, "x${n}");
    }

    #[test]
    fn an_output_has_a_step_and_a_name() {
        let found = pieces("== ${steps.drive-traffic.status.401}").unwrap();
        assert_eq!(found[1], Piece::Output("drive-traffic.status.401"));
        assert_eq!(pieces("${steps.sent}"), Err("${steps.sent}"));
    }

    #[test]
    fn what_is_no_parameter_is_an_error() {
        assert_eq!(pieces("a ${n"), Err("${n"));
        assert_eq!(pieces("a ${a b} c"), Err("${a b}"));
        assert_eq!(pieces("${}"), Err("${}"));
    }
}
