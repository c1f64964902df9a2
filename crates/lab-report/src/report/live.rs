//! [`Progress`]: the line on stderr that says which step is under way. It is a sink like the others, beside the timeline;
//! in a pipe it shows nothing.

use std::io;

use super::{Sink, text};
use crate::term::{Live, Plain, Term};
use lab_core::event::{AlertState, Event, EventKind};

/// Shows the step that is under way, and goes away with the run.
#[derive(Debug)]
pub struct Progress {
    live: Live,
}

impl Progress {
    /// Starts to show something.
    pub fn new(term: &Term) -> Self {
        Self { live: term.live("starting", Plain::Silent) }
    }

    /// Takes progress within a step: so many requests of so many.
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
            EventKind::UndoStarted { .. } => self.live.label("putting back"),
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
