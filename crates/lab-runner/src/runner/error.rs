//! Errors of a run. They end up as text in events, next to the step that they concern.

use std::sync::Arc;

use crate::lab::{ChangeError, LabError};
use crate::undo::{TaskPanic, UndoError, with_hint};
use lab_core::engine::EngineError;
use lab_system::process::ProcessError;
use lab_telemetry::metrics::{NotMetrics, ScrapeError};

/// Reason why a step could not be executed, or why the lab or its counters are unknown.
///
/// Steps that share an observation share its error, so errors that cannot be cloned are behind an [`Arc`].
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("{}", with_hint(.0))]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lab(Arc<LabError>),
    #[error(transparent)]
    Undo(Arc<UndoError>),
    #[error(transparent)]
    Process(Arc<ProcessError>),
    #[error(transparent)]
    Scrape(#[from] ScrapeError),
    /// A value from an earlier step is missing or invalid.
    #[error(transparent)]
    Deferred(#[from] lab_scenario::Unresolved),
    #[error("the app has no {variable}")]
    NoServerKey { variable: String },
    #[error("the lab has no caller {0}")]
    NoCaller(String),
    #[error("there is no service {0}")]
    NoService(String),
    /// Values that are only known during the run would reach outside of the lab.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    #[error("commands are not allowed in this run")]
    CommandsNotAllowed,
    #[error("the lab's Prometheus does not run")]
    NoPrometheus,
    #[error("Prometheus refuses the query `{query}`: {detail}")]
    QueryRefused { query: String, detail: String },
    #[error("the app is paused")]
    AppPaused,
    #[error("the last scrape of {instance} {error}")]
    LastScrape { instance: String, error: NotMetrics },
    /// An instance was stopped, and its last counters are unknown.
    #[error("{0} ended without a last scrape")]
    NoLastScrape(String),
    /// An instance was stopped from outside of the run.
    #[error("{0} ended, and this run did not end it")]
    EndedElsewhere(String),
    #[error("the step was not executed")]
    NotExecuted,
    #[error("interrupted")]
    Interrupted,
    #[error("abandoned after the second signal")]
    Abandoned,
    #[error(transparent)]
    Panic(#[from] TaskPanic),
}

impl From<&Self> for StepError {
    fn from(error: &Self) -> Self {
        error.clone()
    }
}

impl From<LabError> for StepError {
    fn from(error: LabError) -> Self {
        Self::Lab(Arc::new(error))
    }
}

impl From<UndoError> for StepError {
    fn from(error: UndoError) -> Self {
        Self::Undo(Arc::new(error))
    }
}

impl From<ProcessError> for StepError {
    fn from(error: ProcessError) -> Self {
        Self::Process(Arc::new(error))
    }
}

impl From<ChangeError> for StepError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Lab(error) => error.into(),
            ChangeError::Engine(error) => error.into(),
        }
    }
}

/// Reason why a measurement is unknown.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum MeasurementError {
    #[error(transparent)]
    Counters(#[from] StepError),
    #[error("the app's counters were not read")]
    CountersNotRead,
    #[error("nothing was sent")]
    NothingSent,
    #[error("nothing was answered")]
    NothingAnswered,
    #[error("an alert is no number")]
    Alert,
}

impl From<&Self> for MeasurementError {
    fn from(error: &Self) -> Self {
        error.clone()
    }
}
