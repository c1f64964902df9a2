//! Kinds of scalar values: name, limits, and a form that the JSON Schema can check. `value.rs` has the exact rules; a
//! form is never stricter.

use super::super::actions::SERVICES;
use super::super::lesson::{Difficulty, Trigger};
use super::super::plan::AlertIs;
use super::super::value;
use lab_core::diagnosis::{Cause, Location};
use lab_core::event::Phase;

/// A kind of scalar value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Name in messages and in the reference.
    pub(crate) name: &'static str,
    /// Limits, for the reference; may be empty.
    pub(crate) limits: &'static str,
    pub(crate) form: Form,
}

/// Form that a JSON Schema can check. A value with a parameter in it may have any form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// A text that is not blank.
    NonBlank,
    /// A text that matches this regular expression.
    Pattern(&'static str),
    /// Like `Pattern`, but may also be a number, such as `2024`.
    Token(&'static str),
    /// A number within these limits, or a text that matches the regular expression.
    Number { least: u64, most: u64, text: &'static str },
    /// A number above 0, at most `most`.
    Positive { most: u64 },
    /// One of these texts.
    Choice(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Bool,
}

const fn kind(name: &'static str, limits: &'static str, form: Form) -> Kind {
    Kind { name, limits, form }
}

const DIGITS: &str = "[0-9]+";
const DURATION: Form = Form::Pattern("^[0-9.]+(ms|s|m)$");

pub(crate) const ANY: Kind = kind("any value", "", Form::Text);
pub(crate) const LINE: Kind = kind("one line of text", "at most 200 characters", Form::NonBlank);
pub(crate) const TEXT: Kind = kind("a text", "", Form::Text);
pub(crate) const PARAGRAPH: Kind = kind("a text", "at most 4000 characters", Form::NonBlank);
pub(crate) const NAME: Kind =
    kind("a name", "letters, digits, `-`, `_` and `.`, at most 40", Form::Token(r"^[^\s/:]{1,40}$"));
pub(crate) const SCENARIO: Kind = kind("a scenario's name", "without extension", Form::Token(r"^[^\s/]+$"));
pub(crate) const CALLER: Kind = kind("a caller's name", "", Form::Token("^[A-Za-z0-9][A-Za-z0-9_-]{0,19}$"));
pub(crate) const BACKGROUND: Kind = kind("the name of a step with `background`", "", Form::NonBlank);
pub(crate) const KEY: Kind =
    kind("a key", "1 to 256 characters of visible ASCII without spaces", Form::Token("^[!-~]{1,256}$"));
pub(crate) const SENT_KEY: Kind = kind("a key", "or `\"\"` for none", Form::Token("^[!-~]{0,256}$"));
pub(crate) const REQUESTS: Kind =
    kind("a whole number", "1 to 10000000", Form::Number { least: 1, most: value::MAX_REQUESTS, text: DIGITS });
pub(crate) const CONNECTIONS: Kind =
    kind("a whole number", "1 to 10000", Form::Number { least: 1, most: 10_000, text: DIGITS });
pub(crate) const RETRIES: Kind =
    kind("a whole number", "0 to 10", Form::Number { least: 0, most: value::MAX_RETRIES, text: DIGITS });
pub(crate) const BACKOFF: Kind = kind("a duration such as `500ms`", "at most 1m", DURATION);
pub(crate) const RATE: Kind = kind("a number", "above 0, at most 1000000", Form::Positive { most: 1_000_000 });
pub(crate) const STEP_DURATION: Kind = kind("a duration such as `500ms`", "above 0, at most 60m", DURATION);
pub(crate) const TIMEOUT: Kind = kind("a duration such as `500ms`", "above 0, at most 10m", DURATION);
pub(crate) const EVERY: Kind = kind("a duration such as `500ms`", "100ms to 1m", DURATION);
pub(crate) const PATH: Kind =
    kind("a path", "starts with `/`, visible ASCII without `#`", Form::Pattern("^/[!-\"$-~]*$"));
pub(crate) const METHOD: Kind = kind("an HTTP method", "", Form::Choice(|| value::METHODS.to_vec()));
pub(crate) const STATUS: Kind =
    kind("an HTTP status", "100 to 599", Form::Number { least: 100, most: 599, text: "[1-5][0-9][0-9]" });
pub(crate) const HEADER: Kind = kind("a header's value", "visible ASCII and spaces", Form::Text);
pub(crate) const ENV: Kind = kind("a variable's value", "one line", Form::Text);
pub(crate) const BODY: Kind = kind("a text", "", Form::Text);
pub(crate) const QUERY: Kind = kind("a query in PromQL", "", Form::NonBlank);
pub(crate) const THRESHOLD: Kind = kind("a comparator and a number, such as `\"> 0.5\"`", "", Form::Text);
pub(crate) const ALERT: Kind =
    kind("an alert of the lab's rules, such as `AppDown`", "", Form::Token("^[A-Za-z0-9_:.-]+$"));
pub(crate) const ALERT_STATE: Kind =
    kind("the state of an alert", "", Form::Choice(|| AlertIs::WAITED.map(AlertIs::name).to_vec()));
pub(crate) const PROGRAM: Kind = kind("a program, then its arguments", "", Form::Text);
pub(crate) const EXIT_CODE: Kind =
    kind("a whole number", "0 to 255", Form::Number { least: 0, most: 255, text: r"\+?[0-9]+" });
pub(crate) const BOOL: Kind = kind("`true` or `false`", "", Form::Bool);
pub(crate) const SERVICE: Kind = kind("a service's name, such as `app`", "", Form::Choice(|| SERVICES.to_vec()));
pub(crate) const SERVER: Kind = kind("`server`", "", Form::Choice(|| vec!["server"]));
pub(crate) const ENGINE: Kind = kind("an engine", "", Form::Choice(|| value::ENGINES.to_vec()));
pub(crate) const PHASE: Kind = kind("a phase", "", Form::Choice(|| Phase::ALL.map(Phase::name).to_vec()));
pub(crate) const SCENARIO_KIND: Kind =
    kind("a kind", "", Form::Choice(|| value::KINDS.iter().map(|(name, _)| *name).collect()));
pub(crate) const DIFFICULTY: Kind =
    kind("a difficulty", "", Form::Choice(|| Difficulty::ALL.map(Difficulty::name).to_vec()));
pub(crate) const LOCATION: Kind =
    kind("a part of the system", "", Form::Choice(|| Location::ALL.map(Location::name).to_vec()));
pub(crate) const CAUSE: Kind = kind("a cause", "", Form::Choice(|| Cause::ALL.map(Cause::name).to_vec()));
pub(crate) const TRIGGER: Kind =
    kind("an event of a drill", "", Form::Choice(|| Trigger::ALL.map(Trigger::name).to_vec()));
pub(crate) const DELAY: Kind = kind("a duration such as `60s`", "at most 60m", DURATION);
pub(crate) const SENDER: Kind = kind("one line of text", "at most 60 characters", Form::NonBlank);
pub(crate) const PERCENT: Kind = kind("a whole number", "0 to 100", Form::Number { least: 0, most: 100, text: DIGITS });
pub(crate) const VARY: Kind = kind("`key`", "", Form::Choice(|| vec!["key"]));
pub(crate) const PARAMETER: Kind = kind("the name of another parameter with `vary`", "", Form::NonBlank);

/// Description of a mapping of metrics.
pub(crate) const EXPECT: &str = "Metrics with bounds: a comparator (`==`, `!=`, `<`, `<=`, `>`, `>=`) and a number. \
 Without a comparator, the value must be equal.";
