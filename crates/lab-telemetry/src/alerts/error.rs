//! Errors of rule files, expressions and evaluations.

use super::labels::Labels;

/// Reason for refusing an expression. Positions count characters from 1, as in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// Too many words. Contains the limit.
    #[error("it has more than {0} words")]
    TooLong(usize),
    /// Nested too deeply. Contains the limit.
    #[error("it is nested more than {0} times")]
    TooDeep(usize),
    /// Too many open parentheses.
    #[error("it is nested more than {max} times at {at}")]
    Parentheses {
        /// Limit of the depth.
        max: usize,
        /// Position in characters, from 1.
        at: usize,
    },
    /// Refused by the parser without a message.
    #[error("it is not valid PromQL")]
    Invalid,
    /// Message of the parser, with the position of the word that it names.
    #[error("{0}")]
    Parser(String),
    /// A string without its closing quote. Contains its position.
    #[error("unterminated string at {0}")]
    OpenString(usize),
    /// A range without its closing bracket. Contains its position.
    #[error("`[` at {0} has no matching `]`")]
    OpenRange(usize),
    /// Brackets that do not contain one positive duration.
    #[error("`[{range}]` at {at} is not a supported range such as `[30s]`")]
    Range {
        /// Text between the brackets.
        range: String,
        /// Position in characters, from 1.
        at: usize,
    },
    /// `offset` without a duration.
    #[error("`offset` needs a duration such as `5m`, got `{word}` at {at}")]
    Offset {
        /// Word at this position.
        word: String,
        /// Position in characters, from 1.
        at: usize,
    },
    /// A malformed duration.
    #[error("`{word}` at {at} is not a duration")]
    Duration {
        /// Word at this position.
        word: String,
        /// Position in characters, from 1.
        at: usize,
    },
    /// A part of `PromQL` that lab does not evaluate. `place` is ` at N`, or empty if the position is unknown.
    #[error("{part}{place} is not supported")]
    Unsupported {
        /// Unsupported part, as written.
        part: String,
        /// ` at N`, or empty if the position is unknown.
        place: String,
    },
    /// A function that lab does not evaluate. `known` lists the others.
    #[error("`{name}`{place} is not a supported function: {known}")]
    Function {
        /// Name of the function.
        name: String,
        /// ` at N`, or empty if the position is unknown.
        place: String,
        /// Supported functions.
        known: String,
    },
    /// A range outside of the functions that need one.
    #[error("the range{place} stands outside of {functions}")]
    LooseRange {
        /// ` at N`, or empty if the position is unknown.
        place: String,
        /// Functions that take a range.
        functions: String,
    },
    /// A string literal in place of series or a number.
    #[error("{0} is a text, where series or a number are expected")]
    Text(String),
    /// A quantile that is not a number literal.
    #[error("the quantile `{0}` is not a number")]
    Quantile(String),
    /// A range of more milliseconds than fit into 64 bits.
    #[error("a range is too long")]
    LongRange,
    /// A function that needs a range got series without one.
    #[error("`{0}` is not a series with a range, such as `a[30s]`")]
    NoRange(String),
    /// A label matcher with a regular expression that cannot be matched.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A regular expression that lab cannot match as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a supported pattern: {reason}")]
pub struct PatternError {
    /// Regular expression as written.
    pub pattern: String,
    /// Reason for refusing it.
    pub reason: PatternReason,
}

/// Reason for refusing a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternReason {
    /// A kind of group that Go does not have.
    #[error("a group that Go does not know")]
    Group,
    /// A repetition that Go refuses.
    #[error("a repetition of a repetition, or of more than 1000")]
    Repetition,
    /// A character class without its end.
    #[error("a `[` without its `]`")]
    OpenClass,
    /// A named character class without its end.
    #[error("a `[:` without its `:]`")]
    OpenClassName,
    /// Difference of classes, which Go does not have.
    #[error("`--` in a class")]
    Difference,
    /// A backslash at the end.
    #[error("it ends with a `\\`")]
    Backslash,
    /// An escape that Go does not have. Contains its character.
    #[error("`\\{0}`")]
    Escape(char),
    /// Last line of the message of the `regex` crate.
    #[error("{0}")]
    Regex(String),
}

/// Reason for refusing the template of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Braces without their end.
    #[error("a `{{{{` without its `}}}}`")]
    Open,
    /// A template action that lab does not evaluate.
    #[error("`{{{{{0}}}}}` is not supported")]
    Unsupported(String),
}

/// Problem with a configuration or rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct RulesError {
    /// Name of the file.
    pub file: String,
    /// Reason for refusing the file.
    pub reason: RulesReason,
}

/// Reason for refusing a configuration or rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesReason {
    /// Message of the YAML parser.
    #[error("{0}")]
    Yaml(String),
    /// An interval that is not a duration above 0.
    #[error("{name}: {text:?} is not a duration")]
    Interval {
        /// Key of the interval.
        name: &'static str,
        /// Value as written.
        text: String,
    },
    /// Message of the YAML parser about the scrape job of the app.
    #[error("the job {job}: {detail}")]
    Job {
        /// Name of the scrape job.
        job: &'static str,
        /// Message of the parser.
        detail: String,
    },
    /// A scrape job that is missing or has no target. Contains its name.
    #[error("no job {0} with a target")]
    NoTarget(&'static str),
    /// Two groups with the same name.
    #[error("the group {0} is defined twice")]
    DuplicateGroup(String),
    /// A rule that is neither a recording rule nor an alert, or both. Contains its expression.
    #[error("the rule `{0}`: expected one of `record` and `alert`")]
    Kind(String),
    /// `kind` is `record` or `alert`.
    #[error("{kind} {name}: {reason}")]
    Rule {
        /// `record` or `alert`.
        kind: &'static str,
        /// Name of the rule.
        name: String,
        /// Reason for refusing the rule.
        reason: Box<RuleReason>,
    },
}

/// Reason for refusing one rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleReason {
    /// The name of a recording rule is not a metric name.
    #[error("that is not the name of a metric")]
    Metric,
    /// The name of a label is invalid or reserved.
    #[error("a rule gives no label the name {0:?}")]
    Label(String),
    /// The name of an annotation is invalid.
    #[error("{0:?} is not the name of an annotation")]
    Annotation(String),
    /// The expression is a number, but rules need series.
    #[error("its expression is a number, not series")]
    Number,
    /// The value of a label is a template. Contains its name.
    #[error("the label {0} is a template, which lab knows in annotations alone")]
    TemplateLabel(String),
    /// The `for` of an alert is not a duration.
    #[error("its `for` is not a duration")]
    Hold,
    /// A recording rule with keys of alerts.
    #[error("only an alert has `for` and `annotations`")]
    NotAlert,
    /// The expression is refused.
    #[error(transparent)]
    Expr(#[from] ExprError),
    /// The template of an annotation is refused.
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
    /// The text is not JSON of the documented form.
    #[error("not a response of the rules API: {0}")]
    Format(#[from] serde_json::Error),
    /// The evaluator reports an error.
    #[error("{status}: {error}")]
    Failed {
        /// Status of the response, such as `error`.
        status: String,
        /// Message of the evaluator.
        error: String,
    },
}
