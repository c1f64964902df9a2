//! Error output and exit codes.

use std::io::Write;

use crate::cli::CliError;
use lab_core::engine::EngineError;
use lab_core::error::{Exit, Failure};
use lab_report::report::short_id;
use lab_report::term::{Term, Tone, clean_lines};
use lab_runner::lab::lock::LockError;
use lab_runner::lab::{DEFAULT_NAME, Lab, LabError};
use lab_runner::provision::{ConnectError, ProvisionError};
use lab_runner::undo::{RecoverError, UndoError};
use lab_scenario::Diagnostics;
use lab_system::files::Unusable;

/// Prints an error with its hint and returns its exit code.
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
    let (exit, hint) = classify(error);
    if let Some(hint) = hint {
        term.note(&format!("  {} {}", painter.paint(Tone::Strong, "next:"), clean_lines(&hint)));
    }
    exit
}

/// Prints help or a usage error. Sanitised, because it may quote file names that a stranger chose.
pub(crate) fn report_cli_error(error: CliError) -> Exit {
    let (plain, coloured, is_error, hint) = match error {
        CliError::Failure(failure) => return report(&failure.into()),
        CliError::Clap { plain, coloured, is_error, hint } => (plain, coloured, is_error, hint),
    };
    let term = Term::new();
    let text = |is_coloured: bool| if is_coloured { &coloured } else { &plain };
    if is_error {
        let painter = term.stderr_painter();
        term.note(text(painter.is_on()).trim_end());
        if let Some(hint) = hint {
            term.note(&format!("  {} {hint}", painter.paint(Tone::Strong, "next:")));
        }
        return Exit::Usage;
    }
    // A closed pipe does not matter here.
    let _closed = term.out().write_all(text(term.painter().is_on()).as_bytes());
    Exit::Passed
}

/// The error and its causes, without causes that the text before already ends with.
pub(super) fn text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Adds the exit code and the hint to an error of a lab that was to be provided.
pub(super) fn provision_failure(error: ProvisionError, lab: &Lab) -> anyhow::Error {
    let name = lab.name_option();
    match error {
        ProvisionError::Connect(error) => error.into(),
        ProvisionError::Engine(error) => error.into(),
        ProvisionError::Lab(error) => error.into(),
        ProvisionError::Undo(UndoError::Pending { run, scenario }) => {
            let message = format!("lab {}: undo of run {} ({scenario}) is pending", lab.name(), short_id(&run));
            Failure::failed(message).hint(format!("lab recover{name}, or add --recover")).into()
        }
        ProvisionError::Undo(error) => error.into(),
        ProvisionError::Scenario(diagnostics) => diagnostics.into(),
        ProvisionError::ResetPending { .. } => {
            Failure::failed(error.to_string()).hint(format!("lab reset{name} finishes it")).into()
        }
        ProvisionError::Unexpected { ref problems, .. } => {
            let mut fixes: Vec<&str> = problems.iter().map(|problem| problem.fix.as_str()).collect();
            fixes.dedup();
            let hint = fixes.join(" · ");
            Failure { exit: Exit::NotPassed, ..Failure::failed(error.to_string()) }.hint(hint).into()
        }
        error @ ProvisionError::OtherPort { .. } => {
            Failure::usage(error.to_string()).hint(format!("run lab down{name} first, or omit --port")).into()
        }
        error @ ProvisionError::NotRemoved { .. } => {
            Failure { exit: Exit::UndoIncomplete, ..Failure::failed(error.to_string()) }.into()
        }
        error @ ProvisionError::Interrupted => {
            Failure { exit: Exit::Interrupted, ..Failure::failed(error.to_string()) }.into()
        }
    }
}

/// Exit code and hint of an error.
fn classify(error: &anyhow::Error) -> (Exit, Option<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.exit, failure.hint.clone());
        }
        if let Some(engine) = engine_error(cause) {
            return (Exit::Failed, engine.hint.clone());
        }
        if let Some(lab) = lab_error(cause) {
            return classify_lab(lab);
        }
        if let Some(reason) = cause.downcast_ref::<std::io::Error>().and_then(Unusable::in_error) {
            return (Exit::Failed, Some(reason.hint().to_owned()));
        }
    }
    (Exit::Failed, None)
}

/// The engine error in a cause, directly or wrapped in another error.
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

fn classify_lab(error: &LabError) -> (Exit, Option<String>) {
    match error {
        LabError::Name { .. } => (Exit::Usage, None),
        LabError::Folder { source, .. } | LabError::Lock(LockError::File { source, .. }) => {
            let usual = "make the folder writable, or set LAB_STATE_DIR to another one";
            (Exit::Failed, Some(Unusable::in_error(source).map_or(usual, Unusable::hint).to_owned()))
        }
        LabError::Damaged { .. } => {
            (Exit::Failed, Some("lab down removes this lab and everything of it that still runs".to_owned()))
        }
        LabError::Newer { .. } => (Exit::Failed, Some("use that version of lab, or run its lab down first".to_owned())),
        LabError::Missing { .. } => (Exit::Failed, Some("lab up".to_owned())),
        LabError::Random(_) => (Exit::Failed, None),
        LabError::Drill { name } => {
            let name = if name == DEFAULT_NAME { String::new() } else { format!(" --name {name}") };
            (Exit::Failed, Some(format!("lab drill finish{name} or lab drill give-up{name} ends it")))
        }
        LabError::Lock(LockError::Held { .. }) => {
            (Exit::Failed, Some("wait until it ends, or use another lab with --name".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_repeated() {
        let source = std::io::Error::other("disk full");
        let error = LabError::Folder { path: "/state".into(), source };
        assert_eq!(text(&error.into()), "cannot use the state folder /state: disk full");
        let context = anyhow::Error::from(std::io::Error::other("disk full")).context("the journal");
        assert_eq!(text(&context), "the journal: disk full");
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_one_to_wait_for() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = LabError::Lock(LockError::File { path: "/state/run.lock".into(), source });
        let hint = classify(&error.into()).1.unwrap_or_default();
        assert!(hint.contains("LAB_STATE_DIR"), "{hint}");
    }
}
