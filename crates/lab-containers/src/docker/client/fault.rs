//! [`Fault`]: an error of the daemon with its subject, and the conversion to an [`EngineError`].

use bollard::errors::Error;

use lab_core::engine::{EngineError, EngineErrorKind};

/// A failed call to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// The affected object, such as `container lab-default-app-1`.
    subject: String,
    /// Message of the daemon or the system.
    pub(crate) detail: String,
}

/// Kinds of failures that are handled differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    NotFound,
    /// Not possible in the current state, or the name is in use.
    Conflict,
    /// A required port is in use.
    Port,
    DiskFull,
    /// The registry cannot be reached, or has no such image.
    Registry,
    Timeout,
    Lost,
    Other,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, subject: short_ids(&subject.into()), detail: short_ids(&detail.into()) }
    }

    pub(super) fn from_error(subject: impl Into<String>, error: &Error) -> Self {
        let (kind, detail) = match error {
            Error::DockerResponseServerError { status_code, message } => {
                (kind_of_answer(*status_code, message), message.clone())
            }
            Error::DockerStreamError { error } => (kind_of_answer(500, error), error.clone()),
            Error::RequestTimeoutError => (FaultKind::Timeout, String::new()),
            Error::HyperLegacyError { .. } | Error::HyperResponseError { .. } | Error::IOError { .. } => {
                (FaultKind::Lost, deepest(error))
            }
            other => (FaultKind::Other, other.to_string()),
        };
        Self::new(kind, subject, detail.trim())
    }

    pub(super) fn timeout(subject: impl Into<String>) -> Self {
        Self::new(FaultKind::Timeout, subject, "")
    }

    pub(crate) fn is(&self, kind: FaultKind) -> bool {
        self.kind == kind
    }

    /// Converts to an error of a service.
    pub(in crate::docker) fn service(self, service: &str) -> EngineError {
        EngineError::from(self).for_service(service)
    }
}

/// Shortens ids of 64 digits to 12, as the docker command does. Digests are not changed.
fn short_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (mut short, mut before) = (String::with_capacity(text.len()), ' ');
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let kept = if is_id(bare) && before != ':' { &bare[..12] } else { bare };
        short.extend([kept, &word[bare.len()..]]);
        before = word.chars().next_back().unwrap_or(' ');
    }
    short
}

fn kind_of_answer(status: u16, message: &str) -> FaultKind {
    let contains = |part: &str| message.contains(part);
    match status {
        _ if contains("port is already allocated") || contains("address already in use") => FaultKind::Port,
        _ if contains("no space left on device") => FaultKind::DiskFull,
        404 if contains("pull access denied") || contains("manifest unknown") || contains("manifest for ") => {
            FaultKind::Registry
        }
        404 => FaultKind::NotFound,
        409 => FaultKind::Conflict,
        // Podman answers 500 where Docker answers 404 or 409.
        _ if contains("no such container") || contains("no such volume") || contains("network not found") => {
            FaultKind::NotFound
        }
        _ if contains("dial tcp")
            || contains("no such host")
            || contains("registry")
            || contains("pull access denied") =>
        {
            FaultKind::Registry
        }
        _ => FaultKind::Other,
    }
}

fn deepest(error: &Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl From<Fault> for EngineError {
    fn from(fault: Fault) -> Self {
        let Fault { kind, subject, detail } = fault;
        let (kind, detail, hint) = match kind {
            FaultKind::NotFound => {
                (EngineErrorKind::Lost, format!("{subject} does not exist: {detail}"), Some("lab up"))
            }
            FaultKind::Port => (EngineErrorKind::PortTaken, detail, None),
            FaultKind::DiskFull => (
                EngineErrorKind::System,
                format!("{subject}: the daemon's disk is full: {detail}"),
                Some("see what uses the space with docker system df"),
            ),
            FaultKind::Timeout => (
                EngineErrorKind::Unreachable,
                format!("{subject}: the Docker daemon does not answer"),
                Some("restart the daemon, or Docker Desktop"),
            ),
            FaultKind::Lost => (
                EngineErrorKind::Unreachable,
                format!("{subject}: lost the connection to the Docker daemon: {detail}"),
                Some("run lab up if the daemon was restarted"),
            ),
            FaultKind::Registry => (EngineErrorKind::ImageMissing, format!("{subject}: {detail}"), None),
            FaultKind::Conflict | FaultKind::Other => (EngineErrorKind::System, format!("{subject}: {detail}"), None),
        };
        let error = EngineError::new(kind, detail);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Fault {
        let error = Error::DockerResponseServerError { status_code, message: message.to_owned() };
        Fault::from_error("container lab-default-app-1", &error)
    }

    #[test]
    fn answers_are_classified_by_kind() {
        for (status, message, kind) in [
            (404, "No such container: x", FaultKind::NotFound),
            (409, "Conflict. The container name is in use", FaultKind::Conflict),
            (500, "driver failed: Bind for 127.0.0.1:80 failed: port is already allocated", FaultKind::Port),
            (500, "listen tcp4 127.0.0.1:80: bind: address already in use", FaultKind::Port),
            (500, "write /x: no space left on device", FaultKind::DiskFull),
            (404, "pull access denied for nosuch, repository does not exist", FaultKind::Registry),
            (500, "Get \"https://registry-1.docker.io/v2/\": dial tcp: i/o timeout", FaultKind::Registry),
            (500, "something else", FaultKind::Other),
        ] {
            assert_eq!(answer(status, message).kind, kind, "{message}");
        }
    }

    #[test]
    fn ids_are_shortened_to_12_digits() {
        let id = "0123456789abcdef".repeat(4);
        let fault = Fault::new(FaultKind::Other, format!("container {id}"), format!("no such thing: {id}\n({id})"));
        let error = EngineError::from(fault);
        assert_eq!(error.detail, "container 0123456789ab: no such thing: 0123456789ab\n(0123456789ab)");
        let digest = format!("image x@sha256:{id} é {}", &id[..63]);
        assert_eq!(short_ids(&digest), digest);
    }

    #[test]
    fn an_error_has_a_subject_and_a_hint() {
        let error = EngineError::from(answer(500, "write /x: no space left on device"));
        assert!(error.detail.starts_with("container lab-default-app-1: the daemon's disk is full"), "{error}");
        assert!(error.hint.is_some());
        let error = answer(404, "No such container: x").service("app");
        assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Lost, Some("app")));
    }
}
