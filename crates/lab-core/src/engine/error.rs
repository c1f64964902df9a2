//! [`EngineError`]: what every engine says when it cannot do something. It names the service, what is wrong with it, and
//! what to do next, and holds none of an engine's own types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an engine could not do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineError {
    /// The service concerned; none where it is the stack as a whole.
    pub service: Option<String>,
    /// What is wrong.
    pub kind: EngineErrorKind,
    /// The details: the last log line, the holder of a port, an operating system's message.
    pub detail: String,
    /// What to do next, where the engine knows.
    pub hint: Option<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineErrorKind {
    /// No stack runs.
    NotUp,
    /// The stack was up, and what ran it is gone.
    Lost,
    /// A service started, and is not healthy.
    Unhealthy,
    /// A service ended while it was starting.
    Exited,
    /// A service did not become ready in time.
    StartupTimeout,
    /// A port is in use.
    PortTaken,
    /// The engine cannot do this to this service.
    Unsupported,
    /// Somebody else has a lab of this name on the daemon.
    Foreign,
    /// The daemon that would run the stack cannot be reached, or does not answer.
    Unreachable,
    /// The daemon does not take orders from this user.
    Denied,
    /// The image of a service is not there, and cannot be had.
    ImageMissing,
    /// A file, a process or a socket failed.
    System,
}

impl EngineError {
    /// An error of the stack as a whole.
    pub fn new(kind: EngineErrorKind, detail: impl Into<String>) -> Self {
        Self { service: None, kind, detail: detail.into(), hint: None }
    }

    /// Names the service.
    #[must_use]
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// Says what to do next.
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
            EngineErrorKind::PortTaken => "cannot have its port",
            EngineErrorKind::Unsupported => "cannot do that on this engine",
            EngineErrorKind::Foreign => "is somebody else's",
            EngineErrorKind::Unreachable => "cannot be reached",
            EngineErrorKind::Denied => "is out of reach",
            EngineErrorKind::ImageMissing => "has no image",
            EngineErrorKind::System => "failed",
        };
        write!(f, "{subject} {what}")?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for EngineError {}
