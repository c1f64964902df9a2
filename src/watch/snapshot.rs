//! Snapshot of a lab: state of the engine, metrics, and new events and log lines.

use lab_core::engine::{LogLine, Roles, ServiceStatus};
use lab_core::event::Keys;
use lab_telemetry::live::{Alert, Point, RunEvent};
use lab_telemetry::metrics::{Exposition, Moment};

/// Observed state at one time, with events and log lines since the previous snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// When.
    pub(super) at: Moment,
    /// State of the lab.
    pub(super) lab: LabState,
    /// Instance of the active app and its metrics. `None` if it did not answer.
    pub(super) app: Option<(String, Exposition)>,
    /// Instance of the edge and its metrics. `None` if it did not answer, or if the stack has none.
    pub(super) edge: Option<(String, Exposition)>,
    /// Points from before the first snapshot, once they are read.
    pub(super) history: Vec<Point>,
    /// New events of runs.
    pub(super) events: Vec<RunEvent>,
    /// New log lines.
    pub(super) lines: Vec<LogLine>,
    /// State of the alerts.
    pub(super) alerts: AlertView,
}

/// State of the alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AlertView {
    /// The lab has no evaluation of alert rules.
    NotEvaluated,
    /// The evaluation does not answer.
    Unavailable,
    /// Active and resolved alerts.
    Known(Vec<Alert>),
}

/// State of a lab.
#[derive(Clone, Debug)]
pub(super) enum LabState {
    /// Before the first snapshot.
    Unknown,
    /// Up.
    Up(Box<RunningLab>),
    /// Down or unreachable, with the reason.
    Unavailable(String),
}

/// Description of a lab that is up.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningLab {
    /// The engine's name.
    pub(super) engine: String,
    /// The gateway's base URL.
    pub(super) gateway: String,
    /// Services behind the roles of the request path.
    pub(super) roles: Roles,
    /// Services in the order of the request path.
    pub(super) services: Vec<ServiceStatus>,
    /// `None` if the server has no key.
    pub(super) keys: Option<Keys>,
    /// A drill is in progress.
    pub(super) is_drill: bool,
    /// Pending undo, unhealthy services and missing parts, one sentence each.
    pub(super) remarks: Vec<String>,
}
