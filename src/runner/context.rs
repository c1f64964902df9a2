//! [`Context`]: what every step of a run needs, shared with the tasks that the steps run in.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::clock::Clock;
use super::interrupt::Interrupt;
use crate::engine::Engine;
use crate::lab::Lab;
use crate::undo::UndoLog;
use crate::wire::{TrafficProgressFn, Wire};

pub(super) struct Context {
    pub(super) lab: Lab,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) wire: Arc<dyn Wire>,
    pub(super) interrupt: Interrupt,
    pub(super) progress: TrafficProgressFn,
    /// What others are told who wait for a change.
    pub(super) holder: String,
    pub(super) clock: Clock,
    /// tokio's lock: a panic in a step must not poison it for the undo.
    pub(super) undo: Mutex<UndoLog>,
}
