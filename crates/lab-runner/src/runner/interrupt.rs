//! Stop requests. The first signal stops the run and starts the undo; the second abandons the undo, which stays
//! pending. Signal handlers live elsewhere.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use lab_core::error::Exit;

/// Signal that stopped the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// Exit code after the undo: 130 or 143.
    pub fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
        }
    }
}

/// Two cancellation tokens and the first signal. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: CancellationToken,
    give_up: CancellationToken,
    first: Arc<OnceLock<Signal>>,
}

impl Interrupt {
    /// No signal received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles a signal: the first stops the run, each further one abandons the undo.
    pub fn raise(&self, signal: Signal) {
        match self.first.set(signal) {
            Ok(()) => self.stop.cancel(),
            Err(_) => self.give_up.cancel(),
        }
    }

    /// First signal, if there was one.
    pub fn signal(&self) -> Option<Signal> {
        self.first.get().copied()
    }

    /// Cancelled by the first signal: the run stops and undoes its changes.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancelled by the second signal: changes that are not reverted yet stay pending.
    pub fn give_up(&self) -> &CancellationToken {
        &self.give_up
    }
}
