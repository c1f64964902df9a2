//! Compares the value that a person sets with that of a named fix: a person who tries a longer timeout seldom tries the same one.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use lab_system::duration::parts;

/// Units of time in seconds.
const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Value that can be larger or smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    /// A number, or a number per time.
    Amount(f64),
    /// A duration in seconds.
    Time(f64),
    /// A time, in seconds since 1970.
    Instant(f64),
}

/// Returns true if a change has the same kind of effect as the fix: the same value, or another amount or time on the same side of
/// the value before. If that is not known, any amount or time counts. `at` is the time of the change.
pub(super) fn is_similar(fix: Option<&str>, old: Option<&str>, new: Option<&str>, at: DateTime<Utc>) -> bool {
    if fix == new {
        return true;
    }
    let (Some(fix), Some(new)) = (fix, new) else { return false };
    let Some(direction) = compare(new, old, at) else { return compare(new, Some(fix), at).is_some() };
    compare(fix, old, at) == Some(direction) && direction.is_ne()
}

/// How two values compare. `None` if they have no common unit.
fn compare(one: &str, other: Option<&str>, at: DateTime<Utc>) -> Option<Ordering> {
    let (one, other) = (Quantity::parse(one)?, Quantity::parse(other?)?);
    let from_now = |time: f64| seconds(at) + time;
    match (one, other) {
        (Quantity::Amount(one), Quantity::Amount(other))
        | (Quantity::Time(one), Quantity::Time(other))
        | (Quantity::Instant(one), Quantity::Instant(other)) => one.partial_cmp(&other),
        // An expiry date may be a date, or a time from now on.
        (Quantity::Instant(one), Quantity::Time(other)) => one.partial_cmp(&from_now(other)),
        (Quantity::Time(one), Quantity::Instant(other)) => from_now(one).partial_cmp(&other),
        _ => None,
    }
}

impl Quantity {
    /// `8`, `400/s`, `1m30s`, `2027-01-01T00:00:00Z`.
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        if let Some(number) = number(text) {
            return Some(Self::Amount(number));
        }
        if let Some((amount, unit)) = text.split_once('/') {
            let (_, time) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            return Some(Self::Amount(number(amount)? / time));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::Instant(seconds(time.to_utc())));
        }
        let times = parts(text, &UNITS)?.into_iter().map(|(amount, unit)| Some(number(amount)? * unit));
        times.sum::<Option<f64>>().map(Self::Time)
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_similar_if_it_changes_the_setting_in_the_same_direction() {
        let at = DateTime::from_timestamp(1_796_040_000, 0).unwrap();
        let similar = [
            ("20s", None, "20s"),
            ("20s", None, "1m30s"),
            ("20s", Some("10s"), "11s"),
            ("8", Some("4"), "16"),
            ("8", Some("4"), "5"),
            ("10/s", Some("1/s"), "300/m"),
            // Dates and times until then.
            ("90d", Some("2026-01-01T00:00:00Z"), "365d"),
            ("90d", Some("2026-01-01T00:00:00Z"), "2028-01-01T00:00:00Z"),
            // A value before that is none.
            ("90d", Some("yesterday"), "1d"),
            ("on", Some("off"), "on"),
        ];
        for (fix, old, new) in similar {
            assert!(is_similar(Some(fix), old, Some(new), at), "{fix} for {old:?}, and {new}");
        }
        let different = [
            ("20s", Some("10s"), "5s"),
            ("20s", Some("10s"), "10s"),
            ("20s", None, "20"),
            ("8", Some("6"), "4"),
            ("90d", Some("2026-12-31T00:00:00Z"), "2026-01-01T00:00:00Z"),
            ("on", Some("off"), "yes"),
            ("users:read", None, "users:read reports:read"),
            ("app:8000", None, "app:8001"),
        ];
        for (fix, old, new) in different {
            assert!(!is_similar(Some(fix), old, Some(new), at), "{fix} for {old:?}, and {new}");
        }
        assert!(is_similar(None, Some("5"), None, at) && !is_similar(None, Some("5"), Some("6"), at));
        assert!(!is_similar(Some("5"), Some("4"), None, at));
    }
}
