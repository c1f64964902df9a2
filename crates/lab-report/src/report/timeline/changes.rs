//! Summary of a run's changes: restored, kept, or with a pending undo.

use std::fmt::Write as _;

use crate::report::{DEFAULT_LAB, before, put_back, with_value};
use crate::term::Tone;
use lab_core::event::{Keys, RunFinished, RunStarted, UndoItem, UndoOutcome, UndoStatus};

/// How the target of a scenario's caller begins.
const CALLER: &str = "caller ";

/// The lines of the end that speak of changes.
pub(super) fn said(run: &RunStarted, finished: &RunFinished) -> Vec<(Tone, String)> {
    let items = &finished.undo.items;
    match finished.undo.status {
        UndoOutcome::Complete if items.is_empty() => vec![(Tone::Plain, "the run changed nothing".to_owned())],
        UndoOutcome::Complete if items.iter().any(is_lab) => {
            vec![(Tone::Good, "temporary lab removed (use --keep to keep it)".to_owned())]
        }
        UndoOutcome::Complete => {
            let keys = finished.keys.as_ref().unwrap_or(&run.keys);
            let (callers, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| is_forgotten(item));
            let mut before = list(keys, others, |item| before(item).to_owned());
            if before.is_empty() {
                before = forgotten(&callers);
            }
            vec![(Tone::Good, format!("restored: {before}"))]
        }
        UndoOutcome::Kept => vec![(Tone::Warn, kept(run, finished))],
        UndoOutcome::Incomplete => incomplete(run, items),
    }
}

fn kept(run: &RunStarted, finished: &RunFinished) -> String {
    let items: Vec<&UndoItem> = finished.undo.items.iter().filter(|item| !is_lab(item)).collect();
    let keys = finished.keys.as_ref().unwrap_or(&run.keys);
    let (callers, items): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| is_caller(item));
    let mut changes = list(keys, items, |item| format!("(before: {})", before(item)));
    for item in callers {
        let key = item.target.strip_prefix(CALLER).and_then(|name| keys.callers.get(name)).map_or("?", String::as_str);
        let joint = if changes.is_empty() { "" } else { ", " };
        let _ = write!(changes, "{joint}{} on {key}", item.target);
    }
    let what = match (changes.is_empty(), finished.undo.items.iter().any(is_lab)) {
        (false, false) => changes,
        (false, true) => format!("lab {} with {changes}", run.lab),
        (true, _) => format!("lab {}", run.lab),
    };
    format!("kept: {what} (undo with {})", command("recover", &run.lab))
}

fn incomplete(run: &RunStarted, items: &[UndoItem]) -> Vec<(Tone, String)> {
    let (undone, failed): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.status == UndoStatus::Undone);
    let recover = command("recover", &run.lab);
    let mut said = vec![(Tone::Failed, format!("not restored: the undo is incomplete (retry with {recover})"))];
    said.extend(failed.iter().map(|item| {
        let why = item.error.as_deref().unwrap_or("not tried");
        let what = match (item.target.as_str(), item.name.as_str()) {
            ("lab", _) => format!("lab {} is not removed", run.lab),
            (service, "state") => format!("{service} is not {} again", before(item)),
            (target, _) if is_forgotten(item) => format!("{target} is not forgotten"),
            (target, name) => format!("{target} {name} is not back on {}", before(item)),
        };
        (Tone::Failed, format!("- {what}: {why}"))
    }));
    if !undone.is_empty() {
        let back: Vec<_> = undone.into_iter().map(put_back).collect();
        said.push((Tone::Plain, format!("restored: {}", back.join(", "))));
    }
    said
}

/// Whether an item is the key of a scenario's caller.
fn is_caller(item: &UndoItem) -> bool {
    item.target.starts_with(CALLER)
}

/// Whether it stands for a caller that only the run had.
fn is_forgotten(item: &UndoItem) -> bool {
    is_caller(item) && item.value.is_empty()
}

/// `callers batch and web forgotten`.
fn forgotten(items: &[&UndoItem]) -> String {
    let mut names: Vec<&str> = items.iter().filter_map(|item| item.target.strip_prefix(CALLER)).collect();
    names.sort_unstable();
    match names.split_last() {
        Some((last, [])) => format!("caller {last} forgotten"),
        Some((last, others)) => format!("callers {} and {last} forgotten", others.join(", ")),
        None => String::new(),
    }
}

/// `server and caller on apikey-v1, gateway running`: the keys as they are, and of each other item what `value` says.
fn list(keys: &Keys, items: Vec<&UndoItem>, value: impl Fn(&UndoItem) -> String) -> String {
    let (key_items, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| is_key(item));
    let mut parts = Vec::new();
    if !key_items.is_empty() && keys.server == keys.caller {
        parts.push(format!("server and caller on {}", keys.server));
    } else if !key_items.is_empty() {
        parts.push(format!("server on {}, caller on {}", keys.server, keys.caller));
    }
    parts.extend(others.into_iter().map(|item| with_value(item, &value(item))));
    parts.join(", ")
}

fn is_key(item: &UndoItem) -> bool {
    (item.target == "app" && item.name == "APP_API_KEY") || (item.target == "caller" && item.name == "key")
}

/// The item that stands for a lab that was brought up for the run alone.
fn is_lab(item: &UndoItem) -> bool {
    item.target == "lab"
}

/// A command that acts on this lab.
pub(super) fn command(verb: &str, lab: &str) -> String {
    if lab == DEFAULT_LAB { format!("lab {verb}") } else { format!("lab {verb} --name {lab}") }
}
