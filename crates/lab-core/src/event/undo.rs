//! Result of undoing the changes of a run.

use serde::{Deserialize, Serialize};

/// Result of undoing the changes of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub status: UndoOutcome,
    /// One entry per reverted value, in undo order.
    pub items: Vec<UndoItem>,
}

/// Whether the lab is back in its original state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoOutcome {
    /// Every change was reverted, or there was none.
    Complete,
    /// The user asked to keep the changes (`--keep`, `--until`).
    Kept,
    /// Some changes could not be reverted; `lab recover` retries them.
    Incomplete,
}

/// One reverted or kept value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoItem {
    /// Service name, `caller`, `caller NAME` or `lab`.
    pub target: String,
    /// Variable name, `state` or `key`.
    pub name: String,
    /// Value before the run.
    pub value: String,
    pub status: UndoStatus,
    /// Why the revert failed.
    pub error: Option<String>,
}

/// Result of reverting one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoStatus {
    /// The original value is restored.
    Undone,
    /// The revert failed; `lab recover` retries it.
    Failed,
    /// Kept at the user's request; `lab recover` reverts it.
    Kept,
}
