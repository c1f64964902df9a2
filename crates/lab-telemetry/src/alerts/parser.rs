//! Parses expressions. promql-parser accepts all of `PromQL`; the parts that lab does not evaluate are refused here with their
//! position, so a rule never evaluates to a different result than in Prometheus. The grammar:
//! <https://prometheus.io/docs/prometheus/latest/querying/basics/>.

use promql_parser::label::MatchOp;
use promql_parser::parser as promql;

use super::error::ExprError;
use super::expr::{AGGREGATIONS, Expr, FUNCTIONS, Grouping, Match, Matcher, OPERATORS, Over, Selector};
use super::labels::{ALERTS_SINCE, NAME};
use super::pattern::pattern;
use super::places::Places;

/// Maximum depth of the tree. The depth of a chain of operators is its length.
const DEEPEST: usize = 100;

/// Parses an expression. The error names the invalid or unsupported part and its position.
pub(super) fn parse(text: &str) -> Result<Expr, ExprError> {
    let places = Places::scan(text)?;
    let tree = promql::parse(text).map_err(|error| places.locate(&error))?;
    Reader { places }.expr(&tree, 0)
}

struct Reader<'t> {
    places: Places<'t>,
}

impl Reader<'_> {
    fn refuse(&self, word: &str) -> ExprError {
        ExprError::Unsupported { part: format!("`{word}`"), place: self.places.at(word) }
    }

    fn expr(&self, tree: &promql::Expr, depth: usize) -> Result<Expr, ExprError> {
        let depth = depth + 1;
        if depth > DEEPEST {
            return Err(ExprError::TooDeep(DEEPEST));
        }
        match tree {
            promql::Expr::NumberLiteral(number) => Ok(Expr::Number(number.val)),
            promql::Expr::VectorSelector(selector) => Ok(Expr::Select(self.selector(selector)?)),
            promql::Expr::Paren(paren) => Ok(Expr::Paren(Box::new(self.expr(&paren.expr, depth)?))),
            promql::Expr::Unary(unary) => Ok(Expr::Negative(Box::new(self.expr(&unary.expr, depth)?))),
            promql::Expr::Binary(binary) => self.binary(binary, depth),
            promql::Expr::Aggregate(aggregate) => self.aggregate(aggregate, depth),
            promql::Expr::Call(call) => self.call(call, depth),
            promql::Expr::MatrixSelector(_) => {
                Err(ExprError::LooseRange { place: self.places.at("["), functions: list(&["rate", "increase"]) })
            }
            promql::Expr::StringLiteral(text) => Err(ExprError::Text(text.to_string())),
            promql::Expr::Subquery(_) => {
                Err(ExprError::Unsupported { part: "a subquery".to_owned(), place: self.places.at("[") })
            }
            promql::Expr::Extension(_) => {
                Err(ExprError::Unsupported { part: format!("`{tree}`"), place: String::new() })
            }
        }
    }

    fn binary(&self, binary: &promql::BinaryExpr, depth: usize) -> Result<Expr, ExprError> {
        let written = binary.op.to_string();
        let operator = OPERATORS.iter().find(|(known, _)| *known == written).ok_or_else(|| self.refuse(&written))?.1;
        if let Some(modifier) = &binary.modifier {
            let word = match (&modifier.matching, &modifier.card) {
                _ if modifier.return_bool => Some("bool"),
                (Some(promql::LabelModifier::Include(_)), _) => Some("on"),
                (Some(promql::LabelModifier::Exclude(_)), _) => Some("ignoring"),
                (None, promql::VectorMatchCardinality::ManyToOne(_)) => Some("group_left"),
                (None, promql::VectorMatchCardinality::OneToMany(_)) => Some("group_right"),
                _ if modifier.fill_values != promql::VectorMatchFillValues::default() => Some("fill"),
                _ => None,
            };
            if let Some(word) = word {
                return Err(self.refuse(word));
            }
        }
        let (left, right) = (self.expr(&binary.lhs, depth)?, self.expr(&binary.rhs, depth)?);
        Ok(Expr::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn aggregate(&self, aggregate: &promql::AggregateExpr, depth: usize) -> Result<Expr, ExprError> {
        let written = aggregate.op.to_string();
        let how = AGGREGATIONS.iter().find(|(known, _)| *known == written);
        let how = how.filter(|_| aggregate.param.is_none()).ok_or_else(|| self.refuse(&written))?.1;
        let by = match &aggregate.modifier {
            None => Grouping::By(Vec::new()),
            Some(promql::LabelModifier::Include(labels)) => Grouping::By(labels.labels.clone()),
            Some(promql::LabelModifier::Exclude(labels)) => Grouping::Without(labels.labels.clone()),
        };
        Ok(Expr::Aggregate { how, by, of: Box::new(self.expr(&aggregate.expr, depth)?) })
    }

    fn call(&self, call: &promql::Call, depth: usize) -> Result<Expr, ExprError> {
        let arguments: Vec<&promql::Expr> = call.args.args.iter().map(AsRef::as_ref).collect();
        match (call.func.name, &arguments[..]) {
            ("rate", [of]) => self.over(Over::Rate, of),
            ("increase", [of]) => self.over(Over::Increase, of),
            ("absent", [of]) => Ok(Expr::Absent(Box::new(self.expr(of, depth)?))),
            ("histogram_quantile", [quantile, of]) => match self.expr(quantile, depth)?.number() {
                Some(quantile) => Ok(Expr::Quantile(quantile, Box::new(self.expr(of, depth)?))),
                None => Err(ExprError::Quantile(quantile.to_string())),
            },
            (name, _) => {
                Err(ExprError::Function { name: name.to_owned(), place: self.places.at(name), known: list(&FUNCTIONS) })
            }
        }
    }

    fn over(&self, over: Over, of: &promql::Expr) -> Result<Expr, ExprError> {
        let mut of = of;
        while let promql::Expr::Paren(paren) = of {
            of = &paren.expr;
        }
        match of {
            promql::Expr::MatrixSelector(matrix) => {
                let range = i64::try_from(matrix.range.as_millis()).map_err(|_| ExprError::LongRange)?;
                Ok(Expr::Over(over, self.selector(&matrix.vs)?, range))
            }
            other => Err(ExprError::NoRange(other.to_string())),
        }
    }

    fn selector(&self, selector: &promql::VectorSelector) -> Result<Selector, ExprError> {
        if selector.offset.is_some() {
            return Err(self.refuse("offset"));
        }
        if selector.at.is_some() {
            return Err(self.refuse("@"));
        }
        if !selector.matchers.or_matchers.is_empty() {
            let part = format!("`or` between the matchers of `{selector}`");
            return Err(ExprError::Unsupported { part, place: String::new() });
        }
        let matcher = |matcher: &promql_parser::label::Matcher| {
            let how = match matcher.op {
                MatchOp::Equal => Match::Equal(matcher.value.clone()),
                MatchOp::NotEqual => Match::NotEqual(matcher.value.clone()),
                MatchOp::Re(_) => Match::Like(pattern(&matcher.value)?),
                MatchOp::NotRe(_) => Match::Unlike(pattern(&matcher.value)?),
            };
            Ok(Matcher { label: matcher.name.clone(), how })
        };
        let matchers: Vec<Matcher> =
            selector.matchers.matchers.iter().map(matcher).collect::<Result<_, ExprError>>()?;
        let name = selector.name.clone().unwrap_or_default();
        let is_since = |name: &str| name == ALERTS_SINCE;
        if is_since(&name)
            || matchers.iter().any(|it| it.label == NAME && matches!(&it.how, Match::Equal(name) if is_since(name)))
        {
            return Err(self.refuse(ALERTS_SINCE));
        }
        Ok(Selector { name, matchers })
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_the_precedence_of_prometheus() {
        let shape = |text: &str| format!("{}", Shape(&parse(text).expect(text)));
        assert_eq!(shape("a or b and c == 1 + 2 * 3"), "(a or (b and (c == (1 + (2 * 3)))))");
        assert_eq!(shape("a - b - c"), "((a - b) - c)");
        assert_eq!(shape("a unless b or c"), "((a unless b) or c)");
        assert_eq!(shape("(a or b) > -1"), "((a or b) > -1)");
        assert_eq!(shape("sum(a) by (x, y) / sum by (x) (rate(b[1m]) > 0)"), "(sum(a) / sum((rate > 0)))");
        assert_eq!(shape("-a * 2 > +1"), "((-a * 2) > 1)");
        assert_eq!(shape("a > NaN or a < inf"), "((a > NaN) or (a < inf))");
    }

    struct Shape<'a>(&'a Expr);

    impl std::fmt::Display for Shape<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 {
                Expr::Number(number) => write!(f, "{number}"),
                Expr::Select(selector) => write!(f, "{}", selector.name),
                Expr::Over(..) => write!(f, "rate"),
                Expr::Paren(of) => write!(f, "{}", Shape(of)),
                Expr::Negative(of) => write!(f, "-{}", Shape(of)),
                Expr::Absent(of) | Expr::Quantile(_, of) => write!(f, "f({})", Shape(of)),
                Expr::Aggregate { of, .. } => write!(f, "sum({})", Shape(of)),
                Expr::Binary(operator, left, right) => {
                    let sign = OPERATORS.iter().find(|(_, known)| known == operator).expect("known").0;
                    write!(f, "({} {sign} {})", Shape(left), Shape(right))
                }
            }
        }
    }

    #[test]
    fn unsupported_parts_are_refused_with_their_position() {
        let long = "a".to_owned() + &" + a".repeat(200);
        let wrong = [
            ("predict_linear(a[1m], 5)", "`predict_linear` at 1 is not a supported function"),
            ("a > nonsense(a)", "unknown function with name 'nonsense' at 5"),
            ("rate(a)", "expected type matrix in call to function 'rate', got vector at 1"),
            ("a[5m]", "the range at 2 stands outside of `rate`, `increase`"),
            ("a[5m:1m]", "`[5m:1m]` at 2"),
            ("a offset 5m > 1", "`offset` at 3 is not supported"),
            ("rate(a[1m] offset 5m)", "`offset` at 12"),
            ("a offset 1e300", "`offset` needs a duration"),
            ("a offset -NaN", "`offset` needs a duration"),
            ("a @ 5", "`@` at 3"),
            ("a > bool 1", "`bool` at 5 is not supported"),
            ("a / on(job) b", "`on` at 5 is not supported"),
            ("a / ignoring(job) group_left b", "`ignoring` at 5"),
            ("a and on(job) b", "`on` at 7"),
            ("a{x=\"1\" or y=\"2\"}", "`or` between the matchers"),
            ("1 > 2", "comparisons between scalars must use BOOL"),
            ("a and 1", "set operator 'and' not allowed in binary scalar expression at 3"),
            ("sum(1)", "expected type vector in aggregation expression, got scalar"),
            ("a{b=~\"(\"}", "illegal regex for ("),
            ("a{b=~\"(?x)a\"}", "not a supported pattern"),
            ("{}", "at least one non-empty matcher"),
            ("{b=~\".*\"}", "at least one non-empty matcher"),
            ("a{__name__=\"b\"}", "metric name must not be set twice"),
            ("a b", "it is not valid PromQL"),
            ("a ==", "it is not valid PromQL"),
            ("", "no expression found"),
            ("\"text\"", "is a text"),
            ("topk(3, a)", "`topk` at 1 is not supported"),
            ("quantile(0.5, a)", "`quantile` at 1"),
            ("a % 2", "`%` at 3"),
            ("a ^ 2", "`^` at 3"),
            ("histogram_quantile(scalar(a), b)", "`scalar` at 20 is not a supported function"),
            ("ALERTS_FOR_STATE > 1", "`ALERTS_FOR_STATE` at 1"),
            (&long, "nested more than 100 times"),
        ];
        for (text, expected) in wrong {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = "(".repeat(500);
        assert!(parse(&deep).expect_err("deep").to_string().contains("nested"));
    }

    proptest::proptest! {
        /// No input panics.
        #[test]
        fn any_text_is_parsed_or_refused(
            any in "[ -~\n\u{e9}]{0,40}",
            words in "(-|a|1|1e999|NaN|0x|08|\\(|\\)|\\[|\\]|5m|rate|sum|by|offset|@|\\{|\\}|=~|\"x\\\\|\"|'|`| |>|or|bool|on|:|,|#|\n){0,14}",
        ) {
            for text in [any, words] {
                let _ = parse(&text);
            }
        }
    }
}
