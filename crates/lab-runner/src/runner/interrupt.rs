//! [`Interrupt`]: how a run is asked to stop. The first signal stops it and leads to the undo; the second gives the undo up
//! and leaves it owed. Who catches the signals is not known here.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use lab_core::error::Exit;

/// What asked the run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The exit code after the undo: 130 or 143.
    pub fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
        }
    }
}

/// Two tokens, and the signal that came first. Clones are the same interrupt.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: CancellationToken,
    give_up: CancellationToken,
    first: Arc<OnceLock<Signal>>,
}

impl Interrupt {
    /// Nothing came yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal came: the first stops the run, each further one gives up its undo.
    pub fn raise(&self, signal: Signal) {
        match self.first.set(signal) {
            Ok(()) => self.stop.cancel(),
            Err(_) => self.give_up.cancel(),
        }
    }

    /// The first signal, if one came.
    pub fn signal(&self) -> Option<Signal> {
        self.first.get().copied()
    }

    /// Cancelled by the first signal: the run stops, and puts back.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancelled by the second signal: what is not put back stays owed.
    pub fn give_up(&self) -> &CancellationToken {
        &self.give_up
    }
}
