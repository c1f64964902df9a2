//! Time spans of `--since` and `--range`: `90s`, `5m`, `2h`, `1d`.

use std::time::Duration;

use lab_system::duration::parts;

/// Longest accepted span.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Text that is not a time span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time with a unit: `90s`, `5m`, `2h`, `1d`")]
pub(super) struct SpanError;

/// Parses a number with `ms`, `s`, `m`, `h` or `d`; above 0 and at most a year.
pub(super) fn parse_span(text: &str) -> Result<Duration, SpanError> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let span = match parts(text, &UNITS).as_deref() {
        Some(&[(number, unit)]) => {
            let seconds = number.parse::<f64>().ok().map(|number| number * unit);
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        }
        _ => None,
    };
    span.filter(|span| !span.is_zero() && *span <= LONGEST).ok_or(SpanError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        let seconds = |text: &str| parse_span(text).map(|span| span.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1.5h"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(172_800));
        for wrong in ["", "h", "5", "0s", "-5m", "9999d", "1e3h", "5 m", "99999999999999999999d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
