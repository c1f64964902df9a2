//! Charts of the page, with attributes of SVG only.

use lab_drill::drill_time;
use maud::{Markup, html};

use crate::view::statistics::{Spread, Statistics};

/// Share of a whole in percent.
#[expect(clippy::cast_precision_loss, reason = "drill times are far below 2^52")]
fn percent(part: u64, whole: u64) -> String {
    format!("{:.1}%", part as f64 / whole.max(1) as f64 * 100.0)
}

/// A spread on an axis from 0 to `longest`: a line from the least to the greatest value, a box for the middle half, a mark for the
/// median, and one for par.
pub(super) fn spread(spread: Spread<u64>, par: Option<u64>, longest: u64) -> Markup {
    let x = |value: u64| percent(value.min(longest), longest);
    let label = format!(
        "from {} to {}, median {}",
        drill_time(spread.least),
        drill_time(spread.greatest),
        drill_time(spread.median)
    );
    html! {
        svg.box role="img" aria-label=(label) {
            line.range x1=(x(spread.least)) x2=(x(spread.greatest)) y1="50%" y2="50%" {}
            rect.half x=(x(spread.lower)) width=(percent(spread.upper - spread.lower, longest)) y="25%" height="50%" {}
            line.median x1=(x(spread.median)) x2=(x(spread.median)) y1="10%" y2="90%" {}
            @if let Some(par) = par.filter(|par| *par <= longest) { line.par x1=(x(par)) x2=(x(par)) y1="0" y2="100%" {} }
        }
    }
}

/// Seats by points, in ranges of ten.
pub(super) fn points(statistics: &Statistics) -> Markup {
    let most = statistics.points.iter().copied().max().unwrap_or_default().max(1);
    let bars: Vec<(usize, usize)> = statistics.points.iter().copied().enumerate().collect();
    let sentence: Vec<String> = bars
        .iter()
        .filter(|(_, seats)| *seats > 0)
        .map(|(range, seats)| {
            format!("{seats} from {} to {}", range * 10, range * 10 + if *range == 9 { 10 } else { 9 })
        })
        .collect();
    html! {
        svg.points role="img" aria-label={ "Seats by points: " (sentence.join(", ")) } {
            @for (range, seats) in &bars {
                @let height = seats * 70 / most;
                rect x={ (range * 10 + 1) "%" } width="8%" y={ (85 - height) "%" } height={ (height) "%" } {}
                @if *seats > 0 { text x={ (range * 10 + 5) "%" } y={ (82 - height) "%" } { (seats) } }
                text.axis x={ (range * 10 + 5) "%" } y="98%" { (range * 10) }
            }
        }
    }
}
