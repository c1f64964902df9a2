//! Durations written as numbers with units, such as `1m30s`. Each format has its own units and rules; the syntax that
//! they share is here.

/// Splits a duration into its parts: each number as written, with the value of its unit from `units`.
///
/// A number consists of digits and `.`; whether it is a valid one depends on the format. Returns `None` if the text is
/// empty, a number or a unit is missing, or a unit is not in `units`.
pub fn parts<'t, T: Copy>(text: &'t str, units: &[(&str, T)]) -> Option<Vec<(&'t str, T)>> {
    let (mut rest, mut parts) = (text, Vec::new());
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !is_digit(c)).filter(|end| *end > 0)?);
        let (name, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let (_, unit) = units.iter().find(|(known, _)| *known == name)?;
        parts.push((number, *unit));
        rest = after;
    }
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_duration_is_numbers_with_known_units() {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
        assert_eq!(parts("1m30s", &units), Some(vec![("1", 60_000), ("30", 1_000)]));
        assert_eq!(parts("1.5s", &units), Some(vec![("1.5", 1_000)]));
        for wrong in ["", "30", "s", "1h", "1m30", "1 m", "-1s", "1sé", "١s", "1s ms"] {
            assert_eq!(parts(wrong, &units), None, "{wrong}");
        }
    }
}
