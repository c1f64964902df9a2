//! Bar charts. Each column shows the highest value of a few seconds, so that short outages stay visible. Columns in which the
//! app did not answer are shaded, and faults and fixes of runs are marked below.

use chrono::{DateTime, Utc};
use ratatui_core::layout::Rect;

use super::pen::{Pen, Piece};
use super::{below, rate, top};
use crate::watch::model::Model;
use lab_core::event::Phase;
use lab_report::report::human;
use lab_report::term::Tone;
use lab_telemetry::live::Point;

/// Bars from empty to a full row.
const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Shade of a column in which the app did not answer.
const GONE: &str = "░";

/// Displayed metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Responses to callers with a status below 400.
    Answered,
    /// Responses to callers with a 4xx status.
    Rejected,
    /// Responses to callers with a 5xx status, and callers that gave up.
    Failed,
    /// 99th percentile of the latency for callers.
    Wait,
    /// Requests at the app, like everything below.
    Requests,
    Accepted,
    Refused,
    /// Responses with a 5xx status.
    Errors,
    /// Share of refused keys.
    Share,
    Latency,
}

impl Measure {
    fn title(self) -> &'static str {
        match self {
            Self::Answered => "2xx/s",
            Self::Rejected => "4xx/s",
            Self::Failed => "5xx/s",
            Self::Wait => "p99",
            Self::Requests => "app req/s",
            Self::Accepted => "auth ok/s",
            Self::Refused => "auth fail/s",
            Self::Errors => "app 5xx/s",
            Self::Share => "refused",
            Self::Latency => "app p99",
        }
    }

    fn value(self, point: &Point) -> Option<f64> {
        match self {
            Self::Answered => point.edge.as_ref().map(|edge| edge.class('2') + edge.class('3')),
            Self::Rejected => point.edge.as_ref().map(|edge| edge.class('4')),
            Self::Failed => point.edge.as_ref().map(|edge| edge.class('5')),
            Self::Wait => point.edge.as_ref().and_then(|edge| edge.p99),
            Self::Requests => point.requests,
            Self::Accepted => point.accepted,
            Self::Refused => point.refused,
            Self::Errors => {
                let errors = point.codes.iter().filter(|(code, _)| code.starts_with('5'));
                point.requests.map(|_| errors.map(|(_, rate)| rate).sum())
            }
            Self::Share => point.ratio,
            Self::Latency => point.p99,
        }
    }

    /// Returns true if the service that counts it answered.
    fn is_known(self, point: &Point) -> bool {
        match self {
            Self::Answered | Self::Rejected | Self::Failed | Self::Wait => point.edge_up,
            Self::Requests | Self::Accepted | Self::Refused | Self::Errors | Self::Share | Self::Latency => point.up,
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Requests | Self::Latency | Self::Wait => Tone::Plain,
            Self::Answered | Self::Accepted => Tone::Good,
            Self::Rejected => Tone::Warn,
            Self::Failed | Self::Refused | Self::Errors | Self::Share => Tone::Failed,
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::Share => format!("{}%", human::number((value * 1000.0).round() / 10.0)),
            Self::Latency | Self::Wait => human::millis(value),
            Self::Answered
            | Self::Rejected
            | Self::Failed
            | Self::Requests
            | Self::Accepted
            | Self::Refused
            | Self::Errors => rate(value),
        }
    }
}

/// Data of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Column {
    /// At least one snapshot was taken.
    observed: bool,
    /// The metrics were not available at least once.
    unavailable: bool,
    /// The highest value.
    high: Option<f64>,
}

/// Mapping of times to columns of whole seconds. The last column is now.
struct Scale {
    /// Seconds per column.
    step: i64,
    /// Number of the last column since the epoch.
    last: i64,
    width: u16,
}

impl Scale {
    fn new(model: &Model, width: u16) -> Self {
        let range = model.range.seconds().div_ceil(u32::from(width.max(1)));
        // At least the refresh interval, so that no column is empty.
        let refresh = model.about.refresh.as_secs_f64().ceil();
        #[expect(clippy::cast_possible_truncation, reason = "a whole number, an hour at most")]
        let step = i64::from(range).max(refresh as i64).max(1);
        Self { step, last: model.shown().now.timestamp().div_euclid(step), width }
    }

    /// Column of a time, if it is visible.
    fn place(&self, at: DateTime<Utc>) -> Option<u16> {
        let from_right = self.last - at.timestamp().div_euclid(self.step);
        u16::try_from(from_right).ok().filter(|it| *it < self.width).map(|it| self.width - 1 - it)
    }

    /// Start of the first column.
    fn start(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp((self.last + 1 - i64::from(self.width)) * self.step, 0)
    }
}

/// Draws the name, current value, bars and marks of a metric.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model, measure: Measure) {
    if area.height < 3 || area.width < 4 {
        return;
    }
    let scale = Scale::new(model, area.width);
    let columns = columns(model, &scale, measure);
    let peak = columns.iter().filter_map(|column| column.high).reduce(f64::max);
    let value = super::now(model.shown(), |point| measure.value(point));
    let shown = value.map_or_else(|| "-".to_owned(), |value| measure.shown(value));
    let name = vec![(Tone::Plain, format!("{} ", measure.title())), (Tone::Strong, shown)];
    pen.row(area, &name);
    if let Some(peak) = peak {
        pen.right(top(area, 1), &[(Tone::Dim, format!("peak {}", measure.shown(peak)))]);
    }
    let plot = Rect { height: area.height - 2, ..below(area, 1) };
    let full = if measure == Measure::Share { 1.0 } else { peak.unwrap_or_default() };
    bars(pen, plot, &columns, full, measure.tone());
    axis(pen, below(area, area.height - 1), model, &scale, &columns);
}

fn columns(model: &Model, scale: &Scale, measure: Measure) -> Vec<Column> {
    let mut columns = vec![Column::default(); usize::from(scale.width)];
    for point in model.shown().feed.points() {
        let place = DateTime::from_timestamp_millis(point.t).and_then(|at| scale.place(at));
        let Some(column) = place.and_then(|place| columns.get_mut(usize::from(place))) else { continue };
        column.observed = true;
        column.unavailable |= !measure.is_known(point);
        if let Some(value) = measure.value(point) {
            column.high = Some(column.high.map_or(value, |high| high.max(value)));
        }
    }
    columns
}

fn bars(pen: &mut Pen<'_>, area: Rect, columns: &[Column], full: f64, tone: Tone) {
    let (bar, gone) = (pen.style(tone), pen.style(Tone::Dim));
    for (x, column) in (area.x..area.right()).zip(columns) {
        let level = column.high.map_or(0, |value| level(value, full, area.height));
        for (row, y) in (0_u16..).zip((area.y..area.bottom()).rev()) {
            let here = level.saturating_sub(row * 8).min(8);
            if here > 0 {
                pen.mark(x, y, BARS[usize::from(here)], bar);
            } else if column.unavailable {
                pen.mark(x, y, GONE, gone);
            }
        }
    }
}

/// Height of a bar in eighths of a row; at least one if the value is not 0.
fn level(value: f64, full: f64, rows: u16) -> u16 {
    if value <= 0.0 || !value.is_finite() || full <= 0.0 {
        return 0;
    }
    let most = rows.saturating_mul(8);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of eighths")]
    let level = ((value / full).clamp(0.0, 1.0) * f64::from(most)).round() as u16;
    level.max(1)
}

/// Draws a line below observed columns, the start time, and marks of faults and fixes.
fn axis(pen: &mut Pen<'_>, area: Rect, model: &Model, scale: &Scale, columns: &[Column]) {
    let dim = pen.style(Tone::Dim);
    for (x, column) in (area.x..area.right()).zip(columns) {
        if column.observed {
            pen.mark(x, area.y, "─", dim);
        }
    }
    if let Some(start) = scale.start() {
        pen.row(area, &[(Tone::Dim, model.clock(start))] as &[Piece]);
    }
    for (at, phase) in &model.shown().runs.marks {
        let tone = if *phase == Phase::Inject { Tone::Failed } else { Tone::Good };
        if let Some(place) = scale.place(*at) {
            let style = pen.style(tone);
            pen.mark(area.x + place, area.y, "▲", style);
        }
    }
}
