//! Syntax tree of the supported part of `PromQL`.

use regex::Regex;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Number(f64),
    /// Current values of series.
    Select(Selector),
    /// A function over a range: `rate(…[30s])`.
    Over(Over, Selector, i64),
    Paren(Box<Expr>),
    Negative(Box<Expr>),
    Absent(Box<Expr>),
    /// `histogram_quantile`: the quantile, and the buckets.
    Quantile(f64, Box<Expr>),
    Aggregate {
        how: Aggregation,
        by: Grouping,
        of: Box<Expr>,
    },
    Binary(Operator, Box<Expr>, Box<Expr>),
}

/// Selects series by metric name and labels.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    /// Empty if the series are selected by labels only.
    pub(super) name: String,
    pub(super) matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) how: Match,
}

#[derive(Clone, Debug)]
pub(super) enum Match {
    Equal(String),
    NotEqual(String),
    /// Anchored at both ends.
    Like(Regex),
    Unlike(Regex),
}

impl Match {
    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(unwanted) => value != unwanted,
            Self::Like(pattern) => pattern.is_match(value),
            Self::Unlike(pattern) => !pattern.is_match(value),
        }
    }
}

/// Function over the samples of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Rate,
    Increase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregation {
    Sum,
    Min,
    Max,
    Avg,
    Count,
}

/// Labels that an aggregation keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// The names of the aggregations.
pub(super) const AGGREGATIONS: [(&str, Aggregation); 5] = [
    ("sum", Aggregation::Sum),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("avg", Aggregation::Avg),
    ("count", Aggregation::Count),
];

/// The names of the functions.
pub(super) const FUNCTIONS: [&str; 4] = ["rate", "increase", "absent", "histogram_quantile"];

/// The operators and their notation.
pub(super) const OPERATORS: [(&str, Operator); 13] = [
    ("or", Operator::Or),
    ("and", Operator::And),
    ("unless", Operator::Unless),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    ("<=", Operator::AtMost),
    (">", Operator::Greater),
    (">=", Operator::AtLeast),
    ("+", Operator::Add),
    ("-", Operator::Subtract),
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
];

impl Operator {
    /// Returns true for set operators, which take series but not numbers.
    pub(super) fn is_set_operator(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    pub(super) fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }
}

impl Expr {
    /// Returns true if the expression evaluates to a number rather than series.
    pub(super) fn is_number(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Paren(of) | Self::Negative(of) => of.is_number(),
            Self::Binary(operator, left, right) => !operator.is_set_operator() && left.is_number() && right.is_number(),
            _ => false,
        }
    }

    /// Value of a number literal, with parentheses and signs.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Paren(of) => of.number(),
            Self::Negative(of) => of.number().map(|number| -number),
            _ => None,
        }
    }

    /// Longest range in the expression, in milliseconds.
    pub(super) fn longest(&self) -> i64 {
        match self {
            Self::Number(_) | Self::Select(_) => 0,
            Self::Over(_, _, range) => *range,
            Self::Paren(of)
            | Self::Negative(of)
            | Self::Absent(of)
            | Self::Quantile(_, of)
            | Self::Aggregate { of, .. } => of.longest(),
            Self::Binary(_, left, right) => left.longest().max(right.longest()),
        }
    }
}
