//! Charts as inline SVG. The drawing is stretched to the width of the page; labels are HTML beside it.

use std::fmt::Write as _;

use lab_drill::drill_time;
use lab_drill::fold::PublicSecond;
use maud::{Markup, PreEscaped, html};

use crate::view::curve::Curve;

/// Seconds of the callers' chart.
const SECONDS: usize = 120;
/// Seconds of the callers' current success.
const WINDOW: usize = 10;
/// Height of the drawings in SVG units.
const HEIGHT: usize = 40;

/// Share of the requests that succeeded, in percent. `None` without any request.
pub(super) fn percent(sent: u32, succeeded: u32) -> Option<u32> {
    let percent = u64::from(succeeded) * 100 / u64::from(sent.max(1));
    (sent > 0).then(|| u32::try_from(percent).unwrap_or(100))
}

/// Share of the last ten seconds' requests that succeeded.
pub(super) fn current(seconds: &[PublicSecond]) -> Option<u32> {
    let last = &seconds[seconds.len().saturating_sub(WINDOW)..];
    let sum = last.iter().fold((0, 0), |sum, second| (sum.0 + second.sent, sum.1 + second.succeeded));
    percent(sum.0, sum.1)
}

/// The callers' requests of the last two minutes: a bar per second, with what succeeded below what failed.
pub(super) fn callers(seconds: &[PublicSecond]) -> Markup {
    let shown = &seconds[seconds.len().saturating_sub(SECONDS)..];
    let peak = shown.iter().map(|second| second.sent).max().unwrap_or_default().max(1);
    let height = |count: u32| f64::from(count) / f64::from(peak) * 40.0;
    let columns = shown.iter().map(|second| {
        let (good, all) = (height(second.succeeded), height(second.sent));
        [(40.0 - good, good), (40.0 - all, all - good)]
    });
    let [good, bad] = paths(SECONDS - shown.len(), columns);
    let label = match current(seconds) {
        Some(now) => format!("Callers' requests of the last two minutes. In the last ten seconds, {now} % succeeded."),
        None => "Callers' requests of the last two minutes. There were none in the last ten seconds.".to_owned(),
    };
    html! {
        div.plot {
            svg viewBox=(format!("0 0 {SECONDS} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                path.grid d=(format!("M0 {HEIGHT}H{SECONDS}M0 {}H{SECONDS}", HEIGHT / 2)) {}
                (PreEscaped(format!(r#"<path class="good" d="{good}"/><path class="bad" d="{bad}"/>"#)))
            }
            div.x aria-hidden="true" { span { "2 min ago" } span { "1 min" } span { "now" } }
        }
    }
}

/// Paths of stacked bars, one per column from `first` on. Each bar has its upper end and its height; equal neighbours are one bar.
fn paths(first: usize, columns: impl Iterator<Item = [(f64, f64); 2]>) -> [String; 2] {
    let columns: Vec<[(f64, f64); 2]> = columns.collect();
    [0, 1].map(|series| {
        let mut path = String::new();
        let mut x = first;
        for same in columns.chunk_by(|one, other| one[series] == other[series]) {
            let (y, height) = same[0][series];
            let width = same.len();
            if height > 0.0 {
                let _ = write!(path, "M{x} {y:.1}h{width}v{height:.1}h-{width}z");
            }
            x += width;
        }
        path
    })
}

/// How many seats' users are served over time: an area for those that are, and one above it for those that are not.
pub(super) fn curve(curve: &Curve) -> Markup {
    let (columns, seats) = (curve.steps.len().max(1), curve.seats.max(1));
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let steps = curve.steps.iter().map(|step| {
        let (good, bad) = (number(step.served), number(step.failing));
        [(number(seats) - good, good), (number(seats) - good - bad, bad)]
    });
    let [good, bad] = paths(0, steps);
    let end = curve.step * u64::try_from(columns).unwrap_or_default();
    let label = format!("Seats whose users are served, over drill time. Now {} of {}.", curve.now.served, curve.seats);
    html! {
        div.plot.curve {
            div.y aria-hidden="true" { span { (curve.seats) } span { (curve.seats / 2) } span { "0" } }
            svg viewBox=(format!("0 0 {columns} {seats}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                (PreEscaped(format!(r#"<path class="good" d="{good}"/><path class="bad" d="{bad}"/>"#)))
            }
            div.x aria-hidden="true" { span { "0:00" } span { (drill_time(end / 2)) } span { (drill_time(end)) } }
        }
    }
}
