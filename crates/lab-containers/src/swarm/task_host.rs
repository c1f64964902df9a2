//! [`TaskHost`]: finds the host of a lab through its task.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Inner;
use super::endpoints::bracketed;
use super::place;
use super::record::{Placement, Record};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_host::{HostAddress, Locate, task_token};
use lab_http::HttpError;
use lab_system::deadline;

/// Time for the manager to answer. A lab can be called without it.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the task that is the lab, and refuses any other.
pub(super) struct TaskHost {
    inner: Arc<Inner>,
}

/// Result of comparing the task of the record with the one that Swarm wants.
enum Standing {
    Current,
    /// The manager does not answer.
    Unknown,
    Replaced(EngineError),
}

impl TaskHost {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: inner.clone() }
    }

    fn record(&self) -> Result<(Record, Placement), EngineError> {
        let not_up = || EngineError::new(EngineErrorKind::NotUp, "");
        let record = Record::read(&self.inner.folder)?.ok_or_else(not_up)?;
        let placement = record.placement.clone().ok_or_else(not_up)?;
        Ok((record, placement))
    }

    async fn standing(&self, record: &Record, placement: &Placement) -> Standing {
        let asking =
            async { self.inner.client().await?.tasks("service", &record.service).await.map_err(EngineError::from) };
        let tasks = match deadline::timeout(MANAGER_TIMEOUT, asking).await {
            Ok(Ok(tasks)) => tasks,
            // Listing the tasks of a service that does not exist is an error.
            Ok(Err(error)) if error.kind == EngineErrorKind::Lost => Vec::new(),
            Ok(Err(_)) | Err(_) => return Standing::Unknown,
        };
        let lost = |detail: String| {
            let error = EngineError::new(EngineErrorKind::Lost, detail);
            Standing::Replaced(error.hint("lab up starts it again with its keys and environment, without its data"))
        };
        match place::current(&tasks) {
            Some(task) if task.id == placement.task => Standing::Current,
            Some(_) => {
                let reason = place::last_failure(&tasks).map(|(_, reason)| format!(" ({reason})")).unwrap_or_default();
                lost(format!("Swarm replaced its task on node {}{reason}", placement.node))
            }
            None => lost(format!("its task on node {} does not run any more", placement.node)),
        }
    }
}

#[async_trait]
impl Locate for TaskHost {
    async fn locate(&self) -> Result<HostAddress, EngineError> {
        let (record, placement) = self.record()?;
        match self.standing(&record, &placement).await {
            Standing::Current | Standing::Unknown => {}
            Standing::Replaced(error) => return Err(error),
        }
        Ok(HostAddress {
            address: format!("{}:{}", bracketed(&placement.address), record.ports.control),
            // The host accepts only callers that know which task it is.
            token: task_token(&record.token, &placement.task),
            key: Some(record.key),
        })
    }

    async fn lost(&self, error: &HttpError) -> EngineError {
        let Ok((record, placement)) = self.record() else { return EngineError::new(EngineErrorKind::NotUp, "") };
        match self.standing(&record, &placement).await {
            Standing::Replaced(error) => error,
            Standing::Current | Standing::Unknown => {
                let detail = format!("its host on node {} does not answer: {error}", placement.node);
                EngineError::new(EngineErrorKind::System, detail)
                    .hint("check the network between this machine and the node; lab swarm status shows the nodes")
            }
        }
    }
}
