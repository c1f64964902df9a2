//! A strict parser of the text format, one line at a time: [`Dialect::line`]. It accepts what Prometheus accepts, and reports
//! the line and the reason for everything else. <https://prometheus.io/docs/instrumenting/exposition_formats/> and, for
//! `OpenMetrics`, <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use prometheus_parse::{LineInfo, SampleType};

/// The two formats differ in details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `text/plain`, version 0.0.4, with the quoted names of version 1.0.0.
    Text,
    OpenMetrics,
}

#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Blank, or a comment.
    Nothing,
    /// `# EOF` of `OpenMetrics`.
    End,
    Help(String),
    Type(String, SampleType),
    Sample(Sample),
}

#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    /// Labels in the order of the page, with unique names.
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    /// In milliseconds.
    pub(super) timestamp: Option<i64>,
}

/// Reason for refusing a line.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// The syntax is invalid.
    Syntax,
    /// The syntax is valid, but the line breaks a rule of the format.
    Rule(String),
}

impl Dialect {
    /// Reads one line, without its line feed.
    pub(super) fn line(self, text: &str) -> Result<Line, Fault> {
        let mut rest = Cursor(text);
        rest.blanks();
        match rest.0.chars().next() {
            None => Ok(Line::Nothing),
            Some('#') if self == Self::OpenMetrics && text == "# EOF" => Ok(Line::End),
            Some('#') => self.comment(Cursor(&rest.0[1..])),
            Some(_) => self.sample(rest).map(Line::Sample),
        }
    }

    fn comment(self, mut rest: Cursor<'_>) -> Result<Line, Fault> {
        let is_spaced = rest.0.starts_with([' ', '\t']);
        rest.blanks();
        let keyword = rest.word();
        let is_unit = keyword == "UNIT" && self == Self::OpenMetrics;
        let known = is_spaced && (is_unit || ["HELP", "TYPE"].contains(&keyword));
        rest.blanks();
        if !known || rest.0.is_empty() {
            return Ok(Line::Nothing);
        }
        let name = if rest.0.starts_with('"') { rest.quoted() } else { rest.name(is_metric) }.ok_or(Fault::Syntax)?;
        if !rest.0.is_empty() && !rest.0.starts_with([' ', '\t']) {
            return Err(Fault::Syntax);
        }
        rest.blanks();
        match keyword {
            // A TYPE line without a type is ignored.
            "TYPE" if rest.0.is_empty() => Ok(Line::Nothing),
            "TYPE" => Ok(Line::Type(name, self.kind(rest.0.trim_end_matches([' ', '\t']))?)),
            "HELP" => Ok(Line::Help(name)),
            _ => Ok(Line::Nothing),
        }
    }

    /// Gauge histograms, infos and state sets count as gauges, because their values may fall.
    fn kind(self, text: &str) -> Result<SampleType, Fault> {
        let lower = text.to_ascii_lowercase();
        match (lower.as_str(), self) {
            ("counter" | "gauge" | "histogram" | "summary" | "untyped", _) | ("unknown", Self::OpenMetrics) => {
                Ok(SampleType::parse(&lower))
            }
            ("gaugehistogram" | "gauge_histogram", _) | ("info" | "stateset", Self::OpenMetrics) => {
                Ok(SampleType::Gauge)
            }
            _ => Err(Fault::Rule(format!("{text:?} is not a metric type"))),
        }
    }

    fn sample(self, mut rest: Cursor<'_>) -> Result<Sample, Fault> {
        let mut name = None;
        if !rest.0.starts_with('{') {
            name = Some(rest.name(is_metric).ok_or(Fault::Syntax)?);
            rest.blanks();
        }
        let mut labels = Vec::new();
        if rest.eat('{') {
            rest.labels(&mut name, &mut labels)?;
        }
        let name = name.ok_or(Fault::Syntax)?;
        if let Some((label, _)) = labels
            .iter()
            .enumerate()
            .find(|(at, (name, _))| labels[..*at].iter().any(|(known, _)| known == name))
            .map(|(_, label)| label)
        {
            return Err(Fault::Rule(format!("{name} has the label {label} twice")));
        }
        if labels.iter().any(|(label, _)| label == "__name__") {
            return Err(Fault::Rule("the label __name__ is reserved".to_owned()));
        }
        rest.blanks();
        let measured = match self {
            Self::Text => rest.0,
            // An exemplar may follow, which is not part of the sample.
            Self::OpenMetrics => rest.0.split_once(" # {").map_or(rest.0, |(before, _)| before),
        };
        let (value, timestamp) = self.measured(measured.trim_end_matches([' ', '\t']))?;
        Ok(Sample { name, labels, value, timestamp })
    }

    /// The value, and the timestamp if there is one.
    fn measured(self, text: &str) -> Result<(f64, Option<i64>), Fault> {
        let words = text.split([' ', '\t']).filter(|word| !word.is_empty()).count();
        if !(1..=2).contains(&words) || !text.chars().all(|char| char.is_ascii_graphic() || " \t".contains(char)) {
            return Err(Fault::Syntax);
        }
        // Name and labels are parsed already; prometheus-parse reads the rest of the sample without loss.
        let line = format!("sample {text}");
        let LineInfo::Sample { value, timestamp, .. } = LineInfo::parse(&line) else { return Err(Fault::Syntax) };
        let number = number(value).ok_or(Fault::Syntax)?;
        if number.is_infinite() && value.contains(|char: char| char.is_ascii_digit()) {
            return Err(Fault::Rule(format!("the value {value} is out of range")));
        }
        let Some(timestamp) = timestamp else { return Ok((number, None)) };
        let millis = match self {
            Self::Text => timestamp.parse().ok(),
            #[expect(clippy::cast_possible_truncation, reason = "times that are too large become the largest one")]
            Self::OpenMetrics => self::number(timestamp).filter(|at| at.is_finite()).map(|at| (at * 1000.0) as i64),
        };
        Ok((number, Some(millis.ok_or(Fault::Syntax)?)))
    }
}

/// Parses a number like Go, which unlike Rust refuses `+NaN`.
pub(super) fn number(text: &str) -> Option<f64> {
    let signed_nan = text.starts_with(['+', '-']) && text[1..].eq_ignore_ascii_case("nan");
    text.parse().ok().filter(|_| !signed_nan)
}

fn is_metric(char: char) -> bool {
    is_label(char) || char == ':'
}

fn is_label(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// The unread rest of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, char: char) -> bool {
        let rest = self.0.strip_prefix(char);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let (word, rest) = self.0.split_at(self.0.find([' ', '\t']).unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    /// Parses a name of these characters that does not begin with a digit.
    fn name(&mut self, is_part: fn(char) -> bool) -> Option<String> {
        let (name, rest) = self.0.split_at(self.0.find(|char| !is_part(char)).unwrap_or(self.0.len()));
        self.0 = rest;
        (!name.is_empty() && !name.starts_with(|char: char| char.is_ascii_digit())).then(|| name.to_owned())
    }

    /// Parses a quoted string with the escapes `\\`, `\"` and `\n`.
    fn quoted(&mut self) -> Option<String> {
        let text = self.0.strip_prefix('"')?;
        let mut value = String::new();
        let mut chars = text.char_indices();
        while let Some((index, char)) = chars.next() {
            match char {
                '"' => {
                    self.0 = &text[index + 1..];
                    return Some(value);
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    char @ ('\\' | '"') => char,
                    _ => return None,
                }),
                char => value.push(char),
            }
        }
        None
    }

    /// Parses the content of the braces: labels, and the quoted name if there is none before the braces.
    fn labels(&mut self, name: &mut Option<String>, labels: &mut Vec<(String, String)>) -> Result<(), Fault> {
        loop {
            self.blanks();
            if self.eat('}') {
                return Ok(());
            }
            let is_quoted = self.0.starts_with('"');
            let word = if is_quoted { self.quoted() } else { self.name(is_label) }.ok_or(Fault::Syntax)?;
            self.blanks();
            if self.eat('=') {
                self.blanks();
                labels.push((word, self.quoted().ok_or(Fault::Syntax)?));
                self.blanks();
            } else if is_quoted && !word.is_empty() && name.is_none() {
                *name = Some(word);
            } else {
                return Err(Fault::Syntax);
            }
            if !self.eat(',') && !self.0.starts_with('}') {
                return Err(Fault::Syntax);
            }
        }
    }
}
