//! `lab watch`: a lab on a full screen, as it changes. A [`Gatherer`] looks at it through its engine, its sockets and its
//! files, as often as is asked for; the [`Model`] is what is known; `view` draws it. [`watch`] brings the three together.

use std::io;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use lab_report::term::{FullScreen, Input, Key};

mod line;
mod model;
mod seen;
mod source;
mod story;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use model::{About, Model};
pub(crate) use source::Gatherer;

use model::After;
use seen::Seen;

/// Looks that may wait to be shown.
const LOOKS: usize = 4;
/// How often a clock on the screen goes on by itself, where nothing else is drawn.
const CLOCK: Duration = Duration::from_secs(1);

/// Why somebody no longer watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// They had seen enough.
    Quit,
    /// Ctrl-C.
    Interrupted,
    /// The terminal has gone.
    Gone,
    /// `stop` was cancelled.
    Stopped,
}

/// Shows a lab until somebody ends it, or `stop` is cancelled.
pub(crate) async fn watch(
    mut screen: FullScreen,
    gatherer: Gatherer,
    mut model: Model,
    stop: &CancellationToken,
) -> io::Result<Ended> {
    let (sender, mut looks) = mpsc::channel(LOOKS);
    let gathering = tokio::spawn(gatherer.run(sender));
    let ended = show(&mut screen, &mut looks, &mut model, stop).await;
    gathering.abort();
    drop(screen);
    ended
}

async fn show(
    screen: &mut FullScreen,
    looks: &mut mpsc::Receiver<Seen>,
    model: &mut Model,
    stop: &CancellationToken,
) -> io::Result<Ended> {
    loop {
        model.tick(Utc::now());
        screen.draw(|frame| view::draw(frame, model))?;
        let clock = Instant::now() + CLOCK;
        tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Stopped),
            input = screen.next() => match input {
                Input::Gone => return Ok(Ended::Gone),
                Input::Redraw => {}
                Input::Key(Key::Ctrl('c')) => return Ok(Ended::Interrupted),
                Input::Key(Key::Ctrl('z')) => screen.suspend(),
                Input::Key(key) => if model.key(key) == After::Quit { return Ok(Ended::Quit) },
            },
            seen = looks.recv() => match seen {
                Some(seen) => model.take(seen),
                // Its task has panicked, which the hook has told; the terminal is given back already.
                None => return Err(io::Error::other("the lab is looked at no more: a defect of lab watch")),
            },
            () = tokio::time::sleep_until(clock) => {}
        }
    }
}
