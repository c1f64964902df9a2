//! Sparklines: a time series as one line of text.

/// From the lowest to the highest level.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws one bar per value, scaled from 0 to `most`. A value that is not finite is a gap.
pub fn sparkline(values: &[f64], most: f64) -> String {
    let bar = |value: &f64| {
        if !value.is_finite() || !most.is_finite() {
            return ' ';
        }
        let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
        let index = (share * 7.0).round() as usize;
        BARS[index.min(BARS.len() - 1)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn a_sparkline_is_scaled_from_zero_to_the_maximum() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, f64::NAN, 4.0], 4.0), "▁▃▅ █");
        assert_eq!(sparkline(&[0.0, 0.0], 0.0), "▁▁");
    }
}
