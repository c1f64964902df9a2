//! [`Seen`]: one look at a lab: what its engine, its app, its runs and its logs say.

use lab_core::engine::{LogLine, ServiceStatus};
use lab_core::event::Keys;
use lab_telemetry::live::{Alert, Told};
use lab_telemetry::metrics::{Exposition, Moment};

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When.
    pub(super) at: Moment,
    /// How the lab is.
    pub(super) lab: Sight,
    /// The instance of the app that serves, and what it said; none where it did not answer.
    pub(super) said: Option<(String, Exposition)>,
    /// What its runs have told since the last look.
    pub(super) told: Vec<Told>,
    /// What its services have written since the last look.
    pub(super) lines: Vec<LogLine>,
    /// Its alerts.
    pub(super) alerts: Alarms,
}

/// What is known of the alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alarms {
    /// Nobody evaluates rules for this lab.
    Nobody,
    /// Whoever does cannot be asked now.
    Silent,
    /// Those that are not inactive, and those that are over.
    Known(Vec<Alert>),
}

/// How a lab is.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// Nobody has looked yet.
    Unseen,
    /// It is up.
    Up(Box<Up>),
    /// It is not, or it cannot be asked: why.
    Away(String),
}

/// A lab that is up.
#[derive(Clone, Debug, Default)]
pub(super) struct Up {
    /// The engine's name.
    pub(super) engine: String,
    /// The gateway's base URL.
    pub(super) gateway: String,
    /// In the order of the request path.
    pub(super) services: Vec<ServiceStatus>,
    /// None where the server has none.
    pub(super) keys: Option<Keys>,
    /// What a run has changed and not put back, and what the lab goes without: a sentence each.
    pub(super) remarks: Vec<String>,
}
