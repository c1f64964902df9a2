//! Panels: steps of the run, alerts, log.

use chrono::TimeDelta;
use ratatui_core::layout::Rect;

use super::pen::{Pen, Piece};
use super::{below, top, truncate};
use crate::watch::model::Model;
use crate::watch::run_tracker::{Run, Step, StepState};
use crate::watch::snapshot::{AlertView, LabState};
use lab_report::report::{human, status_tone};
use lab_report::term::Tone;
use lab_telemetry::live::AlertState;

/// Maximum width of step names.
const NAME: usize = 24;

/// Draws the steps of the latest run around the current one.
pub(super) fn steps(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let Some(run) = &model.shown().runs.run else {
        let rest = pen.head(area, &[(Tone::Plain, "steps".to_owned())]);
        let option = &model.about.option;
        let none = match &model.shown().lab {
            LabState::Up(up) if up.is_drill => format!("a drill is in progress: lab drill status{option}"),
            LabState::Up(_) => format!("no run within the last hour; start one: lab scenario run rotate-key{option}"),
            _ => "no run within the last hour".to_owned(),
        };
        pen.row(rest, &[(Tone::Dim, truncate(&none, rest.width))]);
        return;
    };
    let mut rest = pen.head(area, &title(run));
    if let Some(end) = &run.end {
        pen.row(rest, &[(status_tone(end.status), truncate(&end.summary, rest.width))]);
        rest = below(rest, 1);
    }
    // The last notice is shown if there is a spare row.
    let rows = usize::from(rest.height);
    let noted = run.notes.last().filter(|_| rows > run.steps.len());
    let width = run.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default().min(NAME);
    // The current step is shown with those before it and the next one.
    let first = (run.current() + 2).saturating_sub(rows).min(run.steps.len().saturating_sub(rows));
    for step in run.steps.iter().skip(first).take(rows) {
        let room = rest.width.saturating_sub(u16::try_from(width).unwrap_or(u16::MAX)).saturating_sub(4);
        pen.row(rest, &row(step, width, room, model));
        rest = below(rest, 1);
    }
    if let Some(note) = noted {
        pen.row(rest, &[(Tone::Dim, format!("  {note}"))]);
    }
}

fn title(run: &Run) -> Vec<Piece> {
    let (done, all) =
        (run.steps.iter().filter(|step| matches!(step.state, StepState::Finished(..))).count(), run.steps.len());
    vec![(Tone::Strong, run.title()), (Tone::Plain, format!(" · {done} of {all} steps"))]
}

/// `width` is that of the longest name, `room` the width for the result.
fn row(step: &Step, width: usize, room: u16, model: &Model) -> Vec<Piece> {
    let (tone, sign, text) = match &step.state {
        StepState::Planned => (Tone::Dim, " ", String::new()),
        StepState::Running(since) => {
            let took = (model.shown().now - *since).as_seconds_f64();
            (Tone::Strong, "▶", human::clock(took))
        }
        StepState::Finished(status, text) => {
            let passed = *status == lab_core::event::Status::Passed;
            (status_tone(*status), if passed { "✓" } else { "✗" }, text.clone())
        }
    };
    let name_tone = if matches!(step.state, StepState::Finished(..)) { Tone::Plain } else { tone };
    let name = format!("{:<width$}", step.name);
    vec![(tone, format!("{sign} ")), (name_tone, name), (Tone::Plain, format!("  {}", truncate(&text, room)))]
}

/// Draws the alerts in order of severity.
pub(super) fn alerts(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let mut rest = pen.head(area, &[(Tone::Plain, "alerts".to_owned())]);
    let alerts = match &model.shown().alerts {
        AlertView::Known(alerts) => alerts.as_slice(),
        AlertView::NotEvaluated | AlertView::Unavailable => {
            pen.row(rest, &[(Tone::Warn, "not available".to_owned())]);
            return;
        }
    };
    if alerts.is_empty() {
        pen.row(rest, &[(Tone::Dim, "none".to_owned())]);
    }
    for alert in alerts {
        let since = whole(model.shown().now - alert.since);
        let state = alert.state.name();
        let room = usize::from(rest.width).saturating_sub(state.len() + since.len() + 2);
        let text = format!("{} {since}", truncate(&alert.name, u16::try_from(room).unwrap_or(u16::MAX)));
        pen.row(rest, &[(alert_tone(alert.state), format!("{state} ")), (Tone::Plain, text)]);
        rest = below(rest, 1);
    }
}

/// Formats a duration in whole seconds.
fn whole(since: TimeDelta) -> String {
    let seconds = since.num_seconds().max(0);
    if seconds < 60 { format!("{seconds}s") } else { human::clock(since.as_seconds_f64()) }
}

/// The colour of an alert.
fn alert_tone(state: AlertState) -> Tone {
    match state {
        AlertState::Pending => Tone::Warn,
        AlertState::Firing => Tone::Failed,
        AlertState::Resolved => Tone::Good,
    }
}

/// Draws the last lines of the log, or those at the scroll position.
pub(super) fn log(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let services = model.services();
    let of = model.only.as_deref().unwrap_or("all services");
    let mut head = vec![(Tone::Plain, format!("log of {of}"))];
    if model.back > 0 {
        head.push((Tone::Warn, format!(" · {} below", human::count(model.back as u64, "newer line"))));
    }
    let area = pen.head(area, &head);
    let rows = usize::from(area.height);
    let shown: Vec<_> = model.lines().skip(model.back).take(rows).collect();
    if shown.is_empty() {
        pen.row(area, &[(Tone::Dim, "no lines yet".to_owned())]);
    }
    let width = services.iter().map(String::len).max().unwrap_or_default();
    for (y, line) in (area.y..area.bottom()).zip(shown.into_iter().rev()) {
        let index = services.iter().position(|service| *service == line.service).unwrap_or_default();
        let clock = line.time.map_or_else(|| " ".repeat(8), |time| model.clock(time));
        let name = format!("{:<width$} ", line.service);
        let text = [(line.tone, line.text.clone())];
        pen.named(top(Rect { y, ..area }, 1), index, &format!("{clock} "), &name, &text);
    }
}
