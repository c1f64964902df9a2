//! Drawing of the model on a frame. Screens that are too small for charts get a text view, and tiny ones a message with
//! the required size.

use ratatui_core::layout::Rect;
use ratatui_core::terminal::Frame;

use super::model::{Known, Model, Page};
use super::snapshot::{AlertView, LabState, RunningLab};
use lab_core::engine::{Health, Roles, RunState, ServiceStatus};
use lab_report::report::{describe_keys, human};
use lab_report::term::{Tone, masked};
use lab_telemetry::live::{Headline, Level, PathState, Point};

mod chart;
pub(super) mod drill;
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
const GAP: u16 = 2;
/// Charts side by side.
const COLUMNS: u16 = 4;
/// Charts of what callers get at the gateway.
const EDGE: [Measure; 4] = [Measure::Answered, Measure::Rejected, Measure::Failed, Measure::Wait];

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
            let rows = [
                EDGE.as_slice(),
                &[Measure::Requests, Measure::Accepted, Measure::Refused, Measure::Share],
                &[Measure::Errors, Measure::Latency],
            ];
            let height = rest.height / 3;
            for (index, row) in (0..).zip(rows) {
                charts(pen, top(below(rest, index * height), height), model, row);
            }
        }
        Page::Steps => panels::steps(pen, rest, model),
        Page::Logs => panels::log(pen, rest, model),
    }
}

/// Draws about a third each of charts, steps and log.
fn overview(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let charted = (area.height * 36 / 100).clamp(5, 14);
    // A stack that does not count at the gateway has the app's charts instead.
    let counted = model.shown().feed.points().any(|point| point.edge_up);
    let without = [Measure::Requests, Measure::Refused, Measure::Errors, Measure::Latency];
    charts(pen, top(area, charted), model, if counted { &EDGE } else { &without });
    let area = below(area, charted);
    let upper = (area.height * 54 / 100).max(4);
    let middle = top(area, upper);
    if model.shown().alerts == AlertView::NotEvaluated {
        panels::steps(pen, middle, model);
    } else {
        let width = middle.width * 52 / 100;
        panels::steps(pen, Rect { width, ..middle }, model);
        let (x, width) = (middle.x + width + GAP, middle.width - width - GAP);
        panels::alerts(pen, Rect { x, width, ..middle }, model);
    }
    panels::log(pen, below(area, upper), model);
}

/// Draws up to four charts side by side. All have the same width, so that all have the same time axis.
fn charts(pen: &mut Pen<'_>, area: Rect, model: &Model, measures: &[Measure]) {
    let width = (area.width - (COLUMNS - 1) * GAP) / COLUMNS;
    for (index, measure) in (0..COLUMNS).zip(measures) {
        let x = area.x + index * (width + GAP);
        chart::draw(pen, Rect { x, width, ..area }, model, *measure);
    }
}

/// Draws lab, services, keys and remarks. Returns the area below.
fn heads(pen: &mut Pen<'_>, area: Rect, model: &Model) -> Rect {
    let mut rows = lab_rows(model, |up| {
        let most = if area.height < ROOMY { 1 } else { REMARKS };
        let remarks = up.remarks.iter().take(most).map(|remark| vec![(Tone::Warn, truncate(remark, area.width))]);
        let path = path(model, up);
        let own = [headline(&path), map(&path)].into_iter().chain(services(up, area.width));
        own.chain(key_rows(up)).chain(remarks).collect()
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

/// Truncates a text to one row with an ellipsis.
fn truncate(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let head: String = text.chars().take(width.saturating_sub(1)).collect();
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

/// What is known about the request path.
fn path<'a>(model: &'a Model, up: &'a RunningLab) -> PathState<'a> {
    let state = |name: &str| up.services.iter().find(|service| service.name == name).map(|it| it.state.name());
    let Roles { gateway, app, db, .. } = &up.roles;
    let point = model.shown().feed.points().next_back();
    PathState { point, gateway: state(gateway), app: state(app), db: state(db) }
}

/// What callers get, in one sentence.
fn headline(path: &PathState<'_>) -> Vec<Piece> {
    let Headline { level, text } = path.headline();
    vec![(level_tone(level), text)]
}

/// Request path with the state of each hop.
fn map(path: &PathState<'_>) -> Vec<Piece> {
    let mut row = Vec::new();
    for hop in path.hops() {
        if row.is_empty() {
            row.push((Tone::Plain, format!("{} ", hop.from)));
        }
        row.push((level_tone(hop.level), format!("─{}─▶", hop.text)));
        row.push((Tone::Plain, format!(" {} ", hop.to)));
    }
    row
}

fn level_tone(level: Level) -> Tone {
    match level {
        Level::Good => Tone::Good,
        Level::Warn => Tone::Warn,
        Level::Bad => Tone::Failed,
        Level::Idle => Tone::Dim,
    }
}

/// Services with their states, in as many rows as they need.
fn services(up: &RunningLab, width: u16) -> Vec<Vec<Piece>> {
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    let mut used = 0;
    for service in &up.services {
        let length = service.name.chars().count() + 1 + service.word().len();
        if rows.is_empty() || used + 3 + length > usize::from(width) {
            rows.push(Vec::new());
            used = 0;
        }
        let Some(row) = rows.last_mut() else { continue };
        let gap = if used == 0 { "" } else { "   " };
        used += gap.len() + length;
        row.push((Tone::Plain, format!("{gap}{} ", service.name)));
        row.push((tone(service), service.word().to_owned()));
    }
    rows
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
