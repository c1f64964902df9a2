//! Chart as inline SVG that fills the width of the page. The drawing is stretched; labels are HTML beside it, so that they stay
//! readable at every width. Each chart has a description and a table with the same data.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::report::human;
use crate::report::plot::{Line, Plot};

/// Size of the drawing in SVG units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 160.0;
/// Maximum number of rows of alert bars.
const ALERT_ROWS: usize = 4;
/// Maximum number of rows of a chart's table.
const ROWS: usize = 40;

/// Lines and labels of one chart.
pub(super) struct Chart<'a> {
    id: &'static str,
    title: &'static str,
    /// Unit behind the values: `/s` or `ms`.
    unit: &'static str,
    lines: &'a [Line],
    /// The lines in fewer columns, for the table.
    table: &'a [Line],
    stacked: bool,
    /// CSS class for the name of a line.
    class: fn(&str) -> &'static str,
}

/// CSS class of a response: a status code or the cause of a transport error.
fn answer(name: &str) -> &'static str {
    match name {
        "refused" => "c6",
        "reset" => "c6b",
        "timeout" => "c6c",
        "connect timeout" => "c6d",
        // Of the callers in a drill.
        "succeeded" => "c2",
        "failed" => "c5",
        code => match code.as_bytes() {
            [b'1' | b'3', _, _] => "c3",
            [b'2', _, _] => "c2",
            b"401" => "c4",
            [b'4', _, _] => "c4b",
            b"502" => "c5",
            b"503" => "c5b",
            b"504" => "c5c",
            [b'5', _, _] => "c5d",
            _ => "c0",
        },
    }
}

/// CSS class of a key counter or a latency.
fn measure(name: &str) -> &'static str {
    match name {
        "accepted" | "median" => "c2",
        "p99" => "c3",
        "refused" => "c4",
        _ => "c0",
    }
}

/// Charts of a run. Measures without data are omitted.
pub(super) fn all<'a>(plot: &'a Plot, coarse: &'a Plot) -> impl Iterator<Item = Chart<'a>> {
    let all = [
        Chart {
            id: "chart-requests",
            title: "Responses to callers per second",
            unit: "/s",
            lines: &plot.answers,
            table: &coarse.answers,
            stacked: true,
            class: answer,
        },
        Chart {
            id: "chart-latency",
            title: "Latency for callers",
            unit: "ms",
            lines: &plot.latency,
            table: &coarse.latency,
            stacked: false,
            class: measure,
        },
        Chart {
            id: "chart-keys",
            title: "Keys accepted and refused by the app",
            unit: "/s",
            lines: &plot.keys,
            table: &coarse.keys,
            stacked: true,
            class: measure,
        },
    ];
    all.into_iter().filter(|chart| !chart.lines.is_empty())
}

impl Chart<'_> {
    /// The figure.
    pub(super) fn draw(&self, plot: &Plot, coarse: &Plot) -> Markup {
        // A margin makes the highest value recognisable as a peak.
        let top = nice(self.peak() * 1.04);
        html! {
            figure id=(self.id) {
                figcaption {
                    span.title { (self.title) }
                    span.legend { @for line in self.lines { span { i class=((self.class)(&line.name)) {} (line.name) } } }
                }
                div.plot {
                    div.y aria-hidden="true" { span { (amount(top, self.unit)) } span { (amount(top / 2.0, self.unit)) } span { "0" } }
                    div.area {
                        (numbers(plot))
                        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(self.sentence(plot)) {
                            (self.shapes(plot, top))
                        }
                        (ticks(plot.end))
                    }
                }
                details { summary { "Show as table" } (self.grid(coarse)) }
            }
        }
    }

    fn peak(&self) -> f64 {
        let columns = self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
        if !self.stacked {
            return self.lines.iter().map(Line::peak).fold(0.0, f64::max);
        }
        let sum = |column| self.lines.iter().filter_map(|line| line.values.get(column).copied().flatten()).sum::<f64>();
        (0..columns).map(sum).fold(0.0, f64::max)
    }

    /// Description for screen readers.
    fn sentence(&self, plot: &Plot) -> String {
        let peak = |line: &Line| format!("{} up to {}", line.name, amount(line.peak(), self.unit));
        let peaks: Vec<String> = self.lines.iter().map(peak).collect();
        let fired = plot.alerts.iter().filter(|alert| alert.firing);
        let fired = fired.fold(String::new(), |mut text, alert| {
            let (from, to) = (human::clock(alert.from), human::clock(alert.to));
            let _ = write!(text, " {} fires from {from} to {to}.", alert.name);
            text
        });
        format!("{} over the run: {}.{fired} The table below has the values.", self.title, peaks.join(", "))
    }

    fn shapes(&self, plot: &Plot, top: f64) -> Markup {
        let x = |seconds: f64| (seconds / plot.end).clamp(0.0, 1.0) * WIDTH;
        let mut out = String::new();
        if let Some((from, to)) = plot.outage {
            let (from, to) = (x(from), x(to));
            let _ =
                write!(out, r#"<rect class="outage" x="{from:.1}" width="{:.1}" y="0" height="{HEIGHT}"/>"#, to - from);
        }
        let _ = write!(out, r#"<path class="grid" d="M0 {0}H{WIDTH}M0 .5H{WIDTH}M0 {HEIGHT}H{WIDTH}"/>"#, HEIGHT / 2.0);
        let mut names: Vec<&str> = Vec::new();
        for alert in &plot.alerts {
            // Each alert has its own row; the last row is shared.
            let row = names.iter().position(|name| *name == alert.name).unwrap_or_else(|| {
                names.push(&alert.name);
                names.len() - 1
            });
            let y = row.min(ALERT_ROWS - 1) * 9;
            let (from, to) = (x(alert.from), x(alert.to));
            let class = if alert.firing { "firing" } else { "pending" };
            let width = (to - from).max(2.0);
            let _ = write!(out, r#"<rect class="{class}" x="{from:.1}" width="{width:.1}" y="{y}" height="7"/>"#);
        }
        let step = x(plot.width);
        if self.stacked {
            self.bars(&mut out, step, top);
        } else {
            self.steps(&mut out, step, top);
        }
        out.push_str(r#"<path class="mark" d=""#);
        for span in &plot.steps {
            let _ = write!(out, "M{:.1} 0V{HEIGHT}", x(span.from));
        }
        out.push_str(r#""/>"#);
        PreEscaped(out)
    }

    /// Draws stacked bars, one path per line.
    fn bars(&self, out: &mut String, step: f64, top: f64) {
        let columns = self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
        let mut floor = vec![0.0; columns];
        for line in self.lines {
            let _ = write!(out, r#"<path class="{}" d=""#, (self.class)(&line.name));
            for (column, value) in line.values.iter().enumerate() {
                let height = value.unwrap_or(0.0) / top * HEIGHT;
                if height < 0.05 {
                    continue;
                }
                floor[column] += height;
                let (x, y) = (offset(column) * step, HEIGHT - floor[column]);
                let _ = write!(out, "M{x:.1} {y:.1}h{step:.1}v{height:.1}h-{step:.1}z");
            }
            out.push_str(r#""/>"#);
        }
    }

    /// Draws a step line, with gaps for unknown values.
    fn steps(&self, out: &mut String, step: f64, top: f64) {
        for line in self.lines {
            let _ = write!(out, r#"<path class="{} line" d=""#, (self.class)(&line.name));
            let mut pen = false;
            for (column, value) in line.values.iter().enumerate() {
                let Some(value) = value else {
                    pen = false;
                    continue;
                };
                let (x, y) = (offset(column) * step, HEIGHT - value / top * HEIGHT);
                let _ = if pen {
                    write!(out, "V{y:.1}H{:.1}", x + step)
                } else {
                    write!(out, "M{x:.1} {y:.1}H{:.1}", x + step)
                };
                pen = true;
            }
            out.push_str(r#""/>"#);
        }
    }

    fn grid(&self, coarse: &Plot) -> Markup {
        let rows = self.table.iter().map(|line| line.values.len()).max().unwrap_or(0);
        let value = |line: &Line, row: usize| {
            line.values.get(row).copied().flatten().map_or_else(|| "-".to_owned(), |value| amount(value, self.unit))
        };
        html! {
            div.scroll tabindex="0" role="region" aria-label=(self.title) {
                table {
                    thead { tr { th scope="col" { "from" } @for line in self.table { th.n scope="col" { (line.name) } } } }
                    tbody {
                        @for row in 0..rows {
                            tr {
                                th scope="row" { (human::clock(offset(row) * coarse.width)) }
                                @for line in self.table { td.n { (value(line, row)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Reduces a plot to the columns of a table.
pub(super) fn coarse(plot: &Plot) -> Plot {
    plot.coarser(ROWS)
}

#[expect(clippy::cast_precision_loss, reason = "there are at most a few hundred columns")]
fn offset(column: usize) -> f64 {
    column as f64
}

fn amount(value: f64, unit: &str) -> String {
    match unit {
        "ms" => human::millis(value),
        unit if value >= 100.0 => format!("{value:.0}{unit}"),
        unit => format!("{}{unit}", human::number((value * 10.0).round() / 10.0)),
    }
}

/// Rounds up to 1, 2, 2.5 or 5 times a power of ten; 1 for 0.
fn nice(peak: f64) -> f64 {
    if peak <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(peak.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= peak).unwrap_or(peak)
}

/// Step numbers above the drawing, at the start of each step. They are staggered if they would overlap, and omitted
/// if no level is free.
fn numbers(plot: &Plot) -> Markup {
    const LEVELS: usize = 3;
    const TOPS: [&str; LEVELS] = ["1.45rem", ".7rem", "-.05rem"];
    const GAP: f64 = 5.5;
    let mut ends = [f64::NEG_INFINITY; LEVELS];
    let mut marks = Vec::new();
    for (index, span) in plot.steps.iter().enumerate() {
        let left = (span.from / plot.end * 100.0).clamp(0.0, 97.0);
        if let Some(level) = ends.iter().position(|end| *end <= left) {
            ends[level] = left + GAP;
            marks.push((index + 1, level, left, span));
        }
    }
    // Positions are attributes of SVG, because a server may forbid inline styles.
    html! {
        svg.steps aria-hidden="true" {
            @for (number, level, left, span) in marks {
                svg.(span.phase) x=(format!("{left:.2}%")) y=(TOPS[level]) {
                    title { (span.name) }
                    (PreEscaped(format!(r#"<rect width="{}rem" height=".8rem" rx=".2rem"/>"#, if number < 10 { 1.0 } else { 1.3 })))
                    text x=(if number < 10 { ".5rem" } else { ".65rem" }) y=".63rem" { (number) }
                }
            }
        }
    }
}

/// Time labels below the drawing.
fn ticks(end: f64) -> Markup {
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0];
    let step = steps.into_iter().find(|step| end / step <= 6.0).unwrap_or(end / 4.0);
    let times = (0..8).map(|index| f64::from(index) * step).take_while(|at| *at < end * 0.97);
    html! {
        svg.x aria-hidden="true" {
            @for at in times { text x=(format!("{:.2}%", at / end * 100.0)) y=".9rem" { (human::clock(at)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{answer, measure};
    use lab_traffic::Cause;

    #[test]
    fn stacked_responses_have_different_colours() {
        let codes = ["200", "304", "401", "429", "500", "502", "503", "504"];
        let causes = [Cause::Refused, Cause::Reset, Cause::Timeout, Cause::Connect, Cause::Dns].map(Cause::name);
        let mut classes: Vec<&str> = codes.into_iter().chain(causes).map(answer).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), codes.len() + causes.len(), "{classes:?}");
        let style = include_str!("style.css");
        for class in classes {
            assert!(style.contains(&format!("path.{class}{{")) && style.contains(&format!("i.{class}{{")), "{class}");
            // Light, dark and print.
            assert_eq!(style.matches(&format!("--{class}:#")).count(), 3, "{class}");
        }
        assert_ne!(measure("accepted"), measure("refused"));
    }
}
