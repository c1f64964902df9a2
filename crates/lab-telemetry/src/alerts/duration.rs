//! Durations in Prometheus' notation.

use lab_system::duration::parts;

/// Parses a duration such as `1m30s` or `1500ms` to milliseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    // The only one without a unit.
    if text == "0" {
        return Some(0);
    }
    let (mut millis, mut last) = (0_i64, i64::MAX);
    for (number, unit) in parts(text, &UNITS)? {
        // The larger units come first, each once.
        if unit >= last {
            return None;
        }
        last = unit;
        millis = millis.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
    }
    Some(millis)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_read_as_in_prometheus() {
        let cases =
            [("30s", Some(30_000)), ("1m30s", Some(90_000)), ("1500ms", Some(1_500)), ("0s", Some(0)), ("0", Some(0))];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis, "{text}");
        }
        for wrong in ["", "30", "s", "1.5s", "30s1m", "1s1s", "-1s", "1 s", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
