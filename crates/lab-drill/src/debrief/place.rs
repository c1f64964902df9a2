//! Places to look at during an incident.

use serde::Serialize;

use crate::fold::Look;

/// A place to look at. The list is the same for every incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// States of the services.
    Status,
    /// Their logs.
    Logs,
    /// Metrics and alerts.
    Metrics,
    /// What changed, and when.
    History,
    /// Settings of the services.
    Env,
    /// Keys of server and callers.
    Key,
    /// A request of one's own.
    Request,
    /// Content of the database.
    #[serde(rename = "db query")]
    Database,
    /// The dashboard, Grafana or the live view.
    Dashboard,
    /// The callers' traffic.
    Callers,
}

/// How often, and since when, the participant looked at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// The place.
    pub place: Place,
    /// First look, in drill time in milliseconds. `None` if it was never looked at.
    pub first: Option<u64>,
    /// Number of looks.
    pub count: usize,
}

impl Place {
    /// All places in fixed order.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Logs,
        Self::Metrics,
        Self::History,
        Self::Env,
        Self::Key,
        Self::Request,
        Self::Database,
        Self::Dashboard,
        Self::Callers,
    ];

    /// Name for people: the command that shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::History => "history",
            Self::Env => "env",
            Self::Key => "key",
            Self::Request => "request",
            Self::Database => "db query",
            Self::Dashboard => "dashboard",
            Self::Callers => "callers",
        }
    }

    /// Place that a command shows, such as `logs app` or `open grafana`. `None` for other commands.
    pub fn from_command(command: &str) -> Option<Self> {
        let mut words = command.split_whitespace();
        match words.next()? {
            "status" => Some(Self::Status),
            "logs" => Some(Self::Logs),
            "metrics" | "query" => Some(Self::Metrics),
            "history" => Some(Self::History),
            "env" => Some(Self::Env),
            "key" => Some(Self::Key),
            "request" | "traffic" => Some(Self::Request),
            "db" => Some(Self::Database),
            "open" if words.next() == Some("prometheus") => Some(Self::Metrics),
            "dashboard" | "watch" | "open" => Some(Self::Dashboard),
            "callers" => Some(Self::Callers),
            _ => None,
        }
    }
}

/// One visit per place, in fixed order.
pub(super) fn visits(looks: &[Look]) -> Vec<Visit> {
    let visit = |place: Place| {
        let of_place = looks.iter().filter(|look| Place::from_command(&look.what) == Some(place));
        Visit { place, first: of_place.clone().map(|look| look.at).min(), count: of_place.count() }
    };
    Place::ALL.into_iter().map(visit).collect()
}
