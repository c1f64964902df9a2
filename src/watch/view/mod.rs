//! [`draw`]: the model on a frame. A screen that is too small for the charts gets the same in words, and one that is too
//! small for those is told what it takes.

use ratatui_core::layout::Rect;
use ratatui_core::terminal::Frame;

use super::model::{Known, Model, Page};
use super::seen::{Alarms, Sight, Up};
use lab_core::engine::{Health, RunState, ServiceStatus};
use lab_report::report::{human, keys};
use lab_report::term::{Tone, masked};
use lab_telemetry::live::Point;

mod chart;
mod help;
mod panels;
mod pen;
mod words;

use chart::Measure;
use pen::{Pen, Piece};

/// What the charts take.
const FULL: (u16, u16) = (60, 18);
/// What the words take.
const LEAST: (u16, u16) = (30, 6);
/// Rows of remarks; each is told in full by `lab status`.
const REMARKS: usize = 2;
/// From so many rows on there is room for all of them.
const ROOMY: u16 = 30;
/// The columns between two panels.
const GAP: u16 = 1;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let mut pen = Pen::new(frame.buffer_mut(), model.about.colour);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        pen.text(
            area,
            &format!("lab watch needs {} x {}, here are {} x {}", LEAST.0, LEAST.1, area.width, area.height),
        );
        return;
    }
    let body = Rect { height: area.height - 1, ..area };
    let bottom = Rect { y: area.y + body.height, height: 1, ..area };
    if area.width < FULL.0 || area.height < FULL.1 {
        words::draw(&mut pen, body, model);
    } else {
        full(&mut pen, body, model);
    }
    footer(&mut pen, bottom, model);
    if model.help {
        help::draw(&mut pen, body);
    }
}

/// Heads, then what the page says.
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

/// Some of everything: a third for each of charts, steps and log, in whole rows.
fn overview(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let charted = (area.height * 36 / 100).clamp(5, 14);
    charts(pen, top(area, charted), model, [Measure::Requests, Measure::Accepted, Measure::Refused]);
    let area = below(area, charted);
    let told = (area.height * 54 / 100).max(4);
    let middle = top(area, told);
    if model.shown().alerts == Alarms::Nobody {
        panels::steps(pen, middle, model);
    } else {
        let width = middle.width * 57 / 100;
        panels::steps(pen, Rect { width, ..middle }, model);
        let (x, width) = (middle.x + width + GAP, middle.width - width - GAP);
        panels::alerts(pen, Rect { x, width, ..middle }, model);
    }
    panels::log(pen, below(area, told), model);
}

/// Three side by side.
fn charts(pen: &mut Pen<'_>, area: Rect, model: &Model, measures: [Measure; 3]) {
    let width = (area.width - 2 * GAP) / 3;
    for (index, measure) in (0..).zip(measures) {
        let x = area.x + index * (width + GAP);
        // What does not divide goes to the last.
        let width = if index == 2 { area.right() - x } else { width };
        chart::draw(pen, Rect { x, width, ..area }, model, measure);
    }
}

/// What lab this is, its services, its keys and what there is to remark; what is left is returned.
fn heads(pen: &mut Pen<'_>, area: Rect, model: &Model) -> Rect {
    let mut rows = lab_rows(model, |up| {
        let most = if area.height < ROOMY { 1 } else { REMARKS };
        let remarks = up.remarks.iter().take(most).map(|remark| vec![(Tone::Warn, cut(remark, area.width))]);
        std::iter::once(services(up)).chain(key_rows(up)).chain(remarks).collect()
    });
    // The charts need their room.
    rows.truncate(usize::from(area.height.saturating_sub(13)).max(3));
    for (y, row) in (area.y..).zip(&rows) {
        pen.row(Rect { y, height: 1, ..area }, row);
    }
    let clock = model.clock(model.shown().now);
    pen.right(top(area, 1), &[(Tone::Dim, clock)]);
    below(area, u16::try_from(rows.len()).unwrap_or(area.height))
}

/// A remark in one row; one that is cut off says so.
fn cut(remark: &str, width: u16) -> String {
    let width = usize::from(width);
    if remark.chars().count() <= width {
        return remark.to_owned();
    }
    let head: String = remark.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

/// What lab this is and whether it is there; of one that is up, what `of` tells.
fn lab_rows(model: &Model, of: impl FnOnce(&Up) -> Vec<Vec<Piece>>) -> Vec<Vec<Piece>> {
    let mut rows = vec![title(model)];
    match &model.shown().lab {
        Sight::Unseen => rows.push(vec![(Tone::Dim, "looking at it".to_owned())]),
        Sight::Away(why) => rows.push(away(model, why)),
        Sight::Up(up) => rows.extend(of(up)),
    }
    rows
}

fn title(model: &Model) -> Vec<Piece> {
    let place = match &model.shown().lab {
        Sight::Up(up) if up.gateway.is_empty() => format!(" · {}", up.engine),
        Sight::Up(up) => format!(" · {} · {}", up.engine, up.gateway),
        _ => String::new(),
    };
    vec![(Tone::Strong, format!("lab {}", model.about.lab)), (Tone::Plain, place)]
}

fn away(model: &Model, why: &str) -> Vec<Piece> {
    let command = format!("; waiting for it to come back (lab up{})", model.about.option);
    vec![(Tone::Failed, why.to_owned()), (Tone::Plain, command)]
}

fn services(up: &Up) -> Vec<Piece> {
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

fn key_rows(up: &Up) -> Vec<Vec<Piece>> {
    let lines = up.keys.as_ref().map(keys).unwrap_or_default();
    lines
        .into_iter()
        .map(|(same, line)| vec![(if same { Tone::Plain } else { Tone::Failed }, masked(&line).into_owned())])
        .collect()
}

/// The keys that do something.
fn footer(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let only = model.only.as_deref().unwrap_or("all");
    let keys = [
        ("q", "quit".to_owned()),
        ("?", "help".to_owned()),
        ("p", if model.is_paused() { "go on" } else { "pause" }.to_owned()),
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

/// What the app says of itself now.
fn now(known: &Known, of: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
    known.feed.points().next_back().and_then(of)
}

/// A number of requests in a second.
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
