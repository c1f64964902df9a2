//! Response of Prometheus' `/api/v1/rules?type=alert`, limited to the fields that lab uses
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/#rules>).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::ResponseError;
use super::state::State;

/// The response document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulesResponse {
    /// `success` or `error`.
    pub(super) status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) error: String,
    #[serde(default)]
    pub(super) data: Option<Data>,
}

impl RulesResponse {
    /// Parses a response.
    ///
    /// # Errors
    /// Fails if the text is not such a document, or if Prometheus reports an error.
    pub fn parse(text: &str) -> Result<Self, ResponseError> {
        let response: Self = serde_json::from_str(text)?;
        match (&response.data, response.status.as_str()) {
            (Some(_), "success") => Ok(response),
            _ => Err(ResponseError::Failed { status: response.status, error: response.error }),
        }
    }

    /// Names of all alerts, in any state.
    pub fn names(&self) -> BTreeSet<String> {
        let groups = self.data.iter().flat_map(|data| &data.groups);
        groups.flat_map(|group| &group.rules).map(|rule| rule.name.clone()).collect()
    }

    /// Names of the alerts that fire.
    pub fn firing(&self) -> BTreeSet<String> {
        let groups = self.data.iter().flat_map(|data| &data.groups);
        let firing = groups.flat_map(|group| &group.rules).filter(|rule| rule.state == State::Firing);
        firing.map(|rule| rule.name.clone()).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) rules: Vec<Rule>,
    /// In seconds.
    #[serde(default)]
    pub(super) interval: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) state: State,
    pub(super) name: String,
    pub(super) query: String,
    /// Its `for`, in seconds.
    #[serde(default)]
    pub(super) duration: f64,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) alerts: Vec<Alert>,
    #[serde(default)]
    pub(super) health: String,
    #[serde(default, rename = "lastError", skip_serializing_if = "String::is_empty")]
    pub(super) last_error: String,
    /// RFC 3339, in the year 1 before the first evaluation.
    #[serde(default, rename = "lastEvaluation")]
    pub(super) last_evaluation: String,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alert {
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) state: State,
    /// Time from which the condition has been true, in RFC 3339.
    #[serde(default, rename = "activeAt")]
    pub(super) active_at: String,
    /// Value of the condition in Go's notation.
    #[serde(default)]
    pub(super) value: String,
}
