//! [`Context`]: what every step of a run needs, shared with the tasks that the steps run in.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::interrupt::Interrupt;
use crate::lab::Lab;
use crate::undo::UndoLog;
use lab_core::engine::Engine;
use lab_core::event::Secrets;
use lab_system::process::Processes;
use lab_telemetry::wire::{TrafficProgressFn, Wire};

#[derive(Clone)]
pub(super) struct Context {
    pub(super) lab: Lab,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) wire: Arc<dyn Wire>,
    /// None: commands are not allowed.
    pub(super) processes: Option<Arc<dyn Processes>>,
    pub(super) interrupt: Interrupt,
    /// Stops the present step, and the steps after it.
    pub(super) stop: CancellationToken,
    pub(super) progress: TrafficProgressFn,
    /// The run's id.
    pub(super) id: String,
    /// What others are told who wait for a change.
    pub(super) holder: String,
    pub(super) clock: Clock,
    /// What nobody is to read.
    pub(super) secrets: Secrets,
    /// tokio's lock: a panic in a step must not poison it for the undo.
    pub(super) undo: Arc<Mutex<UndoLog>>,
}
