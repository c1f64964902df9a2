//! A small screen: what is known, in words, the most telling first.

use ratatui_core::layout::Rect;

use super::pen::{Pen, Piece};
use super::{FULL, key_rows, lab_rows, now, rate, services};
use crate::watch::model::Model;
use crate::watch::seen::Alarms;
use crate::watch::story::{At, Run};
use lab_report::report::{human, status_tone};
use lab_report::term::Tone;
use lab_telemetry::live::{AlertState, Point};

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let known = model.shown();
    let mut rows = lab_rows(model, |up| [rates(model), services(up)].into_iter().chain(key_rows(up)).collect());
    rows.extend(known.story.run.as_ref().map(|run| step(run, model)));
    if let Alarms::Known(alerts) = &known.alerts {
        let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        rows.extend(firing.map(|alert| vec![(Tone::Failed, format!("firing {}", alert.name))]));
    }
    rows.push(vec![(Tone::Dim, format!("charts and log need {} x {}", FULL.0, FULL.1))]);
    for (y, row) in (area.y..area.bottom()).zip(&rows) {
        pen.row(Rect { y, height: 1, ..area }, row);
    }
}

fn rates(model: &Model) -> Vec<Piece> {
    let value = |of: fn(&Point) -> Option<f64>| now(model.shown(), of);
    let told = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rate);
    let refused = value(|point| point.refused);
    let bad = if refused.is_some_and(|refused| refused > 0.0) { Tone::Failed } else { Tone::Plain };
    vec![
        (Tone::Plain, format!("requests/s {}", told(value(|point| point.requests)))),
        (Tone::Good, format!(" ok {}", told(value(|point| point.accepted)))),
        (bad, format!(" failures {}", told(refused))),
    ]
}

/// Where the run stands.
fn step(run: &Run, model: &Model) -> Vec<Piece> {
    if let Some(end) = &run.end {
        return vec![(Tone::Plain, format!("{} ", run.scenario)), (status_tone(end.status), end.said.clone())];
    }
    let current = run.current();
    let Some(step) = run.steps.get(current) else { return vec![(Tone::Plain, run.title())] };
    let since = match &step.at {
        At::Now(since) => format!(" {}", human::clock((model.shown().now - *since).as_seconds_f64())),
        At::Ahead | At::Over(..) => String::new(),
    };
    let place = format!("{} {}/{} ", run.scenario, current + 1, run.steps.len());
    vec![(Tone::Plain, place), (Tone::Strong, format!("{}{since}", step.name))]
}
