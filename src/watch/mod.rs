//! `lab watch`: a live full-screen view of a lab. A [`Collector`] takes snapshots through the engine, the network and the
//! state folder, the [`Model`] keeps the state of the view, and `view` draws it. [`watch`] connects the three.

use std::io;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use lab_report::term::{FullScreen, Input, Key};

mod collector;
pub(crate) mod drill;
mod history;
mod line;
mod model;
mod run_tracker;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use collector::Collector;
pub(crate) use model::{About, Model};

use model::KeyOutcome;
use snapshot::Snapshot;

/// Capacity of the snapshot queue.
const SNAPSHOTS: usize = 4;
/// Interval of redraws that only advance the clocks.
const CLOCK: Duration = Duration::from_secs(1);

/// Reason for the end of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The user quit.
    Quit,
    /// Ctrl-C.
    Interrupted,
    /// The terminal was closed.
    Gone,
    /// `stop` was cancelled.
    Stopped,
}

/// Shows a lab until the user quits, the terminal is closed or `stop` is cancelled.
pub(crate) async fn watch(
    mut screen: FullScreen,
    collector: Collector,
    mut model: Model,
    stop: &CancellationToken,
) -> io::Result<EndReason> {
    let (sender, mut snapshots) = mpsc::channel(SNAPSHOTS);
    let gathering = tokio::spawn(collector.run(sender));
    let ended = show(&mut screen, &mut snapshots, &mut model, stop).await;
    gathering.abort();
    drop(screen);
    ended
}

async fn show(
    screen: &mut FullScreen,
    snapshots: &mut mpsc::Receiver<Snapshot>,
    model: &mut Model,
    stop: &CancellationToken,
) -> io::Result<EndReason> {
    loop {
        model.tick(Utc::now());
        screen.draw(|frame| view::draw(frame, model))?;
        let clock = Instant::now() + CLOCK;
        tokio::select! {
            () = stop.cancelled() => return Ok(EndReason::Stopped),
            input = screen.next() => match input {
                Input::Gone => return Ok(EndReason::Gone),
                Input::Redraw => {}
                Input::Key(Key::Ctrl('c')) => return Ok(EndReason::Interrupted),
                Input::Key(Key::Ctrl('z')) => screen.suspend(),
                Input::Key(key) => if model.handle_key(key) == KeyOutcome::Quit { return Ok(EndReason::Quit) },
            },
            snapshot = snapshots.recv() => match snapshot {
                Some(snapshot) => model.update(snapshot),
                // The task panicked. The panic hook printed the message and restored the terminal.
                None => return Err(io::Error::other("lab watch stopped taking snapshots; this is a bug in lab")),
            },
            () = tokio::time::sleep_until(clock) => {}
        }
    }
}
