//! Drawing of a drill: clock, callers, services, messages, and what is due.

use ratatui_core::layout::Rect;
use ratatui_core::terminal::Frame;

use super::pen::{Pen, Piece};
use super::{MINIMUM, below, top};
use crate::watch::drill::DrillSnapshot;
use lab_drill::fold::PublicCaller;
use lab_drill::messages::Message;
use lab_report::report::spark::sparkline;
use lab_report::report::{human, short_id, text};
use lab_report::term::Tone;

/// Width of the bar of a caller's success.
const BAR: usize = 20;
/// Width of the columns before the bar and the sparkline.
const LEFT: usize = 22;
/// Width of the column with the times of messages.
const TIME: usize = 9;

/// Draws the view. Without a snapshot, nothing was read yet.
pub(crate) fn draw(frame: &mut Frame<'_>, snapshot: Option<&DrillSnapshot>, colour: bool, option: &str) {
    let area = frame.area();
    let mut pen = Pen::new(frame.buffer_mut(), colour);
    if area.width < MINIMUM.0 || area.height < MINIMUM.1 {
        pen.text(area, &format!("lab drill watch needs {} x {}", MINIMUM.0, MINIMUM.1));
        return;
    }
    let body = Rect { height: area.height - 1, ..area };
    let bottom = Rect { y: area.y + body.height, height: 1, ..area };
    match snapshot {
        Some(snapshot) => draw_drill(&mut pen, body, snapshot, option),
        None => {
            pen.row(body, &[(Tone::Dim, "loading".to_owned())]);
        }
    }
    pen.row(bottom, &[(Tone::Strong, " q ".to_owned()), (Tone::Dim, "quit; the drill goes on".to_owned())]);
}

fn draw_drill(pen: &mut Pen<'_>, area: Rect, snapshot: &DrillSnapshot, option: &str) {
    let mut rows = vec![title(snapshot), vec![snapshot.state(option)], Vec::new()];
    rows.extend(snapshot.view.callers.iter().map(caller));
    rows.extend(history(snapshot, area.width));
    rows.push(Vec::new());
    rows.push(services(snapshot));
    for (y, row) in (area.y..area.bottom()).zip(&rows) {
        pen.row(Rect { y, height: 1, ..area }, row);
    }
    pen.right(top(area, 1), &[(Tone::Strong, human::drill_time(snapshot.view.clock))]);
    let rest = below(area, u16::try_from(rows.len() + 1).unwrap_or(area.height));
    let due_height = 3.min(rest.height);
    let messages = top(rest, rest.height - due_height);
    draw_messages(pen, messages, &snapshot.messages);
    draw_due(pen, below(rest, messages.height), snapshot, option);
}

fn title(snapshot: &DrillSnapshot) -> Vec<Piece> {
    let view = &snapshot.view;
    let kind = snapshot.kind();
    vec![(Tone::Strong, format!("drill {}", short_id(&view.id))), (Tone::Plain, format!(" · lab {}{kind}", view.lab))]
}

fn caller(caller: &PublicCaller) -> Vec<Piece> {
    let PublicCaller { name, rate, sent, succeeded } = caller;
    let rate = format!("{}/s", human::number(*rate));
    let heading = format!("{name:<14}{rate:>6}  ");
    if *sent == 0 {
        return vec![(Tone::Plain, heading), (Tone::Dim, "no requests in the last 10s".to_owned())];
    }
    let filled = BAR * *succeeded as usize / *sent as usize;
    let tone = if succeeded == sent { Tone::Good } else { Tone::Failed };
    let share = human::share((*succeeded).into(), (*sent).into());
    vec![
        (Tone::Plain, heading),
        (tone, "█".repeat(filled)),
        (Tone::Dim, "░".repeat(BAR.saturating_sub(filled))),
        (tone, format!(" {share:>6}")),
        (Tone::Dim, " of requests succeed".to_owned()),
    ]
}

/// Share of successful requests over the last seconds.
fn history(snapshot: &DrillSnapshot, width: u16) -> Option<Vec<Piece>> {
    let shares = snapshot.success(usize::from(width).saturating_sub(LEFT + 1));
    let heading = format!("{:<LEFT$}", format!("last {}", human::drill_time(shares.len() as u64 * 1000)));
    (!shares.is_empty()).then(|| vec![(Tone::Dim, heading), (Tone::Plain, sparkline(&shares, 1.0))])
}

fn services(snapshot: &DrillSnapshot) -> Vec<Piece> {
    if let Some(error) = &snapshot.error {
        return vec![(Tone::Failed, format!("services: {error}"))];
    }
    let mut row = Vec::new();
    for service in &snapshot.services {
        let gap = if row.is_empty() { "" } else { "   " };
        row.push((Tone::Plain, format!("{gap}{} ", service.name)));
        row.push((if service.is_good { Tone::Good } else { Tone::Failed }, service.state.to_owned()));
    }
    row
}

/// Draws the latest messages that fit, in full.
fn draw_messages(pen: &mut Pen<'_>, area: Rect, messages: &[Message]) {
    let rest = pen.head(area, &[(Tone::Plain, "messages".to_owned())]);
    if messages.is_empty() {
        pen.row(rest, &[(Tone::Dim, "none yet".to_owned())]);
        return;
    }
    let width = usize::from(rest.width).saturating_sub(TIME).max(10);
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    for message in messages {
        for (index, line) in text::wrap(&format!("{}: {}", message.from, message.text), width).into_iter().enumerate() {
            let time = if index == 0 { human::drill_time(message.at) } else { String::new() };
            rows.push(vec![(Tone::Dim, format!("{time:<TIME$}")), (Tone::Plain, line)]);
        }
    }
    let hidden = rows.len().saturating_sub(usize::from(rest.height));
    for (y, row) in (rest.y..rest.bottom()).zip(&rows[hidden..]) {
        pen.row(Rect { y, height: 1, ..rest }, row);
    }
}

fn draw_due(pen: &mut Pen<'_>, area: Rect, snapshot: &DrillSnapshot, option: &str) {
    let rest = pen.head(area, &[(Tone::Plain, "due".to_owned())]);
    pen.row(rest, &[snapshot.due(option)]);
}
