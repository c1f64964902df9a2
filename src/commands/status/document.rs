//! The document of `lab status`: the state of one lab.

use std::collections::BTreeMap;

use serde::Serialize;

use super::callers::Callers;
use crate::commands::session::Connected;
use lab_core::engine::{Description, EngineError, Overall, Roles, ServiceStatus, secret};
use lab_core::error::Exit;
use lab_core::event::{Keys, Secrets};
use lab_report::term::Tone;
use lab_runner::lab::Lab;
use lab_runner::undo::{Pending, UndoState};

/// Output of `lab status --json`.
#[derive(Serialize)]
pub(super) struct Document {
    pub(super) lab: String,
    pub(super) engine: String,
    pub(super) state: LabState,
    /// Reason why the state is `down` or `unknown`.
    pub(super) error: Option<String>,
    pub(super) keys: Option<Keys>,
    pub(super) gateway: Option<String>,
    pub(super) prometheus: Option<String>,
    pub(super) grafana: Option<String>,
    /// lab's own dashboard, if Grafana does not run.
    pub(super) dashboard: Option<String>,
    pub(super) services: Vec<ServiceStatus>,
    /// Notices for people, such as a service that the lab does without.
    pub(super) notices: Vec<String>,
    /// Callers that send requests in the background.
    pub(super) callers: Option<Callers>,
    /// The run in progress.
    pub(super) run: Option<String>,
    pub(super) undo: Option<PendingUndo>,
    /// Id of the drill in progress. Then keys, environments and reasons are hidden.
    pub(super) drill: Option<String>,
}

/// Overall state of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LabState {
    /// Every service runs, and none is unhealthy.
    Healthy,
    /// Some services are stopped, paused or unhealthy.
    Degraded,
    /// No service runs.
    Stopped,
    /// It never started, or its engine process is gone.
    Down,
    /// Its state cannot be determined.
    Unknown,
}

impl LabState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => Overall::Healthy.name(),
            Self::Degraded => Overall::Degraded.name(),
            Self::Stopped => Overall::Stopped.name(),
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Healthy => Tone::Good,
            Self::Degraded => Tone::Warn,
            Self::Stopped | Self::Down | Self::Unknown => Tone::Failed,
        }
    }

    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Healthy => Exit::Passed,
            Self::Degraded => Exit::NotPassed,
            Self::Stopped | Self::Down | Self::Unknown => Exit::Failed,
        }
    }

    /// Returns true if the services are known.
    pub(super) fn is_up(self) -> bool {
        !matches!(self, Self::Down | Self::Unknown)
    }
}

impl From<Overall> for LabState {
    fn from(overall: Overall) -> Self {
        match overall {
            Overall::Healthy => Self::Healthy,
            Overall::Degraded => Self::Degraded,
            Overall::Stopped => Self::Stopped,
        }
    }
}

impl Document {
    fn callers_fail(&self) -> bool {
        self.callers.as_ref().is_some_and(Callers::fail)
    }

    /// Removes addresses and processes, for a user on another machine.
    pub(super) fn hide_addresses(&mut self) {
        (self.gateway, self.prometheus, self.grafana, self.dashboard) = (None, None, None, None);
        for service in &mut self.services {
            (service.address, service.pid) = (None, None);
        }
    }

    /// State in words. Healthy services are not enough while callers fail.
    pub(super) fn headline(&self) -> (Tone, &'static str) {
        match self.state {
            LabState::Healthy if self.callers_fail() => (Tone::Failed, "healthy, but callers fail"),
            state => (state.tone(), state.name()),
        }
    }
}

/// Changes of a run that are not undone yet.
#[derive(Serialize)]
pub(super) struct PendingUndo {
    pub(super) run: String,
    pub(super) scenario: String,
    /// Kept on purpose, by `--keep` or `--until`.
    pub(super) kept: bool,
    /// A kept fault was reverted by hand, so that nothing is left to undo.
    pub(super) fixed: bool,
    #[serde(skip)]
    pub(super) state: UndoState,
}

impl PendingUndo {
    fn new(pending: Pending, state: UndoState) -> Self {
        let fixed = matches!(state, UndoState::Fixed { .. });
        Self { run: pending.run, scenario: pending.scenario, kept: pending.kept, fixed, state }
    }

    /// Cell of the table of all labs.
    pub(super) fn note(&self) -> &'static str {
        match self.state {
            UndoState::Pending => "undo pending",
            UndoState::Kept => "kept fault",
            UndoState::Fixed { .. } => "fault fixed",
        }
    }

    pub(super) fn tone(&self) -> Tone {
        match self.state {
            UndoState::Pending | UndoState::Kept => Tone::Warn,
            UndoState::Fixed { .. } => Tone::Good,
        }
    }
}

/// Document without services.
fn empty_document(lab: &Lab, engine: &str, state: LabState) -> Document {
    Document {
        lab: lab.name().to_owned(),
        engine: engine.to_owned(),
        state,
        error: None,
        keys: None,
        gateway: None,
        prometheus: None,
        grafana: None,
        dashboard: None,
        services: Vec::new(),
        notices: Vec::new(),
        callers: Callers::running_in(lab),
        run: lab.running(),
        undo: None,
        drill: None,
    }
}

/// Document for a lab whose state cannot be determined.
pub(super) fn unknown(lab: &Lab, why: String) -> Document {
    let engine = lab.record().ok().flatten().map(|record| record.engine);
    Document { error: Some(why), ..empty_document(lab, engine.as_deref().unwrap_or("-"), LabState::Unknown) }
}

pub(super) fn document(
    connected: &Connected,
    described: Result<Description, EngineError>,
    pending: Option<Pending>,
) -> anyhow::Result<Document> {
    let mut document = empty_document(&connected.lab, &connected.record.engine, LabState::Down);
    document.undo = match pending {
        Some(pending) => {
            let state = pending.state(described.as_ref().ok(), &connected.lab.existing()?);
            Some(PendingUndo::new(pending, state))
        }
        None => None,
    };
    match described {
        Ok(now) => {
            document.state = now.overall().into();
            document.keys = connected.keys(&now)?;
            document.gateway = Some(now.endpoints.gateway);
            (document.prometheus, document.grafana) = (now.endpoints.prometheus, now.endpoints.grafana);
            document.dashboard = now.endpoints.dashboard;
            document.services = now.services;
            mask_secrets(&mut document.services, &now.roles, &connected.record.containers.secrets);
            document.notices = now.notices;
        }
        Err(error) if error.kind.is_down() => {
            document.error = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(document)
}

/// Masks the lab's passwords and the secrets of all services, because such a document is shown and shared.
fn mask_secrets(services: &mut [ServiceStatus], roles: &Roles, passwords: &BTreeMap<String, String>) {
    let mut secrets = Secrets::default();
    for password in passwords.values() {
        secrets.add(password);
    }
    for (name, value) in services.iter_mut().flat_map(|service| service.env.iter_mut()) {
        secrets.hide(value);
        *value = secret::mask_value(roles, name, value);
    }
}
