//! Last lines of a timeline: result, outage, state of the changes, and the next command.

use super::{Canvas, Run, changes, human, short_id, text};
use crate::report::{status_name, status_tone};
use crate::term::Tone;
use lab_core::event::{Outage, RunFinished, Status, UndoOutcome};

/// Lines for the end of a run.
pub(super) fn lines(canvas: Canvas, run: &Run, finished: &RunFinished) -> Vec<String> {
    let mut lines = vec![String::new()];
    let tone = status_tone(finished.status);
    let verdict = status_name(finished.status);
    // Steps whose result is the one of the run are named with it.
    let named = matches!(finished.status, Status::Failed | Status::Error) && finished.reason.is_none();
    let named = names(run, finished.status).filter(|_| named);
    let mut facts = vec![steps(run, finished.duration)];
    facts.extend(unsuccessful(run, named.as_ref().map(|_| finished.status)));
    facts.extend(outage(finished.outage));
    if let Some(reason) = &finished.reason {
        lines.extend(canvas.wrapped(&format!("{verdict} · {reason}"), 0, 2, tone));
    } else {
        let headline = named.map_or_else(|| verdict.to_owned(), |names| format!("{verdict} in {names}"));
        facts.insert(0, headline);
    }
    let mut flowed = canvas.wrapped(&flow(&facts, canvas.width.saturating_sub(2)), 0, 2, Tone::Plain);
    if let (None, Some(first)) = (&finished.reason, flowed.first_mut()) {
        first.replace_range(..verdict.len(), &canvas.painter.paint(tone, verdict));
    }
    lines.extend(flowed);
    for (tone, line) in changes::summary(&run.started, finished) {
        lines.extend(canvas.wrapped(&line, 0, 2, tone));
    }
    let id = short_id(&run.started.id);
    let next = format!("lab runs show {id} · next: {}", next(run, finished));
    lines.extend(canvas.wrapped(&text::clean(&next), 0, 2, Tone::Dim));
    lines
}

/// Lines for a record without the end of its run.
pub(super) fn interrupted(canvas: Canvas, run: &Run) -> Vec<String> {
    let mut facts = vec!["interrupted".to_owned(), steps(run, run.elapsed)];
    facts.extend(unsuccessful(run, None));
    facts.extend(run.open.as_ref().map(|step| format!("during {step}")));
    let (status, recover) = ("status", "recover");
    let [status, recover] = [status, recover].map(|verb| changes::command(verb, &run.started.lab));
    let pending = format!("its undo may still be pending: check with {status}, undo with {recover}");
    let mut lines = vec![String::new()];
    lines.extend(canvas.wrapped(&flow(&facts, canvas.width.saturating_sub(2)), 0, 2, Tone::Failed));
    lines.extend(canvas.wrapped(&pending, 0, 2, Tone::Plain));
    lines.extend(canvas.wrapped(&format!("next: {status}"), 0, 2, Tone::Dim));
    lines
}

/// Joins facts with separators, as many per line as fit into `width` columns.
fn flow(facts: &[String], width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for fact in facts {
        let columns = text::columns(fact);
        let joined = used + 3 + columns;
        let (joint, now) = match used {
            0 => ("", columns),
            _ if joined > width => ("\n", columns),
            _ => (" · ", joined),
        };
        text.push_str(joint);
        text.push_str(fact);
        used = now;
    }
    text
}

/// `5 steps in 6.1s` or `3 of 5 steps in 2.4s`.
fn steps(run: &Run, duration: f64) -> String {
    let done = run.steps.len();
    let ran = |name: &&String| run.steps.iter().any(|step| step.name == **name);
    let planned = done + run.started.steps.iter().filter(|name| !ran(name)).count();
    let plural = if planned == 1 { "" } else { "s" };
    let of = if done == planned { String::new() } else { format!("{done} of ") };
    format!("{of}{planned} step{plural} in {}", human::clock(duration))
}

/// Names of the steps with a status. `None` if there are none.
fn names(run: &Run, status: Status) -> Option<String> {
    let names: Vec<_> = run.steps.iter().filter(|step| step.status == status).map(|step| &*step.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Failed steps and steps with an error, except those with the status `named`, which the first fact names.
fn unsuccessful(run: &Run, named: Option<Status>) -> impl Iterator<Item = String> {
    [Status::Failed, Status::Error]
        .into_iter()
        .filter(move |status| Some(*status) != named)
        .filter_map(|status| Some(format!("{}: {}", status_name(status), names(run, status)?)))
}

/// Duration and phases of the outage.
fn outage(outage: Option<Outage>) -> Vec<String> {
    let Some(outage) = outage else { return vec!["no request failed".to_owned()] };
    let failed = format!("{} failed", human::count(outage.failed_requests, "request"));
    let time =
        |what: &str, seconds: Option<f64>| seconds.map(|seconds| format!("{what} {}", human::millis(seconds * 1000.0)));
    let whole = if outage.recovered_at.is_some() {
        format!("outage {}, {failed}", human::millis(outage.duration * 1000.0))
    } else {
        format!("outage from {} on, ongoing at the end, {failed}", human::clock(outage.impact_at))
    };
    let mut times =
        vec![time("time to impact", outage.time_to_impact), time("time to recovery", outage.time_to_recovery)];
    // Without an alert, the other times follow from the length of the outage.
    if outage.time_to_detect.is_some() {
        times.extend([
            time("time to detect", outage.time_to_detect),
            time("time to mitigate", outage.time_to_mitigate),
            time("time to resolve", outage.time_to_resolve),
        ]);
    }
    [Some(whole)].into_iter().chain(times).flatten().collect()
}

/// The most useful next command.
fn next(run: &Run, finished: &RunFinished) -> String {
    let lab = &run.started.lab;
    let scenario = text::shell_quote(run.started.about.typed(&run.started.scenario));
    match (finished.undo.status, finished.status) {
        (UndoOutcome::Incomplete, _) => changes::command("recover", lab),
        (UndoOutcome::Kept, _) => changes::command("status", lab),
        (UndoOutcome::Complete, Status::Passed) => "lab scenario list".to_owned(),
        (UndoOutcome::Complete, Status::Failed) => format!("lab scenario show {scenario}"),
        (UndoOutcome::Complete, Status::Error) => "lab doctor".to_owned(),
        (UndoOutcome::Complete, Status::Interrupted) => format!("lab scenario run {scenario}"),
    }
}
