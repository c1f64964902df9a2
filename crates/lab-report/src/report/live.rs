//! Progress line of a run on stderr. It shows the current step, and nothing if stderr is not
//! a terminal.

use std::io;

use super::{Sink, text};
use crate::term::{Live, Plain, Term};
use lab_core::event::{AlertState, Event, EventKind};

/// Sink that shows the current step until the run ends.
#[derive(Debug)]
pub struct Progress {
    live: Live,
}

impl Progress {
    /// Shows the progress line.
    pub fn new(term: &Term) -> Self {
        Self { live: term.live("starting", Plain::Silent) }
    }

    /// Progress line, for the progress within a step.
    pub fn handle(&self) -> Live {
        self.live.clone()
    }
}

impl Sink for Progress {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::StepStarted(step) => self.live.label(&text::clean(&step.name)),
            EventKind::Alert(alert) if alert.state == AlertState::Firing => {
                self.live.label(&text::clean(&format!("{} is firing", alert.name)));
            }
            EventKind::UndoStarted { .. } => self.live.label("reverting the changes"),
            EventKind::RunFinished(_) => self.live.clear(),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.live.clear();
        Ok(())
    }
}
