//! Consoles: a line is parsed and refused, or written to the log and run. One line per seat runs at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lab_report::term::clean_lines;
use tokio::task::JoinHandle;

use super::record::paused;
use super::{Host, Refusal, lock};
use crate::backend::{Line, Output};
use crate::config::SeatNumber;
use crate::event::Event;
use crate::fold::LabState;

/// Longest line, in bytes.
const LONGEST_LINE: usize = 2000;
/// Longest output in the log, in bytes, and that of a seat that has printed too much.
const LONGEST_OUTPUT: usize = 128 << 10;
const SHORT_OUTPUT: usize = 2 << 10;

/// Interval between two attempts to save an output.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

/// A line that runs. It runs to its end even if this is dropped.
#[derive(Debug)]
pub struct Running(JoinHandle<()>);

impl Running {
    /// Waits until the line has ended and its output can be seen.
    pub async fn wait(self) {
        // A panic is reported by the task.
        let _ = self.0.await;
    }
}

impl Host {
    /// Begins to run a line of a seat's console. The output comes later.
    pub async fn run_line(self: &Arc<Self>, seat: SeatNumber, text: &str) -> Result<Running, Refusal> {
        let lab = self.seat_config(seat)?.lab.clone();
        lock(&self.lines).add(seat, Instant::now()).map_err(Refusal::TooMany)?;
        if text.len() > LONGEST_LINE {
            return Err(Refusal::Invalid(format!("the line is longer than {LONGEST_LINE} bytes")));
        }
        let line = self.backend.parse(text.trim()).map_err(Refusal::Invalid)?;
        let shown = line.shown.clone();
        let entry = self
            .record(move |live| {
                let found = live.room.seats.get(&seat).ok_or(Refusal::NoSeat(seat))?;
                if live.room.paused.is_some() {
                    return Err(paused());
                }
                if found.lab != LabState::Ready {
                    return Err(Refusal::conflict("the lab of this seat is not up; wait, or raise your hand"));
                }
                if found.console.last().is_some_and(|last| last.output.is_none()) {
                    return Err(Refusal::conflict("the last line is still running; wait for its output"));
                }
                Ok(Some(Event::Command { seat, line: shown }))
            })
            .await?;
        // The seat has no other line until this one has its output.
        let command = entry.and_then(|_| self.last_command(seat));
        let host = Arc::clone(self);
        Ok(Running(tokio::spawn(async move {
            if let Some(command) = command {
                host.complete_line(seat, command, &lab, &line).await;
            }
        })))
    }

    fn last_command(&self, seat: SeatNumber) -> Option<u64> {
        self.read_live().room.seats.get(&seat)?.console.last().map(|command| command.entry)
    }

    async fn complete_line(self: &Arc<Self>, seat: SeatNumber, command: u64, lab: &str, line: &Line) {
        let Output { exit, text } = {
            let _running = self.running_lines.acquire().await;
            self.backend.run(lab, line).await
        };
        let mut text = self.capped(seat, &clean_lines(&text));
        loop {
            let output = Event::Output { seat, command, exit, text: text.clone() };
            match self.record(move |_| Ok(Some(output))).await {
                // Without its output, the line would block the console, so this is repeated until the disk has space.
                Err(Refusal::Unsaved(_)) => tokio::time::sleep(SAVE_INTERVAL).await,
                _ => break,
            }
            "the output could not be saved".clone_into(&mut text);
        }
        // The line may have written to the drill's log.
        let host = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || host.poll(seat)).await;
    }

    /// Cuts the output of a line. A seat that has printed a lot gets less of it.
    fn capped(&self, seat: SeatNumber, text: &str) -> String {
        let text = cut(text, LONGEST_OUTPUT, "… cut");
        if text.len() <= SHORT_OUTPUT {
            return text;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 128 KiB")]
        let amount = text.len() as f64;
        match lock(&self.output).add_amount(seat, amount, Instant::now()) {
            Ok(()) => text,
            Err(_) => {
                cut(&text, SHORT_OUTPUT, "… cut, because this seat has printed a lot; ask for less, as with --tail")
            }
        }
    }
}

/// Cuts a text between two characters.
fn cut(text: &str, longest: usize, note: &str) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}\n{note}\n", &text[..text.floor_char_boundary(longest)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_is_cut_between_characters() {
        assert_eq!(cut("üü", 4, "cut"), "üü");
        assert_eq!(cut("üüü", 5, "cut"), "üü\ncut\n");
    }
}
