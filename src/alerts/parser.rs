//! [`parse`]: an expression from its text. What the rules do not use is refused here with its name, so that no rule is ever
//! evaluated to something else than Prometheus would. The grammar: <https://prometheus.io/docs/prometheus/latest/querying/basics/>.

use regex::Regex;

use super::expr::{
    AGGREGATIONS, Aggregation, Expr, FUNCTIONS, Grouping, Match, Matcher, OPERATORS, Operator, Over, Selector,
};
use super::labels::NAME;
use super::lexer::{Kind, Word, words};

/// How deep an expression may be nested.
const DEEPEST: u8 = 32;

/// Reads an expression; the error says what in it is wrong or not known, and where.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser { words: words(text)?, next: 0, depth: 0 };
    let expr = parser.binary(0)?;
    match parser.words.get(parser.next) {
        None => Ok(expr),
        Some(word) => Err(unexpected(Some(word), "the end, or an operator")),
    }
}

struct Parser {
    words: Vec<Word>,
    next: usize,
    depth: u8,
}

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.words.get(self.next).map(|word| &word.kind)
    }

    fn take(&mut self) -> Option<Word> {
        self.next += 1;
        self.words.get(self.next - 1).cloned()
    }

    fn is(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Sign(found)) if *found == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.is(sign) {
            return Ok(());
        }
        Err(unexpected(self.words.get(self.next), &format!("`{sign}`")))
    }

    /// Operators of this rank and tighter ones.
    fn binary(&mut self, least: u8) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} times"));
        }
        let mut left = self.primary()?;
        while let Some(operator) = self.operator().filter(|operator| operator.rank() >= least) {
            self.next += 1;
            if let Some(Kind::Name(word)) = self.peek()
                && ["bool", "on", "ignoring"].contains(&word.as_str())
            {
                return Err(format!("`{word}` after an operator is not known to lab"));
            }
            let right = self.binary(operator.rank() + 1)?;
            let numbers = (left.is_number(), right.is_number());
            if operator.is_of_sets() && numbers != (false, false) {
                return Err("`and`, `or` and `unless` take series, not numbers".to_owned());
            }
            if operator.is_comparison() && numbers == (true, true) {
                return Err("two numbers are compared: one side must be series".to_owned());
            }
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        let written = match self.peek()? {
            Kind::Name(word) => word.as_str(),
            Kind::Sign(sign) => sign,
            _ => return None,
        };
        OPERATORS.iter().find(|(known, _)| *known == written).map(|(_, operator)| *operator)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let word = self.take();
        match word.as_ref().map(|word| &word.kind) {
            Some(Kind::Number(number)) => Ok(Expr::Number(*number)),
            Some(Kind::Sign("-")) => match self.take() {
                Some(Word { kind: Kind::Number(number), .. }) => Ok(Expr::Number(-number)),
                other => Err(unexpected(other.as_ref(), "a number after `-`")),
            },
            Some(Kind::Sign("(")) => {
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Kind::Sign("{")) => {
                self.next -= 1;
                self.series("")
            }
            Some(Kind::Name(name)) => self.named(name),
            _ => Err(unexpected(word.as_ref(), "a series, a number or a function")),
        }
    }

    /// What begins with a name: an aggregation, a function, or series.
    fn named(&mut self, name: &str) -> Result<Expr, String> {
        if let Some((_, how)) = AGGREGATIONS.iter().find(|(known, _)| *known == name) {
            return self.aggregation(*how);
        }
        if matches!(self.peek(), Some(Kind::Sign("("))) {
            return self.function(name);
        }
        self.series(name)
    }

    fn series(&mut self, name: &str) -> Result<Expr, String> {
        let selector = self.selector(name)?;
        if matches!(self.peek(), Some(Kind::Sign("["))) {
            return Err(format!("a range stands outside of {}", list(&["rate", "increase"])));
        }
        if matches!(self.peek(), Some(Kind::Name(word)) if word == "offset") {
            return Err("`offset` is not known to lab".to_owned());
        }
        Ok(Expr::Select(selector))
    }

    /// The matchers that follow a name, if any.
    fn selector(&mut self, name: &str) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        if self.is("{") {
            while !self.is("}") {
                matchers.push(self.matcher()?);
                if !self.is(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if name.is_empty() && matchers.is_empty() {
            return Err("`{}` is every series there is: name one".to_owned());
        }
        Ok(Selector { name: name.to_owned(), matchers })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = match self.take() {
            Some(Word { kind: Kind::Name(label), .. }) if label != NAME => label,
            other => return Err(unexpected(other.as_ref(), "a label")),
        };
        let sign = match self.take() {
            Some(Word { kind: Kind::Sign(sign @ ("=" | "!=" | "=~" | "!~")), .. }) => sign,
            other => return Err(unexpected(other.as_ref(), "`=`, `!=`, `=~` or `!~`")),
        };
        let text = match self.take() {
            Some(Word { kind: Kind::Text(text), .. }) => text,
            other => return Err(unexpected(other.as_ref(), "a text in quotes")),
        };
        let pattern = || Regex::new(&format!("^(?s:{text})$")).map_err(|_| format!("{text:?} is no pattern"));
        let how = match sign {
            "=" => Match::Equal(text),
            "!=" => Match::NotEqual(text),
            "=~" => Match::Like(pattern()?),
            _ => Match::Unlike(pattern()?),
        };
        Ok(Matcher { label, how })
    }

    fn aggregation(&mut self, how: Aggregation) -> Result<Expr, String> {
        let before = self.grouping()?;
        self.expect("(")?;
        let of = self.vector()?;
        self.expect(")")?;
        let by = match before {
            Some(by) => by,
            None => self.grouping()?.unwrap_or(Grouping::By(Vec::new())),
        };
        Ok(Expr::Aggregate { how, by, of: Box::new(of) })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, String> {
        let by = match self.peek() {
            Some(Kind::Name(word)) if word == "by" => true,
            Some(Kind::Name(word)) if word == "without" => false,
            _ => return Ok(None),
        };
        self.next += 1;
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.is(")") {
            match self.take() {
                Some(Word { kind: Kind::Name(label), .. }) => labels.push(label),
                other => return Err(unexpected(other.as_ref(), "a label")),
            }
            if !self.is(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(Some(if by { Grouping::By(labels) } else { Grouping::Without(labels) }))
    }

    fn function(&mut self, name: &str) -> Result<Expr, String> {
        self.expect("(")?;
        let expr = match name {
            "rate" => self.over(Over::Rate)?,
            "increase" => self.over(Over::Increase)?,
            "absent" => Expr::Absent(Box::new(self.vector()?)),
            "histogram_quantile" => {
                let quantile = match self.take() {
                    Some(Word { kind: Kind::Number(quantile), .. }) if (0.0..=1.0).contains(&quantile) => quantile,
                    other => return Err(unexpected(other.as_ref(), "a quantile from 0 to 1")),
                };
                self.expect(",")?;
                Expr::Quantile(quantile, Box::new(self.vector()?))
            }
            _ => return Err(format!("`{name}` is not a function that lab knows: {}", list(&FUNCTIONS))),
        };
        self.expect(")")?;
        Ok(expr)
    }

    /// An expression that is series, not a number.
    fn vector(&mut self) -> Result<Expr, String> {
        let expr = self.binary(0)?;
        if expr.is_number() { Err("a number stands where series are expected".to_owned()) } else { Ok(expr) }
    }

    fn over(&mut self, over: Over) -> Result<Expr, String> {
        let name = match self.peek() {
            Some(Kind::Name(name)) => name.clone(),
            Some(Kind::Sign("{")) => String::new(),
            _ => return Err(unexpected(self.words.get(self.next), "a counter")),
        };
        self.next += usize::from(!name.is_empty());
        let selector = self.selector(&name)?;
        self.expect("[")?;
        let range = match self.take() {
            Some(Word { kind: Kind::Duration(range), .. }) if range > 0 => range,
            other => return Err(unexpected(other.as_ref(), "a duration such as `30s`")),
        };
        self.expect("]")?;
        Ok(Expr::Over(over, selector, range))
    }
}

/// What was found instead of what was expected.
fn unexpected(word: Option<&Word>, expected: &str) -> String {
    let Some(Word { kind, at }) = word else { return format!("it ends where {expected} is expected") };
    let found = match kind {
        Kind::Name(name) => format!("`{name}`"),
        Kind::Number(number) => format!("`{number}`"),
        Kind::Duration(millis) => format!("a duration of {millis} ms"),
        Kind::Text(text) => format!("{text:?}"),
        Kind::Sign(sign) => format!("`{sign}`"),
    };
    format!("{found} at {at}: lab expects {expected} there")
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_bind_as_in_prometheus() {
        let shape = |text: &str| format!("{}", Shape(&parse(text).expect(text)));
        assert_eq!(shape("a or b and c == 1 + 2 * 3"), "(a or (b and (c == (1 + (2 * 3)))))");
        assert_eq!(shape("a - b - c"), "((a - b) - c)");
        assert_eq!(shape("a unless b or c"), "((a unless b) or c)");
        assert_eq!(shape("(a or b) > -1"), "((a or b) > -1)");
        assert_eq!(shape("sum(a) by (x, y) / sum by (x) (rate(b[1m]) > 0)"), "(sum(a) / sum((rate > 0)))");
    }

    struct Shape<'a>(&'a Expr);

    impl std::fmt::Display for Shape<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 {
                Expr::Number(number) => write!(f, "{number}"),
                Expr::Select(selector) => write!(f, "{}", selector.name),
                Expr::Over(..) => write!(f, "rate"),
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
    fn what_is_not_known_is_refused_by_its_name() {
        let wrong = [
            ("predict_linear(a[1m], 5)", "`predict_linear` is not a function that lab knows"),
            ("rate(a)", "`)` at 7: lab expects `[` there"),
            ("a[5m]", "a range stands outside of `rate`, `increase`"),
            ("a offset 5m > 1", "`offset` is not known to lab"),
            ("a > bool 1", "`bool` after an operator is not known to lab"),
            ("a / on(job) b", "`on` after an operator is not known to lab"),
            ("1 > 2", "two numbers are compared"),
            ("a and 1", "`and`, `or` and `unless` take series, not numbers"),
            ("sum(1)", "a number stands where series are expected"),
            ("a{b=~\"(\"}", "\"(\" is no pattern"),
            ("{}", "name one"),
            ("a b", "`b` at 3"),
            ("a ==", "it ends where a series, a number or a function is expected"),
            ("", "it ends where"),
            ("topk(3, a)", "`topk` is not a function"),
            ("a % 2", "`%` at 3"),
        ];
        for (text, expected) in wrong {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = "(".repeat(500);
        assert!(parse(&deep).expect_err("deep").contains("nested"));
    }
}
