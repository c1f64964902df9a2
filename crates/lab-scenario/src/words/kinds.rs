//! The kinds of single values: what each is called, its limits in words, and the form that the schema can check. What a
//! value must be exactly is `value.rs`'s to say; a form is never stricter than that.

use super::super::action::SERVICES;
use super::super::lesson::Difficulty;
use super::super::plan::AlertIs;
use super::super::value;
use lab_core::event::Phase;

/// A kind of single value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As messages and the reference call it.
    pub(crate) what: &'static str,
    /// Its limits, for the reference; may be empty.
    pub(crate) limits: &'static str,
    pub(crate) form: Form,
}

/// What can be checked of a value without reading it. A value with a parameter in it has any form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// A text with something in it besides blanks.
    Filled,
    /// A text that this regular expression matches.
    Pattern(&'static str),
    /// The same, of which a number may be one: `2024`.
    Word(&'static str),
    /// A number between these; as a text it is one that the regular expression matches.
    Number { least: u64, most: u64, text: &'static str },
    /// A number above 0, at most this.
    Above0 { most: u64 },
    /// One of these.
    Choice(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Truth,
}

const fn kind(what: &'static str, limits: &'static str, form: Form) -> Kind {
    Kind { what, limits, form }
}

const DIGITS: &str = "[0-9]+";
const DURATION: Form = Form::Pattern("^[0-9.]+(ms|s|m)$");

pub(crate) const ANY: Kind = kind("any value", "", Form::Text);
pub(crate) const LINE: Kind = kind("one line of text", "at most 200 characters", Form::Filled);
pub(crate) const TEXT: Kind = kind("a text", "", Form::Text);
pub(crate) const PARAGRAPH: Kind = kind("a text", "at most 4000 characters", Form::Filled);
pub(crate) const NAME: Kind =
    kind("a word", "letters, digits, `-`, `_` and `.`, at most 40", Form::Word(r"^[^\s/:]{1,40}$"));
pub(crate) const SCENARIO: Kind = kind("a scenario's name", "without its ending", Form::Word(r"^[^\s/]+$"));
pub(crate) const CALLER: Kind = kind("a caller's name", "", Form::Word("^[A-Za-z0-9][A-Za-z0-9_-]{0,19}$"));
pub(crate) const BACKGROUND: Kind = kind("the name of a step with `background`", "", Form::Filled);
pub(crate) const KEY: Kind =
    kind("a key", "1 to 256 characters of visible ASCII without spaces", Form::Word("^[!-~]{1,256}$"));
pub(crate) const SENT_KEY: Kind = kind("a key", "or `\"\"` for none", Form::Word("^[!-~]{0,256}$"));
pub(crate) const REQUESTS: Kind =
    kind("a whole number", "1 to 10000000", Form::Number { least: 1, most: value::MOST_REQUESTS, text: DIGITS });
pub(crate) const CONNECTIONS: Kind =
    kind("a whole number", "1 to 10000", Form::Number { least: 1, most: 10_000, text: DIGITS });
pub(crate) const RATE: Kind = kind("a number", "above 0, at most 1000000", Form::Above0 { most: 1_000_000 });
pub(crate) const SPAN: Kind = kind("a duration such as `500ms`", "above 0, at most 60m", DURATION);
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
pub(crate) const QUERY: Kind = kind("a query in PromQL", "", Form::Filled);
pub(crate) const THRESHOLD: Kind = kind("a comparator and a number, such as `\"> 0.5\"`", "", Form::Text);
pub(crate) const ALERT: Kind =
    kind("an alert of the lab's rules, such as `AppDown`", "", Form::Word("^[A-Za-z0-9_:.-]+$"));
pub(crate) const ALERT_STATE: Kind =
    kind("what an alert is", "", Form::Choice(|| AlertIs::WAITED.map(AlertIs::name).to_vec()));
pub(crate) const PROGRAM: Kind = kind("a program, then its arguments", "", Form::Text);
pub(crate) const EXIT_CODE: Kind =
    kind("a whole number", "0 to 255", Form::Number { least: 0, most: 255, text: r"\+?[0-9]+" });
pub(crate) const TRUTH: Kind = kind("`true` or `false`", "", Form::Truth);
pub(crate) const SERVICE: Kind = kind("a service's name, such as `app`", "", Form::Choice(|| SERVICES.to_vec()));
pub(crate) const SERVER: Kind = kind("the word `server`", "", Form::Choice(|| vec!["server"]));
pub(crate) const ENGINE: Kind = kind("an engine", "", Form::Choice(|| value::ENGINES.to_vec()));
pub(crate) const PHASE: Kind = kind("a phase", "", Form::Choice(|| Phase::ALL.map(Phase::name).to_vec()));
pub(crate) const STORY: Kind =
    kind("a kind", "", Form::Choice(|| value::KINDS.iter().map(|(name, _)| *name).collect()));
pub(crate) const LEVEL: Kind =
    kind("a difficulty", "", Form::Choice(|| Difficulty::ALL.map(Difficulty::name).to_vec()));

/// What a mapping of metrics is.
pub(crate) const EXPECT: &str = "Metrics, and what each must be: a comparator (`==`, `!=`, `<`, `<=`, `>`, `>=`) and a \
                                 number; without a comparator it must be equal.";
