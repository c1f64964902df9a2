//! Context shared by all steps of a run and their tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::interrupt::Interrupt;
use crate::lab::Lab;
use crate::lab::revisions::Author;
use crate::undo::UndoLog;
use lab_core::engine::Engine;
use lab_core::event::Secrets;
use lab_scenario::Step;
use lab_system::process::Processes;
use lab_telemetry::wire::{TrafficProgressFn, Wire};

#[derive(Clone)]
pub(super) struct Context {
    pub(super) lab: Lab,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) wire: Arc<dyn Wire>,
    /// `None` if commands are not allowed.
    pub(super) processes: Option<Arc<dyn Processes>>,
    pub(super) interrupt: Interrupt,
    /// Stops the current step and skips the following ones.
    pub(super) stop: CancellationToken,
    pub(super) progress: TrafficProgressFn,
    pub(super) id: String,
    /// Author of the changes.
    pub(super) author: Author,
    /// Name of the lock holder, shown to commands that wait for a change.
    pub(super) holder: String,
    pub(super) clock: Clock,
    /// Values to mask in all output.
    pub(super) secrets: Secrets,
    /// A tokio mutex, because a panic in a step must not poison it for the undo.
    pub(super) undo: Arc<Mutex<UndoLog>>,
    /// Steps that pass once the incident is fixed.
    pub(super) resolved_check: Arc<[Step]>,
    /// Keys of callers that the lab does not know, by name.
    pub(super) default_callers: BTreeMap<String, String>,
}
