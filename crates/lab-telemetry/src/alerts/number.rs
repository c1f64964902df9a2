//! Formats numbers like Go, and therefore like Prometheus.

/// Like Go's `%e` with the fewest digits that are exact: `1e+00`. The API formats the values of alerts this way.
pub(super) fn exponent(value: f64) -> String {
    not_finite(value).unwrap_or_else(|| scientific(&format!("{value:e}")))
}

/// Like Go's `%v`, which templates use: `0.25`, `1.5e+06`.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:e}");
    let power: i32 = text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or_default();
    not_finite(value).unwrap_or_else(|| if (-4..6).contains(&power) { value.to_string() } else { scientific(&text) })
}

/// Like C's `%.4g`: four significant digits.
pub(super) fn general(value: f64) -> String {
    let text = format!("{value:.3e}");
    let power: i32 = text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or_default();
    not_finite(value).unwrap_or_else(|| {
        if !(-4..4).contains(&power) {
            return scientific(&text);
        }
        let decimals = usize::try_from(3 - power).unwrap_or_default();
        trimmed(&format!("{value:.decimals$}")).to_owned()
    })
}

fn not_finite(value: f64) -> Option<String> {
    let text = if value.is_nan() {
        "NaN"
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// Converts Rust's `1.500e6` to Go's `1.5e+06`.
fn scientific(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or_default();
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), power.abs())
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::{exponent, general, plain};

    #[test]
    fn numbers_are_formatted_as_in_go() {
        let values = [1.0, 0.9, 0.0, -2.5, 123_456.0, 1_234_567.0, 0.000_1, 0.000_012, 1e21, 1e-300];
        let expected = [
            "1e+00",
            "9e-01",
            "0e+00",
            "-2.5e+00",
            "1.23456e+05",
            "1.234567e+06",
            "1e-04",
            "1.2e-05",
            "1e+21",
            "1e-300",
        ];
        assert_eq!(values.map(exponent), expected);
        let expected = ["1", "0.9", "0", "-2.5", "123456", "1.234567e+06", "0.0001", "1.2e-05", "1e+21", "1e-300"];
        assert_eq!(values.map(plain), expected);
        assert_eq!(
            [12_345.6, 0.000_012_34, 1e10, 99.995, 0.5].map(general),
            ["1.235e+04", "1.234e-05", "1e+10", "100", "0.5"]
        );
        for write in [exponent, plain, general] {
            assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(write), ["NaN", "+Inf", "-Inf"]);
        }
    }
}
