//! Progress line of a run on stderr. It shows the current step, and nothing if stderr is not
//! a terminal.

use std::io;

use super::{Sink, text};
use crate::term::{Fallback, ProgressLine, Term};
use lab_core::event::{AlertState, Event, EventKind};

/// Sink that shows the current step until the run ends.
#[derive(Debug)]
pub struct Progress {
    live: ProgressLine,
}

impl Progress {
    /// Shows the progress line.
    pub fn new(term: &Term) -> Self {
        Self { live: term.progress_line("starting", Fallback::Silent) }
    }

    /// Progress line, for the progress within a step.
    pub fn handle(&self) -> ProgressLine {
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
