//! Results of actions.

use super::super::traffic_results::TrafficResults;
use lab_core::engine::{Retired, RunState};
use lab_core::event::{CounterSample, ExpectationResult};

/// Result of an action.
#[derive(Debug, Default)]
pub(in crate::runner) struct ActionResult {
    /// Short summary for the timeline.
    pub(in crate::runner) detail: Option<String>,
    pub(in crate::runner) changed: bool,
    pub(in crate::runner) traffic: Option<TrafficResults>,
    /// App instances that the action stopped.
    pub(in crate::runner) retired: Vec<Retired>,
    /// They were killed rather than stopped gracefully.
    pub(in crate::runner) killed: bool,
    /// Results of checks.
    pub(in crate::runner) checks: Vec<ExpectationResult>,
    /// App counters scraped while traffic was sent.
    pub(in crate::runner) counters: Vec<CounterSample>,
    /// Last lines of a command's output.
    pub(in crate::runner) output: Vec<String>,
    /// Outputs that later steps may use.
    pub(in crate::runner) outputs: StepOutputs,
    pub(in crate::runner) own: OwnChanges,
}

/// Outputs of a step's request, query or command.
#[derive(Clone, Debug, Default)]
pub(in crate::runner) struct StepOutputs {
    pub(in crate::runner) status: Option<u16>,
    pub(in crate::runner) body: Option<String>,
    pub(in crate::runner) value: Option<String>,
    pub(in crate::runner) stdout: Option<String>,
    pub(in crate::runner) exit_code: Option<i32>,
}

/// Parts of the lab's state that the run itself changed.
#[derive(Clone, Debug, Default)]
pub(in crate::runner) struct OwnChanges {
    /// Server key, if the run set or unset it.
    #[expect(clippy::option_option, reason = "unchanged and unset are two things")]
    pub(in crate::runner) server: Option<Option<String>>,
    pub(in crate::runner) caller: Option<String>,
    pub(in crate::runner) callers: Vec<(String, String)>,
    pub(in crate::runner) state: Option<(String, RunState)>,
    /// Unknown: a user command ran.
    pub(in crate::runner) anything: bool,
}
