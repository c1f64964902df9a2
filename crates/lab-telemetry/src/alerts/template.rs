//! Templates of annotations. Only the parts of Go's templates that the rules use are supported:
//! `{{ $value }}`, `{{ $value | humanizePercentage }}`, `{{ $value | humanizeDuration }}` and `{{ $labels.NAME }}`.

use super::error::TemplateError;
use super::labels::{Labels, is_name};
use super::number::{general, plain};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value,
    Percentage,
    Duration,
    Label(String),
}

impl Template {
    /// Parses a template. The error names the unsupported part.
    pub(super) fn read(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inner, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            pieces.push(Piece::Text(before.to_owned()));
            let words: Vec<&str> = inner.split_whitespace().collect();
            pieces.push(match words[..] {
                ["$value"] => Piece::Value,
                ["$value", "|", "humanizePercentage"] => Piece::Percentage,
                ["$value", "|", "humanizeDuration"] => Piece::Duration,
                [word] if word.strip_prefix("$labels.").is_some_and(|label| is_name(label, false)) => {
                    Piece::Label(word["$labels.".len()..].to_owned())
                }
                _ => return Err(TemplateError::Unsupported(inner.to_owned())),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// Renders the template for the value and the labels of a series.
    pub(super) fn fill(&self, value: f64, labels: &Labels) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value => plain(value),
            Piece::Percentage => format!("{}%", general(value * 100.0)),
            Piece::Duration => duration(value),
            Piece::Label(name) => labels.get(name).to_owned(),
        };
        self.pieces.iter().map(piece).collect()
    }
}

/// Seconds, as Prometheus' `humanizeDuration` writes them.
fn duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() >= 60.0 {
        #[expect(clippy::cast_possible_truncation, reason = "truncation to whole seconds is intended")]
        let whole = value.abs() as i64;
        let sign = if value < 0.0 { "-" } else { "" };
        let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
        return match (days, hours) {
            (0, 0) => format!("{sign}{minutes}m {seconds}s"),
            (0, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
            _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
        };
    }
    let mut value = value;
    let mut unit = "";
    for smaller in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        (value, unit) = (value * 1_000.0, smaller);
    }
    format!("{}{unit}s", general(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, value: f64) -> String {
        Template::read(text).expect(text).fill(value, &Labels::new("", &[("job", "app")]))
    }

    #[test]
    fn values_are_formatted_as_in_prometheus() {
        let percent = |value| filled("{{ $value | humanizePercentage }}", value);
        assert_eq!([0.1, 1.0, 0.5, 0.987_654].map(percent), ["10%", "100%", "50%", "98.77%"]);
        let duration = |value| filled("{{ $value | humanizeDuration }}", value);
        let seconds = [0.0, 0.496, 0.000_25, 1.0, 59.5, 61.0, 3_725.0, 90_061.0, -75.0];
        let expected = ["0s", "496ms", "250us", "1s", "59.5s", "1m 1s", "1h 2m 5s", "1d 1h 1m 1s", "-1m 15s"];
        assert_eq!(seconds.map(duration), expected);
        assert_eq!(filled("{{ $labels.job }}: {{$value}}!", 2.5), "app: 2.5!");
        assert_eq!(filled("nothing", 1.0), "nothing");
        let value = |value| filled("{{ $value }}", value);
        assert_eq!([1e6, 0.25, f64::INFINITY].map(value), ["1e+06", "0.25", "+Inf"]);
        assert_eq!(
            (percent(f64::INFINITY), duration(f64::NAN), duration(2e-13)),
            ("+Inf%".to_owned(), "NaN".to_owned(), "200fs".to_owned())
        );
    }

    #[test]
    fn unsupported_actions_are_refused() {
        for wrong in [
            "{{ $value | humanize1024 }}",
            "{{ $labels.a.b }}",
            "{{ $labels. }}",
            "{{ range query \"up\" }}x{{ end }}",
            "{{ $value",
        ] {
            assert!(Template::read(wrong).is_err(), "{wrong}");
        }
    }
}
