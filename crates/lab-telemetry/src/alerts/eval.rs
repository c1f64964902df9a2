//! Evaluates expressions at a point in time, without side effects. As in Prometheus, a comparison is a filter, and series of
//! two operands match if all their labels except the name are equal.

use std::collections::{BTreeMap, BTreeSet};

use super::error::EvalError;
use super::expr::{Aggregation, Expr, Grouping, Match, Matcher, Operator, Over, Selector};
use super::labels::{LE, Labels, NAME};
use super::store::Store;
use super::{rate, seconds};

/// Series, each with its value.
pub(super) type Vector = Vec<(Labels, f64)>;

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Vector(Vector),
}

/// Evaluates an expression to series. A number becomes a series without labels.
pub(super) fn evaluate(expr: &Expr, store: &Store, at: i64) -> Result<Vector, EvalError> {
    Ok(match value(expr, store, at)? {
        Value::Number(number) => vec![(Labels::default(), number)],
        Value::Vector(vector) => vector,
    })
}

fn value(expr: &Expr, store: &Store, at: i64) -> Result<Value, EvalError> {
    let vector = |expr: &Expr| evaluate(expr, store, at);
    Ok(match expr {
        Expr::Number(number) => Value::Number(*number),
        Expr::Select(selector) => Value::Vector(store.instant(selector, at)),
        Expr::Over(over, selector, range) => {
            let grown = |samples: &[(i64, f64)]| {
                let increase = rate::increase(samples, at, *range)?;
                Some(if *over == Over::Rate { increase / seconds(*range) } else { increase })
            };
            let series = store.range(selector, at, *range).into_iter();
            let grown = series.filter_map(|(labels, samples)| Some((labels.nameless(), grown(&samples)?)));
            Value::Vector(unique(grown.collect())?)
        }
        Expr::Paren(of) => value(of, store, at)?,
        Expr::Negative(of) => match value(of, store, at)? {
            Value::Number(number) => Value::Number(-number),
            Value::Vector(vector) => {
                Value::Vector(unique(vector.into_iter().map(|(labels, value)| (labels.nameless(), -value)).collect())?)
            }
        },
        Expr::Absent(of) => {
            let there = !vector(of)?.is_empty();
            Value::Vector(if there { Vec::new() } else { vec![(fixed_labels(of), 1.0)] })
        }
        Expr::Quantile(quantile, of) => Value::Vector(quantiles(*quantile, vector(of)?)),
        Expr::Aggregate { how, by, of } => Value::Vector(aggregate(*how, by, vector(of)?)),
        Expr::Binary(operator, left, right) => binary(*operator, value(left, store, at)?, value(right, store, at)?)?,
    })
}

/// Labels of the result of `absent`: those that a selector fixes with exactly one equality matcher.
fn fixed_labels(expr: &Expr) -> Labels {
    let matchers = match expr {
        Expr::Paren(of) => return fixed_labels(of),
        Expr::Select(Selector { matchers, .. }) => matchers,
        _ => return Labels::default(),
    };
    let (mut labels, mut stated) = (Labels::default(), BTreeSet::new());
    for Matcher { label, how } in matchers.iter().filter(|matcher| matcher.label != NAME) {
        labels = match how {
            Match::Equal(value) if stated.insert(label) => labels.with(label, value),
            _ => labels.with(label, ""),
        };
    }
    labels
}

/// Fails if two series have the same labels, as Prometheus does.
pub(super) fn unique(vector: Vector) -> Result<Vector, EvalError> {
    let mut seen = BTreeSet::new();
    match vector.iter().find(|(labels, _)| !seen.insert(labels)) {
        None => Ok(vector),
        Some((labels, _)) => Err(EvalError::SameLabels(labels.clone())),
    }
}

fn quantiles(quantile: f64, buckets: Vector) -> Vector {
    let mut histograms: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, count) in buckets {
        // Series without an upper bound are not buckets.
        if let Some(end) = labels.get(LE).parse().ok().filter(|end: &f64| !end.is_nan()) {
            histograms.entry(labels.with(LE, "").nameless()).or_default().push((end, count));
        }
    }
    histograms.into_iter().map(|(labels, buckets)| (labels, rate::quantile(quantile, buckets))).collect()
}

fn aggregate(how: Aggregation, by: &Grouping, of: Vector) -> Vector {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (labels, value) in of {
        let group = match by {
            Grouping::By(names) => labels.only(names),
            Grouping::Without(names) => labels.except(names).nameless(),
        };
        groups.entry(group).or_default().push(value);
    }
    let one = |values: Vec<f64>| {
        #[expect(clippy::cast_precision_loss, reason = "a few series")]
        let count = values.len() as f64;
        match how {
            Aggregation::Sum => values.into_iter().sum(),
            Aggregation::Avg => values.into_iter().sum::<f64>() / count,
            Aggregation::Count => count,
            Aggregation::Min => values.into_iter().fold(f64::NAN, f64::min),
            Aggregation::Max => values.into_iter().fold(f64::NAN, f64::max),
        }
    };
    groups.into_iter().map(|(labels, values)| (labels, one(values))).collect()
}

fn binary(operator: Operator, left: Value, right: Value) -> Result<Value, EvalError> {
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => Value::Number(arithmetic(operator, left, right)),
        (Value::Vector(vector), Value::Number(number)) => {
            Value::Vector(each(operator, vector, |value| (value, number))?)
        }
        // The result consists of the series, on either side.
        (Value::Number(number), Value::Vector(vector)) => {
            Value::Vector(each(operator, vector, |value| (number, value))?)
        }
        (Value::Vector(left), Value::Vector(right)) if operator.is_set_operator() => {
            Value::Vector(sets(operator, left, right))
        }
        (Value::Vector(left), Value::Vector(right)) => Value::Vector(pairs(operator, left, right)?),
    })
}

/// Combines each series with a number.
fn each(operator: Operator, vector: Vector, sides: impl Fn(f64) -> (f64, f64)) -> Result<Vector, EvalError> {
    let vector = vector.into_iter();
    if operator.is_comparison() {
        let holds = |value| {
            let (left, right) = sides(value);
            compares(operator, left, right)
        };
        return Ok(vector.filter(|(_, value)| holds(*value)).collect());
    }
    let result = |value| {
        let (left, right) = sides(value);
        arithmetic(operator, left, right)
    };
    unique(vector.map(|(labels, value)| (labels.nameless(), result(value))).collect())
}

fn sets(operator: Operator, left: Vector, right: Vector) -> Vector {
    let keys = |vector: &Vector| vector.iter().map(|(labels, _)| labels.clone().nameless()).collect::<Vec<_>>();
    let (on_left, on_right) = (keys(&left), keys(&right));
    let has = |keys: &[Labels], labels: &Labels| keys.contains(&labels.clone().nameless());
    match operator {
        Operator::And => left.into_iter().filter(|(labels, _)| has(&on_right, labels)).collect(),
        Operator::Unless => left.into_iter().filter(|(labels, _)| !has(&on_right, labels)).collect(),
        _ => {
            let more = right.into_iter().filter(|(labels, _)| !has(&on_left, labels));
            left.into_iter().chain(more).collect()
        }
    }
}

/// Combines the matching series of both sides, one to one.
fn pairs(operator: Operator, left: Vector, right: Vector) -> Result<Vector, EvalError> {
    // As in Prometheus, an empty side gives an empty result.
    if left.is_empty() || right.is_empty() {
        return Ok(Vector::new());
    }
    let mut others: BTreeMap<Labels, f64> = BTreeMap::new();
    for (labels, value) in right {
        if others.insert(labels.nameless(), value).is_some() {
            return Err(EvalError::ManyOnRight);
        }
    }
    let mut found: BTreeMap<Labels, (Labels, f64)> = BTreeMap::new();
    for (labels, value) in left {
        let key = labels.clone().nameless();
        let Some(other) = others.get(&key) else { continue };
        let result = if operator.is_comparison() {
            if !compares(operator, value, *other) {
                continue;
            }
            (labels, value)
        } else {
            (key.clone(), arithmetic(operator, value, *other))
        };
        if found.insert(key, result).is_some() {
            return Err(EvalError::ManyOnLeft);
        }
    }
    Ok(found.into_values().collect())
}

#[expect(clippy::float_cmp, reason = "PromQL compares so")]
fn compares(operator: Operator, left: f64, right: f64) -> bool {
    match operator {
        Operator::Equal => left == right,
        Operator::NotEqual => left != right,
        Operator::Less => left < right,
        Operator::AtMost => left <= right,
        Operator::Greater => left > right,
        Operator::AtLeast => left >= right,
        _ => false,
    }
}

fn arithmetic(operator: Operator, left: f64, right: f64) -> f64 {
    match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(0);
        let series = |name, labels: &[(&str, &str)], value| (Labels::new(name, labels), value);
        store.record(
            "app",
            1_000,
            [
                series("up", &[("job", "app"), ("instance", "a")], 1.0),
                series("up", &[("job", "other"), ("instance", "b")], 0.0),
                series("failed", &[("job", "app")], 3.0),
                series("all", &[("job", "app")], 4.0),
                series("all", &[("job", "idle")], 0.0),
                series("code", &[("code", "200")], 10.0),
                series("code", &[("code", "503")], 2.0),
                series("code", &[("code", "500")], 1.0),
            ],
        );
        store
    }

    fn evaluated(text: &str) -> Result<String, EvalError> {
        let found = evaluate(&parse(text).expect(text), &store(), 1_000)?;
        let one = |(labels, value): &(Labels, f64)| {
            let pairs: Vec<String> = labels.pairs().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}:{value}", pairs.join(","))
        };
        Ok(found.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn expressions_evaluate_as_in_prometheus() {
        let cases = [
            ("up == 0", "__name__=up,instance=b,job=other:0"),
            ("0 == up", "__name__=up,instance=b,job=other:0"),
            ("up{job=~\"a.*\"}", "__name__=up,instance=a,job=app:1"),
            ("up{job=~\"a\"}", ""),
            ("up{job!=\"app\", instance!~\"[xyz]\"}", "__name__=up,instance=b,job=other:0"),
            ("up{job=\"app\", none=\"\"}", "__name__=up,instance=a,job=app:1"),
            ("failed / (all > 0)", "job=app:0.75"),
            ("failed > 1 and all", "__name__=failed,job=app:3"),
            ("all unless failed", "__name__=all,job=idle:0"),
            ("failed or all", "__name__=failed,job=app:3 __name__=all,job=idle:0"),
            ("failed < all", "__name__=failed,job=app:3"),
            ("failed * 2 - 1", "job=app:5"),
            ("sum(code{code=~\"5..\"})", ":3"),
            ("count by (job) (all)", "job=app:1 job=idle:1"),
            ("max without (code) (code)", ":10"),
            ("min(code)", ":1"),
            ("avg(code{code=~\"5..\"})", ":1.5"),
            ("absent(up{job=\"app\"})", ""),
            ("absent(up{job=\"none\", x!=\"y\"})", "job=none:1"),
            ("absent(sum(none))", ":1"),
            ("none == 0 or absent(none{job=\"app\"})", "job=app:1"),
            ("1 + 1", ":2"),
            ("absent(none{job=\"a\",job=\"b\",x=\"1\"})", "x=1:1"),
            ("absent((none{job=\"a\"}))", "job=a:1"),
            ("absent(none{job=\"a\",job=~\"a.*\"})", ":1"),
            ("absent({__name__=\"none\",job=\"a\"})", "job=a:1"),
            ("up == NaN", ""),
            ("up < Inf", "__name__=up,instance=a,job=app:1 __name__=up,instance=b,job=other:0"),
            ("up > -inf and up == 1", "__name__=up,instance=a,job=app:1"),
            ("-failed + nan", "job=app:NaN"),
            ("-failed", "job=app:-3"),
            ("{__name__=\"failed\"}", "__name__=failed,job=app:3"),
            ("none / {job=\"app\"}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(evaluated(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ambiguous_matches_of_series_are_refused() {
        assert!(evaluated("{code=~\"5..\"} / {code=~\"5..\"}").is_ok());
        assert!(
            evaluated("sum by (job) (up) / {job=\"app\"}").is_err(),
            "three series on the right have the same labels"
        );
    }

    #[test]
    fn results_with_the_same_labels_are_refused() {
        for text in ["{__name__=~\"failed|all\", job=\"app\"} * 2", "-{__name__=~\"failed|all\", job=\"app\"}"] {
            let error = evaluated(text).expect_err(text);
            assert_eq!(error.to_string(), "two series have the same labels {job=\"app\"}", "{text}");
        }
    }

    #[test]
    fn zero_divided_by_zero_is_nan_and_fails_every_comparison() {
        assert_eq!(evaluated("all{job=\"idle\"} / all{job=\"idle\"}").as_deref(), Ok("job=idle:NaN"));
        assert_eq!(evaluated("all{job=\"idle\"} / all{job=\"idle\"} > 0").as_deref(), Ok(""));
    }
}
