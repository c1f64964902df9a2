//! [`Undo`]: what became of the changes of a run.

use serde::{Deserialize, Serialize};

/// What became of the changes of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Overall.
    pub status: UndoOutcome,
    /// Each of them, in the order of the undo.
    pub items: Vec<UndoItem>,
}

/// Whether the lab is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoOutcome {
    /// All was put back, or there was nothing to put back.
    Complete,
    /// The user asked to keep the changes (`--keep`, `--until`).
    Kept,
    /// Something is owed: `lab recover`.
    Incomplete,
}

/// A change that was put back, or kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoItem {
    /// What was changed: a service's name, `caller`, or `lab`.
    pub target: String,
    /// Which part of it: a variable's name, `state`, `key`.
    pub name: String,
    /// The value before the run: the one that it has again, or would have.
    pub value: String,
    /// How it went.
    pub status: UndoStatus,
    /// Why it could not be put back.
    pub error: Option<String>,
}

/// How putting back went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoStatus {
    /// It is as before.
    Undone,
    /// It could not be put back; `lab recover` tries again.
    Failed,
    /// It was left changed, as the user asked; `lab recover` puts it back.
    Kept,
}
