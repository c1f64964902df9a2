//! Parameters in values: `${name}` is replaced by the parameter's value, `$${` stands for a literal `${`. What is put in is
//! not looked at again.

use std::collections::BTreeMap;

use crate::yaml::Place;
use crate::yaml::node::Text;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// As it stands.
    Literal(&'t str),
    /// The value of this parameter.
    Parameter(&'t str),
}

/// The pieces of a text. The error is the part that is neither a parameter nor plain text.
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
        if !is_name(name) {
            return Err(&rest[at..=at + end]);
        }
        pieces.push(Piece::Parameter(name));
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

/// A parameter's value, and who gave it.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
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

/// A text with its parameters filled in.
pub(crate) struct Resolved {
    pub(crate) text: String,
    /// Where the text is nothing but one parameter: where that one's value was written.
    pub(crate) written: Option<Place>,
    /// Where each parameter's value came from, as sentences.
    pub(crate) origins: Vec<String>,
}

/// Fills in parameters. None where the text cannot be read or names an unknown parameter: both are found when the file is
/// read, once for each file.
pub(crate) fn resolve(text: &Text, scope: &Scope) -> Option<Resolved> {
    let mut resolved = Resolved { text: String::new(), origins: Vec::new(), written: None };
    for piece in pieces(&text.text).ok()? {
        match piece {
            Piece::Literal(literal) => resolved.text.push_str(literal),
            Piece::Parameter(name) => {
                let value = scope.get(name)?;
                resolved.text.push_str(&value.text);
                let shown = crate::yaml::shown(&value.text);
                resolved.written = match &value.origin {
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
    Some(resolved)
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
                Piece::Parameter(_) => "PARAMETER",
            })
            .collect();
        assert_eq!(text, "x${n}");
    }

    #[test]
    fn what_is_no_parameter_is_an_error() {
        assert_eq!(pieces("a ${n"), Err("${n"));
        assert_eq!(pieces("a ${a b} c"), Err("${a b}"));
        assert_eq!(pieces("${}"), Err("${}"));
    }
}
