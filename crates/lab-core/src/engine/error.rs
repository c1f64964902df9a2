//! Error type of all engines: the service, the problem and a hint. It exposes no engine-specific types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Error of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineError {
    /// The affected service. `None` for the whole stack.
    pub service: Option<String>,
    /// Class of the problem, on which callers decide what to do.
    pub kind: EngineErrorKind,
    /// Details: the last log line, the process that holds a port, an operating system message.
    pub detail: String,
    /// Suggested next step.
    pub hint: Option<String>,
}

/// Class of an [`EngineError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineErrorKind {
    /// No stack is running.
    NotUp,
    /// The stack was up, but its process or containers are gone.
    Lost,
    /// A service started but is not healthy.
    Unhealthy,
    /// A service exited during startup.
    Exited,
    /// A service did not become ready in time.
    StartupTimeout,
    /// Another process uses a port that a service needs.
    PortTaken,
    /// The engine does not support this operation on this service.
    Unsupported,
    /// A lab of this name on the daemon belongs to another state folder.
    Foreign,
    /// The daemon is unreachable or does not answer.
    Unreachable,
    /// The daemon denies access to this user.
    Denied,
    /// The image is missing and could not be pulled.
    ImageMissing,
    /// A file, process or socket operation failed.
    System,
}

impl EngineErrorKind {
    /// Returns true if no stack is running, for whatever reason.
    pub fn is_down(self) -> bool {
        matches!(self, Self::NotUp | Self::Lost)
    }
}

impl EngineError {
    /// Creates an error that concerns the whole stack.
    pub fn new(kind: EngineErrorKind, detail: impl Into<String>) -> Self {
        Self { service: None, kind, detail: detail.into(), hint: None }
    }

    /// Sets the affected service.
    #[must_use]
    pub fn for_service(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// Sets the suggested next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.service.as_deref().unwrap_or("the stack");
        let what = match self.kind {
            EngineErrorKind::NotUp => "is not up",
            EngineErrorKind::Lost => "is gone",
            EngineErrorKind::Unhealthy => "is unhealthy",
            EngineErrorKind::Exited => "ended while starting",
            EngineErrorKind::StartupTimeout => "did not become ready in time",
            EngineErrorKind::PortTaken => "cannot use its port",
            EngineErrorKind::Unsupported => "cannot do that on this engine",
            EngineErrorKind::Foreign => "belongs to another state folder",
            EngineErrorKind::Unreachable => "cannot be reached",
            EngineErrorKind::Denied => "cannot be accessed",
            EngineErrorKind::ImageMissing => "has no image",
            EngineErrorKind::System => "failed",
        };
        write!(f, "{subject} {what}")?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for EngineError {}
