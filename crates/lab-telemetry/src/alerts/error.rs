//! Errors of rule files, expressions and evaluations.

use super::labels::Labels;

/// Reason for refusing an expression. Positions count characters from 1, as in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    #[error("it has more than {0} words")]
    TooLong(usize),
    #[error("it is nested more than {0} times")]
    TooDeep(usize),
    /// Too many open parentheses.
    #[error("it is nested more than {max} times at {at}")]
    Parentheses { max: usize, at: usize },
    #[error("it is not valid PromQL")]
    Invalid,
    /// Message of the parser, with the position of the word that it names.
    #[error("{0}")]
    Parser(String),
    #[error("unterminated string at {0}")]
    OpenString(usize),
    #[error("`[` at {0} has no matching `]`")]
    OpenRange(usize),
    #[error("`[{range}]` at {at} is not a supported range such as `[30s]`")]
    Range { range: String, at: usize },
    #[error("`offset` needs a duration such as `5m`, got `{word}` at {at}")]
    Offset { word: String, at: usize },
    #[error("`{word}` at {at} is not a duration")]
    Duration { word: String, at: usize },
    /// A part of `PromQL` that lab does not evaluate. `place` is ` at N`, or empty if the position is unknown.
    #[error("{part}{place} is not known to lab")]
    Unsupported { part: String, place: String },
    /// A function that lab does not evaluate. `known` lists the others.
    #[error("`{name}`{place} is not a function that lab knows: {known}")]
    Function { name: String, place: String, known: String },
    /// A range outside of the functions that need one.
    #[error("the range{place} stands outside of {functions}")]
    LooseRange { place: String, functions: String },
    #[error("{0} is a text, where series or a number are expected")]
    Text(String),
    #[error("the quantile `{0}` is not a number")]
    Quantile(String),
    #[error("a range is too long")]
    LongRange,
    #[error("`{0}` is not a series with a range, such as `a[30s]`")]
    NoRange(String),
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A regular expression that lab cannot match as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern that lab knows: {reason}")]
pub struct PatternError {
    pub pattern: String,
    pub reason: PatternReason,
}

/// Reason for refusing a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternReason {
    #[error("a group that Go does not know")]
    Group,
    #[error("a repetition of a repetition, or of more than 1000")]
    Repetition,
    #[error("a `[` without its `]`")]
    OpenClass,
    #[error("a `[:` without its `:]`")]
    OpenClassName,
    #[error("`--` in a class")]
    Difference,
    #[error("it ends with a `\\`")]
    Backslash,
    #[error("`\\{0}`")]
    Escape(char),
    /// Last line of the message of the `regex` crate.
    #[error("{0}")]
    Regex(String),
}

/// Reason for refusing the template of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a `{{{{` without its `}}}}`")]
    Open,
    #[error("`{{{{{0}}}}}` is not known to lab")]
    Unsupported(String),
}

/// Problem with a configuration or rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct RulesError {
    /// Name of the file.
    pub file: String,
    pub reason: RulesReason,
}

/// Reason for refusing a configuration or rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesReason {
    /// Message of the YAML parser.
    #[error("{0}")]
    Yaml(String),
    #[error("{name}: {text:?} is no duration")]
    Interval { name: &'static str, text: String },
    /// Message of the YAML parser about the scrape job of the app.
    #[error("the job {job}: {detail}")]
    Job { job: &'static str, detail: String },
    #[error("no job {0} with a target")]
    NoTarget(&'static str),
    #[error("the group {0} is there twice")]
    DuplicateGroup(String),
    /// A rule that is neither a recording rule nor an alert, or both. Contains its expression.
    #[error("the rule `{0}`: expected one of `record` and `alert`")]
    Kind(String),
    /// `kind` is `record` or `alert`.
    #[error("{kind} {name}: {reason}")]
    Rule { kind: &'static str, name: String, reason: Box<RuleReason> },
}

/// Reason for refusing one rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleReason {
    #[error("that is not the name of a metric")]
    Metric,
    #[error("a rule gives no label the name {0:?}")]
    Label(String),
    #[error("{0:?} is not the name of an annotation")]
    Annotation(String),
    #[error("its expression is a number, not series")]
    Number,
    #[error("the label {0} is a template, which lab knows in annotations alone")]
    TemplateLabel(String),
    #[error("its `for` is no duration")]
    Hold,
    #[error("only an alert has `for` and `annotations`")]
    NotAlert,
    #[error(transparent)]
    Expr(#[from] ExprError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Failed evaluation of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EvalError {
    #[error("two series have the same labels {0}")]
    SameLabels(Labels),
    #[error("more than one series on the right belongs to the same on the left")]
    ManyOnRight,
    #[error("more than one series on the left belongs to the same on the right")]
    ManyOnLeft,
}

/// A response that is not the state of rules.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    #[error("that is no answer of rules: {0}")]
    Format(#[from] serde_json::Error),
    /// The evaluator reports an error.
    #[error("{status}: {error}")]
    Failed { status: String, error: String },
}
