//! Summary of a run's changes: restored, kept, or with a pending undo.

use std::fmt::Write as _;

use crate::report::DEFAULT_LAB;
use crate::report::undo_text::{describe_undo, label, value, with_value};
use crate::term::Tone;
use lab_core::event::{Keys, RunFinished, RunStarted, UndoItem, UndoOutcome, UndoStatus, UndoTarget};

/// Summary of the changes of a run.
pub(super) fn summary(run: &RunStarted, finished: &RunFinished) -> Vec<(Tone, String)> {
    let items = &finished.undo.items;
    match finished.undo.status {
        UndoOutcome::Complete if items.is_empty() => vec![(Tone::Plain, "the run changed nothing".to_owned())],
        UndoOutcome::Complete if items.iter().any(is_lab) => {
            vec![(Tone::Good, "temporary lab removed (use --keep to keep it)".to_owned())]
        }
        UndoOutcome::Complete => {
            let keys = finished.keys.as_ref().unwrap_or(&run.keys);
            let (callers, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| is_removed_caller(item));
            let mut values = list(keys, others, |item| value(&item.target).to_owned());
            if values.is_empty() {
                values = removed_callers(&callers);
            }
            vec![(Tone::Good, format!("restored: {values}"))]
        }
        UndoOutcome::Kept => vec![(Tone::Warn, kept(run, finished))],
        UndoOutcome::Incomplete => incomplete(run, items),
    }
}

fn kept(run: &RunStarted, finished: &RunFinished) -> String {
    let items: Vec<&UndoItem> = finished.undo.items.iter().filter(|item| !is_lab(item)).collect();
    let keys = finished.keys.as_ref().unwrap_or(&run.keys);
    let callers: Vec<&str> = items.iter().filter_map(|item| named_caller(item)).collect();
    let items = items.into_iter().filter(|item| named_caller(item).is_none()).collect();
    let mut changes = list(keys, items, |item| format!("(before: {})", value(&item.target)));
    for caller in callers {
        let key = keys.callers.get(caller).map_or("?", String::as_str);
        let joint = if changes.is_empty() { "" } else { ", " };
        let _ = write!(changes, "{joint}caller {caller} on {key}");
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
    let mut lines = vec![(Tone::Failed, format!("not restored: the undo is incomplete (retry with {recover})"))];
    lines.extend(failed.iter().map(|item| {
        let why = item.error.as_deref().unwrap_or("not tried");
        let what = match &item.target {
            UndoTarget::Lab => format!("lab {} is not removed", run.lab),
            UndoTarget::RunState { service, state } => format!("{service} is not {}", state.name()),
            UndoTarget::NamedCallerKey { caller, key: None } => format!("caller {caller} is not removed"),
            target @ (UndoTarget::Variable { .. }
            | UndoTarget::ServerKey { .. }
            | UndoTarget::CallerKey { .. }
            | UndoTarget::NamedCallerKey { key: Some(_), .. }) => {
                format!("{} is not restored to {}", label(target), value(target))
            }
        };
        (Tone::Failed, format!("- {what}: {why}"))
    }));
    if !undone.is_empty() {
        let values: Vec<_> = undone.into_iter().map(describe_undo).collect();
        lines.push((Tone::Plain, format!("restored: {}", values.join(", "))));
    }
    lines
}

/// Name of the caller, if the item is the key of a named caller.
fn named_caller(item: &UndoItem) -> Option<&str> {
    match &item.target {
        UndoTarget::NamedCallerKey { caller, .. } => Some(caller),
        _ => None,
    }
}

/// Returns whether the item is a caller that only existed during the run.
fn is_removed_caller(item: &UndoItem) -> bool {
    matches!(item.target, UndoTarget::NamedCallerKey { key: None, .. })
}

/// `callers batch and web removed`.
fn removed_callers(items: &[&UndoItem]) -> String {
    let mut names: Vec<&str> = items.iter().filter_map(|item| named_caller(item)).collect();
    names.sort_unstable();
    match names.split_last() {
        Some((last, [])) => format!("caller {last} removed"),
        Some((last, others)) => format!("callers {} and {last} removed", others.join(", ")),
        None => String::new(),
    }
}

/// `server and caller on apikey-v1, gateway running`: the current keys, and each other item with its `text`.
fn list(keys: &Keys, items: Vec<&UndoItem>, text: impl Fn(&UndoItem) -> String) -> String {
    let (key_items, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| is_key(item));
    let mut parts = Vec::new();
    if !key_items.is_empty() && keys.server == keys.caller {
        parts.push(format!("server and caller on {}", keys.server));
    } else if !key_items.is_empty() {
        parts.push(format!("server on {}, caller on {}", keys.server, keys.caller));
    }
    parts.extend(others.into_iter().map(|item| with_value(&item.target, &text(item))));
    parts.join(", ")
}

fn is_key(item: &UndoItem) -> bool {
    matches!(item.target, UndoTarget::ServerKey { .. } | UndoTarget::CallerKey { .. })
}

/// Returns whether the item is the temporary lab of the run.
fn is_lab(item: &UndoItem) -> bool {
    item.target == UndoTarget::Lab
}

/// Command line for this lab.
pub(super) fn command(verb: &str, lab: &str) -> String {
    if lab == DEFAULT_LAB { format!("lab {verb}") } else { format!("lab {verb} --name {lab}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_testkit::sample_runs::{caller_key, item, keys};

    #[test]
    fn the_sentence_about_keys_does_not_depend_on_the_names_of_the_stack() {
        let (service, variable) = ("api".to_owned(), "TOKEN".to_owned());
        let server_key = UndoTarget::ServerKey { service, variable, key: Some("v1".to_owned()) };
        let items = [item(caller_key("v1"), None), item(server_key, None)];
        let text = list(&keys("v1", "v1"), items.iter().collect(), |item| value(&item.target).to_owned());
        assert_eq!(text, "server and caller on v1");
    }
}
