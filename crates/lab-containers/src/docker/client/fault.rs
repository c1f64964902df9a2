//! [`Fault`]: what the daemon says, with the thing that it says it of, and its way into an [`EngineError`].

use bollard::errors::Error;

use lab_core::engine::{EngineError, EngineErrorKind};

/// A call to the daemon that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Fault {
    /// In which way.
    pub(in crate::docker) kind: FaultKind,
    /// Of what: `container lab-default-app-1`.
    subject: String,
    /// As the daemon or the system says it.
    pub(in crate::docker) detail: String,
}

/// The ways to fail that somebody acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::docker) enum FaultKind {
    /// It is not there.
    NotFound,
    /// It cannot be done in the state that it is in; also: its name is taken.
    Conflict,
    /// A port that it wants is taken.
    Port,
    /// The daemon's disk is full.
    DiskFull,
    /// The daemon cannot reach a registry, or the registry has no such image.
    Registry,
    /// The daemon did not answer in time.
    Timeout,
    /// The connection to the daemon broke.
    Lost,
    /// Anything else.
    Other,
}

impl Fault {
    pub(in crate::docker) fn new(kind: FaultKind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, subject: short_ids(&subject.into()), detail: short_ids(&detail.into()) }
    }

    pub(super) fn of(subject: impl Into<String>, error: &Error) -> Self {
        let (kind, detail) = match error {
            Error::DockerResponseServerError { status_code, message } => {
                (by_answer(*status_code, message), message.clone())
            }
            Error::DockerStreamError { error } => (by_answer(500, error), error.clone()),
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

    pub(in crate::docker) fn is(&self, kind: FaultKind) -> bool {
        self.kind == kind
    }

    /// With the service that it concerns.
    pub(in crate::docker) fn service(self, service: &str) -> EngineError {
        EngineError::from(self).for_service(service)
    }
}

/// With ids of 64 digits as the docker command shows them, by their first 12. A digest stays whole.
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

fn by_answer(status: u16, message: &str) -> FaultKind {
    let says = |part: &str| message.contains(part);
    match status {
        _ if says("port is already allocated") || says("address already in use") => FaultKind::Port,
        _ if says("no space left on device") => FaultKind::DiskFull,
        404 if says("pull access denied") || says("manifest unknown") || says("manifest for ") => FaultKind::Registry,
        404 => FaultKind::NotFound,
        409 => FaultKind::Conflict,
        // Podman answers 500 to what Docker answers 404 and 409 to.
        _ if says("no such container") || says("no such volume") || says("network not found") => FaultKind::NotFound,
        _ if says("dial tcp") || says("no such host") || says("registry") || says("pull access denied") => {
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
            FaultKind::NotFound => (EngineErrorKind::Lost, format!("{subject} is not there: {detail}"), Some("lab up")),
            FaultKind::Port => (EngineErrorKind::PortTaken, detail, None),
            FaultKind::DiskFull => (
                EngineErrorKind::System,
                format!("{subject}: the daemon's disk is full: {detail}"),
                Some("docker system df shows what takes the space"),
            ),
            FaultKind::Timeout => (
                EngineErrorKind::Unreachable,
                format!("{subject}: the Docker daemon does not answer"),
                Some("restart the daemon, or Docker Desktop"),
            ),
            FaultKind::Lost => (
                EngineErrorKind::Unreachable,
                format!("{subject}: the connection to the Docker daemon broke: {detail}"),
                Some("if the daemon was restarted: lab up"),
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
        Fault::of("container lab-default-app-1", &error)
    }

    #[test]
    fn what_the_daemon_says_is_told_by_its_kind() {
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
    fn ids_are_as_short_as_people_know_them() {
        let id = "0123456789abcdef".repeat(4);
        let fault = Fault::new(FaultKind::Other, format!("container {id}"), format!("no such thing: {id}\n({id})"));
        let error = EngineError::from(fault);
        assert_eq!(error.detail, "container 0123456789ab: no such thing: 0123456789ab\n(0123456789ab)");
        let digest = format!("image x@sha256:{id} é {}", &id[..63]);
        assert_eq!(short_ids(&digest), digest);
    }

    #[test]
    fn an_error_names_the_thing_and_what_to_do() {
        let error = EngineError::from(answer(500, "write /x: no space left on device"));
        assert!(error.detail.starts_with("container lab-default-app-1: the daemon's disk is full"), "{error}");
        assert!(error.hint.is_some());
        let error = answer(404, "No such container: x").service("app");
        assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Lost, Some("app")));
    }
}
