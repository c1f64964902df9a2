//! Kinds of scalar values: name, limits, and a form that the JSON Schema can check. `value.rs` has the exact rules; a
//! form is never stricter.

use super::super::actions::SERVICES;
use super::super::lesson::{Difficulty, Trigger};
use super::super::limits::limit;
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

const fn whole(limits: &'static str, least: u64, most: u64, text: &'static str) -> Kind {
    kind("a whole number", limits, Form::Number { least, most, text })
}

const DIGITS: &str = "[0-9]+";
const DURATION: Form = Form::Pattern("^[0-9.]+(ms|s|m)$");

pub(crate) const ANY: Kind = kind("any value", "", Form::Text);
pub(crate) const LINE: Kind =
    kind("one line of text", concat!("at most ", limit!(line), " characters"), Form::NonBlank);
pub(crate) const TEXT: Kind = kind("a text", "", Form::Text);
pub(crate) const PARAGRAPH: Kind =
    kind("a text", concat!("at most ", limit!(paragraph), " characters"), Form::NonBlank);
pub(crate) const NAME: Kind =
    kind("a name", concat!("letters, digits, `-`, `_` and `.`, at most ", limit!(name)), Form::Token(NAME_FORM));
const NAME_FORM: &str = concat!(r"^[^\s/:]{1,", limit!(name), "}$");
pub(crate) const SCENARIO: Kind = kind("a scenario's name", "without extension", Form::Token(r"^[^\s/]+$"));
pub(crate) const CALLER: Kind = kind("a caller's name", "", Form::Token("^[A-Za-z0-9][A-Za-z0-9_-]{0,19}$"));
pub(crate) const BACKGROUND: Kind = kind("the name of a step with `background`", "", Form::NonBlank);
pub(crate) const KEY: Kind =
    kind("a key", concat!("1 to ", limit!(key), " characters of visible ASCII without spaces"), Form::Token(KEY_FORM));
const KEY_FORM: &str = concat!("^[!-~]{1,", limit!(key), "}$");
pub(crate) const SENT_KEY: Kind =
    kind("a key", "or `\"\"` for none", Form::Token(concat!("^[!-~]{0,", limit!(key), "}$")));
pub(crate) const REQUESTS: Kind = whole(concat!("1 to ", limit!(requests)), 1, limit!(requests), DIGITS);
pub(crate) const CONNECTIONS: Kind = whole(concat!("1 to ", limit!(connections)), 1, limit!(connections), DIGITS);
pub(crate) const RETRIES: Kind = whole(concat!("0 to ", limit!(retries)), 0, limit!(retries), DIGITS);
pub(crate) const BACKOFF: Kind =
    kind("a duration such as `500ms`", concat!("at most ", limit!(backoff), "m"), DURATION);
pub(crate) const RATE: Kind =
    kind("a number", concat!("above 0, at most ", limit!(rate)), Form::Positive { most: limit!(rate) });
pub(crate) const STEP_DURATION: Kind =
    kind("a duration such as `500ms`", concat!("above 0, at most ", limit!(step), "m"), DURATION);
pub(crate) const TIMEOUT: Kind =
    kind("a duration such as `500ms`", concat!("above 0, at most ", limit!(timeout), "m"), DURATION);
pub(crate) const EVERY: Kind =
    kind("a duration such as `500ms`", concat!(limit!(shortest_every), "ms to ", limit!(longest_every), "m"), DURATION);
pub(crate) const PATH: Kind =
    kind("a path", "starts with `/`, visible ASCII without `#`", Form::Pattern("^/[!-\"$-~]*$"));
pub(crate) const METHOD: Kind = kind("an HTTP method", "", Form::Choice(|| value::METHODS.to_vec()));
pub(crate) const STATUS: Kind =
    kind("an HTTP status", concat!(limit!(lowest_status), " to ", limit!(highest_status)), STATUS_FORM);
const STATUS_FORM: Form =
    Form::Number { least: limit!(lowest_status), most: limit!(highest_status), text: "[1-5][0-9][0-9]" };
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
pub(crate) const EXIT_CODE: Kind = whole("0 to 255", 0, 255, r"\+?[0-9]+");
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
pub(crate) const DELAY: Kind = kind("a duration such as `60s`", concat!("at most ", limit!(delay), "m"), DURATION);
pub(crate) const SENDER: Kind = kind("one line of text", "at most 60 characters", Form::NonBlank);
pub(crate) const PERCENT: Kind = kind("a whole number", "0 to 100", Form::Number { least: 0, most: 100, text: DIGITS });
pub(crate) const VARY: Kind = kind("`key`", "", Form::Choice(|| vec!["key"]));
pub(crate) const PARAMETER: Kind = kind("the name of another parameter with `vary`", "", Form::NonBlank);

/// Description of a mapping of metrics.
pub(crate) const EXPECT: &str = "Metrics with bounds: a comparator (`==`, `!=`, `<`, `<=`, `>`, `>=`) and a number. \
 Without a comparator, the value must be equal.";
