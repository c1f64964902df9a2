//! Errors at the edge: what is printed for them, and which exit code they are.

use std::io::Write;

use crate::cli::Unread;
use crate::engines::ConnectError;
use lab_core::engine::EngineError;
use lab_core::error::{Exit, Failure};
use lab_report::term::{Term, Tone, clean_lines};
use lab_runner::lab::LabError;
use lab_runner::lab::lock::LockError;
use lab_runner::undo::RecoverError;
use lab_scenario::Diagnostics;
use lab_system::files::Unusable;

/// Prints an error, with what to do next, and says which exit code it is.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let term = Term::new();
    let painter = term.stderr_painter();
    if let Some(ConnectError::Stack(errors)) = error.downcast_ref::<ConnectError>() {
        term.note(&errors.render(painter.is_on()));
        return Exit::Usage;
    }
    if let Some(diagnostics) = error.downcast_ref::<Diagnostics>() {
        term.note(&diagnostics.render(painter.is_on()));
        return Exit::Usage;
    }
    term.note(&format!("{} {}", painter.paint(Tone::Failed, "error:"), clean_lines(&text(error))));
    let (exit, hint) = judge(error);
    if let Some(hint) = hint {
        term.note(&format!("  {} {}", painter.paint(Tone::Strong, "next:"), clean_lines(&hint)));
    }
    exit
}

/// Prints help, or what is wrong with a command line, in which there may be names of files that a stranger chose.
pub(crate) fn report_unread(unread: &Unread) -> Exit {
    let term = Term::new();
    let text = |coloured: bool| if coloured { &unread.coloured } else { &unread.plain };
    if unread.is_wrong {
        term.note(text(term.stderr_painter().is_on()).trim_end());
        return Exit::Usage;
    }
    // That nobody reads it changes nothing.
    let _unread = term.out().write_all(text(term.painter().is_on()).as_bytes());
    Exit::Passed
}

/// The error and its causes, without those that the one before says already.
pub(super) fn text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The exit code of an error, and what to do about it.
fn judge(error: &anyhow::Error) -> (Exit, Option<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.exit, failure.hint.clone());
        }
        if let Some(engine) = engine_error(cause) {
            return (Exit::Failed, engine.hint.clone());
        }
        if let Some(lab) = lab_error(cause) {
            return judge_lab(lab);
        }
        if let Some(reason) = cause.downcast_ref::<std::io::Error>().and_then(Unusable::in_error) {
            return (Exit::Failed, Some(reason.hint().to_owned()));
        }
    }
    (Exit::Failed, None)
}

/// What an engine said, also where another error passes it on as its own.
fn engine_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a EngineError> {
    if let Some(RecoverError::Engine(error)) = cause.downcast_ref::<RecoverError>() {
        return Some(error);
    }
    if let Some(ConnectError::Engine(error)) = cause.downcast_ref::<ConnectError>() {
        return Some(error);
    }
    cause.downcast_ref::<EngineError>()
}

fn lab_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a LabError> {
    if let Some(ConnectError::State(error)) = cause.downcast_ref::<ConnectError>() {
        return Some(error);
    }
    cause.downcast_ref::<LabError>()
}

fn judge_lab(error: &LabError) -> (Exit, Option<String>) {
    match error {
        LabError::Name { .. } => (Exit::Usage, None),
        LabError::Folder { source, .. } | LabError::Lock(LockError::File { source, .. }) => {
            let usual = "make the folder writable, or name another one in LAB_STATE_DIR";
            (Exit::Failed, Some(Unusable::in_error(source).map_or(usual, Unusable::hint).to_owned()))
        }
        LabError::Damaged { .. } => {
            (Exit::Failed, Some("lab down forgets this lab and whatever of it still runs".to_owned()))
        }
        LabError::Newer { .. } => (Exit::Failed, Some("use that version of lab, or its lab down first".to_owned())),
        LabError::Missing { .. } => (Exit::Failed, Some("lab up brings it up".to_owned())),
        LabError::Lock(LockError::Held { .. }) => {
            (Exit::Failed, Some("wait for it to end, or use another lab: --name".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let source = std::io::Error::other("disk full");
        let told = LabError::Folder { path: "/state".into(), source };
        assert_eq!(text(&told.into()), "cannot use the state folder /state: disk full");
        let context = anyhow::Error::from(std::io::Error::other("disk full")).context("the journal");
        assert_eq!(text(&context), "the journal: disk full");
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_one_to_wait_for() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = LabError::Lock(LockError::File { path: "/state/run.lock".into(), source });
        let hint = judge(&error.into()).1.unwrap_or_default();
        assert!(hint.contains("LAB_STATE_DIR"), "{hint}");
    }
}
