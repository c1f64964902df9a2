//! Drawing of the model on a frame. Screens that are too small for charts get a text view, and tiny ones a message with
//! the required size.

use ratatui_core::layout::Rect;
use ratatui_core::terminal::Frame;

use super::model::{Known, Model, Page};
use super::snapshot::{AlertView, LabState, RunningLab};
use lab_core::engine::{Health, RunState, ServiceStatus};
use lab_report::report::{describe_keys, human};
use lab_report::term::{Tone, masked};
use lab_telemetry::live::Point;

mod chart;
mod help;
mod panels;
mod pen;
mod summary;

use chart::Measure;
use pen::{Pen, Piece};

/// Minimum size for charts.
const FULL: (u16, u16) = (60, 18);
/// Minimum size for the text view.
const MINIMUM: (u16, u16) = (30, 6);
/// Maximum number of remarks. `lab status` shows all of them in full.
const REMARKS: usize = 2;
/// Minimum height for more than one remark.
const ROOMY: u16 = 30;
/// Columns between two panels.
const GAP: u16 = 1;

/// Draws the view.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let mut pen = Pen::new(frame.buffer_mut(), model.about.colour);
    if area.width < MINIMUM.0 || area.height < MINIMUM.1 {
        pen.text(
            area,
            &format!(
                "lab watch needs {} x {}, this terminal has {} x {}",
                MINIMUM.0, MINIMUM.1, area.width, area.height
            ),
        );
        return;
    }
    let body = Rect { height: area.height - 1, ..area };
    let bottom = Rect { y: area.y + body.height, height: 1, ..area };
    if area.width < FULL.0 || area.height < FULL.1 {
        summary::draw(&mut pen, body, model);
    } else {
        full(&mut pen, body, model);
    }
    footer(&mut pen, bottom, model);
    if model.help {
        help::draw(&mut pen, body);
    }
}

/// Draws the head and the page.
fn full(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let rest = heads(pen, area, model);
    match model.page {
        Page::Overview => overview(pen, rest, model),
        Page::Charts => {
            let (above, below) = (top(rest, rest.height / 2), below(rest, rest.height / 2));
            charts(pen, above, model, [Measure::Requests, Measure::Accepted, Measure::Refused]);
            charts(pen, below, model, [Measure::Errors, Measure::Share, Measure::Latency]);
        }
        Page::Steps => panels::steps(pen, rest, model),
        Page::Logs => panels::log(pen, rest, model),
    }
}

/// Draws about a third each of charts, steps and log.
fn overview(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let charted = (area.height * 36 / 100).clamp(5, 14);
    charts(pen, top(area, charted), model, [Measure::Requests, Measure::Accepted, Measure::Refused]);
    let area = below(area, charted);
    let upper = (area.height * 54 / 100).max(4);
    let middle = top(area, upper);
    if model.shown().alerts == AlertView::NotEvaluated {
        panels::steps(pen, middle, model);
    } else {
        let width = middle.width * 57 / 100;
        panels::steps(pen, Rect { width, ..middle }, model);
        let (x, width) = (middle.x + width + GAP, middle.width - width - GAP);
        panels::alerts(pen, Rect { x, width, ..middle }, model);
    }
    panels::log(pen, below(area, upper), model);
}

/// Draws three charts side by side.
fn charts(pen: &mut Pen<'_>, area: Rect, model: &Model, measures: [Measure; 3]) {
    let width = (area.width - 2 * GAP) / 3;
    for (index, measure) in (0..).zip(measures) {
        let x = area.x + index * (width + GAP);
        // The last one gets the remainder.
        let width = if index == 2 { area.right() - x } else { width };
        chart::draw(pen, Rect { x, width, ..area }, model, measure);
    }
}

/// Draws lab, services, keys and remarks. Returns the area below.
fn heads(pen: &mut Pen<'_>, area: Rect, model: &Model) -> Rect {
    let mut rows = lab_rows(model, |up| {
        let most = if area.height < ROOMY { 1 } else { REMARKS };
        let remarks = up.remarks.iter().take(most).map(|remark| vec![(Tone::Warn, truncate(remark, area.width))]);
        std::iter::once(services(up)).chain(key_rows(up)).chain(remarks).collect()
    });
    // Charts need the rest of the height.
    rows.truncate(usize::from(area.height.saturating_sub(13)).max(3));
    for (y, row) in (area.y..).zip(&rows) {
        pen.row(Rect { y, height: 1, ..area }, row);
    }
    let clock = model.clock(model.shown().now);
    pen.right(top(area, 1), &[(Tone::Dim, clock)]);
    below(area, u16::try_from(rows.len()).unwrap_or(area.height))
}

/// Truncates a remark to one row with an ellipsis.
fn truncate(remark: &str, width: u16) -> String {
    let width = usize::from(width);
    if remark.chars().count() <= width {
        return remark.to_owned();
    }
    let head: String = remark.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

/// Rows for the name and state of the lab, followed by the rows of `describe` if it is up.
fn lab_rows(model: &Model, describe: impl FnOnce(&RunningLab) -> Vec<Vec<Piece>>) -> Vec<Vec<Piece>> {
    let mut rows = vec![title(model)];
    match &model.shown().lab {
        LabState::Unknown => rows.push(vec![(Tone::Dim, "loading".to_owned())]),
        LabState::Unavailable(why) => rows.push(away(model, why)),
        LabState::Up(up) => rows.extend(describe(up)),
    }
    rows
}

fn title(model: &Model) -> Vec<Piece> {
    let place = match &model.shown().lab {
        LabState::Up(up) if up.gateway.is_empty() => format!(" · {}", up.engine),
        LabState::Up(up) => format!(" · {} · {}", up.engine, up.gateway),
        _ => String::new(),
    };
    vec![(Tone::Strong, format!("lab {}", model.about.lab)), (Tone::Plain, place)]
}

fn away(model: &Model, why: &str) -> Vec<Piece> {
    let command = format!("; waiting for the lab (start it with lab up{})", model.about.option);
    vec![(Tone::Failed, why.to_owned()), (Tone::Plain, command)]
}

fn services(up: &RunningLab) -> Vec<Piece> {
    let mut row = Vec::new();
    for service in &up.services {
        let gap = if row.is_empty() { "" } else { "   " };
        row.push((Tone::Plain, format!("{gap}{} ", service.name)));
        row.push((tone(service), service.word().to_owned()));
    }
    row
}

/// The colour of a service's word.
fn tone(service: &ServiceStatus) -> Tone {
    match (service.state, service.health) {
        (RunState::Running, Health::Healthy) => Tone::Good,
        (RunState::Running, Health::Unchecked) => Tone::Plain,
        (RunState::Paused, _) | (RunState::Running, Health::Starting) => Tone::Warn,
        (RunState::Running, Health::Unhealthy) | (RunState::Stopped, _) => Tone::Failed,
    }
}

fn key_rows(up: &RunningLab) -> Vec<Vec<Piece>> {
    let lines = up.keys.as_ref().map(describe_keys).unwrap_or_default();
    lines
        .into_iter()
        .map(|(same, line)| vec![(if same { Tone::Plain } else { Tone::Failed }, masked(&line).into_owned())])
        .collect()
}

/// Draws the keys.
fn footer(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let only = model.only.as_deref().unwrap_or("all");
    let keys = [
        ("q", "quit".to_owned()),
        ("?", "help".to_owned()),
        ("p", if model.is_paused() { "resume" } else { "pause" }.to_owned()),
        ("tab", model.page.name().to_owned()),
        ("l", format!("log {only}")),
        ("r", format!("range {}", model.range.name())),
    ];
    let mut row = Vec::new();
    for (key, does) in keys {
        row.push((Tone::Strong, format!(" {key} ")));
        row.push((Tone::Dim, format!("{does} ")));
    }
    pen.row(area, &row);
    if model.is_paused() {
        pen.badge(area, " paused ");
    }
}

/// Current value of a metric of the app.
fn now(known: &Known, of: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
    known.feed.points().next_back().and_then(of)
}

/// Formats requests per second.
fn rate(value: f64) -> String {
    if value >= 9.95 { format!("{value:.0}") } else { human::number((value * 10.0).round() / 10.0) }
}

fn top(area: Rect, height: u16) -> Rect {
    Rect { height: height.min(area.height), ..area }
}

fn below(area: Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    Rect { y: area.y + height, height: area.height - height, ..area }
}
