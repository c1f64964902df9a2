//! Number formats of all reports: durations, counts, shares.

use std::time::Duration;

pub use lab_drill::drill_time;

/// Formats a duration: `0.9ms`, `250ms`, `2.0s`, `1m 05s`.
pub fn duration(duration: Duration) -> String {
    millis(duration.as_secs_f64() * 1000.0)
}

/// Formats a duration in milliseconds.
pub fn millis(millis: f64) -> String {
    if millis <= 0.0 {
        "0ms".to_owned()
    } else if millis < 0.05 {
        "<0.1ms".to_owned()
    } else if millis < 9.95 {
        format!("{millis:.1}ms")
    } else if millis < 999.5 {
        format!("{millis:.0}ms")
    } else {
        clock(millis / 1000.0)
    }
}

/// Formats a time within a run, in seconds: `0.0s`, `59.9s`, `1m 05s`, `2h 03m`.
pub fn clock(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    let whole = Duration::from_secs_f64(seconds.min(1e9).round()).as_secs();
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}h {minutes:02}m") } else { format!("{minutes}m {rest:02}s") }
}

/// Formats a number without needless digits: `40`, `0.25`, `0.00412`, `1764000000.12`; with an exponent if it is tiny or huge:
/// `1.5e-06`, `3e+15`, as Prometheus writes it.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let power: i32 = power.parse().unwrap_or_default();
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", digits.trim_end_matches('0').trim_end_matches('.'), power.abs());
    }
    // Numbers below one keep about three significant digits.
    let digits = if size >= 0.1 {
        2
    } else if size >= 0.01 {
        4
    } else {
        6
    };
    let text = format!("{value:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Formats a share: `97.5%`; `0%` if the whole is 0.
pub fn share(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let percent = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    format!("{}%", number((percent * 10.0).round() / 10.0))
}

/// Formats a size: `512 B`, `62.1 MB`, `1.2 GB`, in steps of 1000, as disks and registries count.
pub fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    let (mut size, mut unit) = (bytes as f64 / 1000.0, 0);
    while size >= 999.95 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

/// Formats a count with its noun: `1 request`, `40 requests`.
pub fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, clock, count, drill_time, duration, millis, number, share};

    #[test]
    fn durations() {
        let cases = [
            (0.0, "0ms"),
            (0.02, "<0.1ms"),
            (0.94, "0.9ms"),
            (9.94, "9.9ms"),
            (9.96, "10ms"),
            (999.4, "999ms"),
            (999.6, "1.0s"),
            (65_000.0, "1m 05s"),
        ];
        for (value, text) in cases {
            assert_eq!(millis(value), text, "{value}");
        }
        assert_eq!(duration(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn sizes() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (62_140_000, "62.1 MB"), (999_960_000, "1.0 GB")];
        for (value, text) in cases {
            assert_eq!(bytes(value), text, "{value}");
        }
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn the_clock() {
        let cases = [(0.0, "0.0s"), (59.94, "59.9s"), (59.96, "1m 00s"), (605.0, "10m 05s"), (7_380.0, "2h 03m")];
        for (value, text) in cases {
            assert_eq!(clock(value), text, "{value}");
        }
    }

    #[test]
    fn drill_times_have_whole_seconds() {
        assert_eq!([0, 999, 59_999, 125_900, 7_380_000].map(drill_time), ["0:00", "0:00", "0:59", "2:05", "2:03:00"]);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(40.0), "40");
        assert_eq!(number(0.3 - 0.05), "0.25");
        assert_eq!(number(-0.0), "0");
        assert_eq!(
            [0.0001, 0.000_412, 0.000_05, 1.5e-6, 4.2e-7, -3e-9].map(number),
            ["0.0001", "0.000412", "5e-05", "1.5e-06", "4.2e-07", "-3e-09"]
        );
        assert_eq!([1.764e9, 3e15, 1e300].map(number), ["1764000000", "3e+15", "1e+300"]);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(number), ["NaN", "+Inf", "-Inf"]);
        assert_eq!(share(39, 40), "97.5%");
        assert_eq!(share(40, 40), "100%");
        assert_eq!(share(0, 0), "0%");
        assert_eq!(count(1, "request"), "1 request");
        assert_eq!(count(0, "request"), "0 requests");
    }
}
