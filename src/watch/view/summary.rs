//! Text view for small screens, most important lines first.

use ratatui_core::layout::Rect;

use super::pen::{Pen, Piece};
use super::{FULL, headline, key_rows, lab_rows, now, path, rate, services};
use crate::watch::model::Model;
use crate::watch::run_tracker::{Run, StepState};
use crate::watch::snapshot::AlertView;
use lab_report::report::{human, status_tone};
use lab_report::term::Tone;
use lab_telemetry::live::{AlertState, Point};

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let known = model.shown();
    let mut rows = lab_rows(model, |up| {
        let sentence = headline(&path(model, up));
        [sentence, rates(model)].into_iter().chain(services(up, area.width)).chain(key_rows(up)).collect()
    });
    rows.extend(known.runs.run.as_ref().map(|run| step(run, model)));
    if let AlertView::Known(alerts) = &known.alerts {
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
    if let Some(edge) = model.shown().feed.points().next_back().and_then(|point| point.edge.as_ref()) {
        let count = |class| rate(edge.class(class));
        let tone = |class, tone| if edge.class(class) > 0.0 { tone } else { Tone::Plain };
        let wait = edge.p99.map_or_else(|| "-".to_owned(), human::millis);
        return vec![
            (Tone::Plain, format!("2xx/s {}", count('2'))),
            (tone('4', Tone::Warn), format!(" 4xx/s {}", count('4'))),
            (tone('5', Tone::Failed), format!(" 5xx/s {}", count('5'))),
            (Tone::Plain, format!(" p99 {wait}")),
        ];
    }
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rate);
    let refused = value(|point| point.refused);
    let bad = if refused.is_some_and(|refused| refused > 0.0) { Tone::Failed } else { Tone::Plain };
    vec![
        (Tone::Plain, format!("requests/s {}", text(value(|point| point.requests)))),
        (Tone::Good, format!(" ok {}", text(value(|point| point.accepted)))),
        (bad, format!(" failures {}", text(refused))),
    ]
}

/// Progress of the run.
fn step(run: &Run, model: &Model) -> Vec<Piece> {
    if let Some(end) = &run.end {
        return vec![(Tone::Plain, format!("{} ", run.scenario)), (status_tone(end.status), end.summary.clone())];
    }
    let current = run.current();
    let Some(step) = run.steps.get(current) else { return vec![(Tone::Plain, run.title())] };
    let since = match &step.state {
        StepState::Running(since) => format!(" {}", human::clock((model.shown().now - *since).as_seconds_f64())),
        StepState::Planned | StepState::Finished(..) => String::new(),
    };
    let place = format!("{} {}/{} ", run.scenario, current + 1, run.steps.len());
    vec![(Tone::Plain, place), (Tone::Strong, format!("{}{since}", step.name))]
}
