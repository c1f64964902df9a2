//! `lab room down`: ends the drills of a room, removes its labs, and closes it. Works without the server, and with damaged
//! files.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::client::Desk;
use super::process::RoomProcess;
use super::{no_such_room, selected};
use crate::cli::RoomDownArgs;
use crate::commands::session::Session;
use crate::commands::{down, failure};
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::term::{Fallback, Tone};
use lab_room::config::{RoomConfig, Rooms, describe};
use lab_runner::lab::{Lab, StateFolder};
use lab_system::deadline;

/// Labs that are removed at once.
const AT_ONCE: usize = 8;
/// Time for the server to tell the open pages.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Output of `--json`.
#[derive(Serialize)]
struct Document {
    room: String,
    /// The room and all its labs are removed.
    removed: bool,
    labs: usize,
    /// Labs that could not be removed, with the reason.
    failed: Vec<(String, String)>,
}

/// A room that was taken down, as far as possible.
pub(in crate::commands) struct Closed {
    labs: usize,
    failed: Vec<(String, String)>,
}

pub(super) async fn run(session: &Session, args: &RoomDownArgs) -> anyhow::Result<Exit> {
    let state = StateFolder::open()?;
    let name = selected(session, &state)?;
    if !Rooms::new(state.root()).folder(&name).root().exists() {
        return Err(no_such_room(&name).into());
    }
    let line = session.term.progress_line("closing the room", Fallback::Silent);
    let closed = close(&state, &name).await;
    line.clear();
    let Closed { labs, failed } = closed?;
    if args.json {
        let exit = if failed.is_empty() { Exit::Passed } else { Exit::Failed };
        session.json(&Document { room: name, removed: failed.is_empty(), labs, failed })?;
        return Ok(exit);
    }
    report(session, &name, &Closed { labs, failed })
}

impl Closed {
    /// Nothing is left of the room.
    pub(in crate::commands) fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Prints the result, and fails if something is left.
pub(in crate::commands) fn report(session: &Session, name: &str, closed: &Closed) -> anyhow::Result<Exit> {
    let Closed { labs, failed } = closed;
    for (lab, error) in failed {
        session.term.note(&session.term.stderr_painter().paint(Tone::Failed, &format!("lab {lab}: {error}")));
    }
    if failed.is_empty() {
        return session.line(&format!(
            "{} is closed, and {} removed",
            describe(name),
            human::count(*labs as u64, "lab")
        ));
    }
    let message = format!("{} of {} could not be removed", human::count(failed.len() as u64, "lab"), describe(name));
    Err(Failure::failed(message).hint(format!("try again with lab room down {name}")).into())
}

/// Stops the server, removes the labs, and then the room, unless a lab is left.
pub(in crate::commands) async fn close(state: &StateFolder, name: &str) -> anyhow::Result<Closed> {
    let folder = Rooms::new(state.root()).folder(name);
    let process = RoomProcess::new(&folder);
    if process.is_running()
        && let Ok(Some(config)) = RoomConfig::read(&folder)
    {
        // Open pages show it. Without an answer, they show that the connection is lost.
        let _ = deadline::timeout(CLOSE_TIMEOUT, Desk::new(name, &config).post("close", &[])).await;
    }
    process.stop().await?;
    let labs = labs(state, name)?;
    let remove = |lab: Lab| async move {
        let removed = down::remove(&Session::new(Some(lab.name())), &lab).await;
        removed.err().map(|error| (lab.name().to_owned(), failure::text(&error)))
    };
    let count = labs.len();
    let results: Vec<_> = stream::iter(labs.into_iter().map(remove)).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<(String, String)> = results.into_iter().flatten().collect();
    if failed.is_empty() {
        std::fs::remove_dir_all(folder.root())?;
    }
    Ok(Closed { labs: count, failed })
}

/// Labs of a room that exist. Without a readable configuration, those that are named like its seats.
fn labs(state: &StateFolder, name: &str) -> anyhow::Result<Vec<Lab>> {
    let config = RoomConfig::read(&Rooms::new(state.root()).folder(name));
    let seats: Option<BTreeSet<String>> =
        config.ok().flatten().map(|config| config.seats.into_iter().map(|seat| seat.lab).collect());
    let is_seat = |lab: &Lab| match &seats {
        Some(seats) => seats.contains(lab.name()),
        None => is_named_like_seat(lab.name(), name),
    };
    Ok(state.labs()?.into_iter().filter(is_seat).collect())
}

fn is_named_like_seat(lab: &str, room: &str) -> bool {
    let number = lab.strip_prefix(room).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| (2..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::is_named_like_seat;

    #[test]
    fn seats_are_recognized_by_their_names() {
        for (lab, is_seat) in [
            ("monday-01", true),
            ("monday-123", true),
            ("monday-1", false),
            ("monday", false),
            ("tuesday-01", false),
            ("monday-x1", false),
        ] {
            assert_eq!(is_named_like_seat(lab, "monday"), is_seat, "{lab}");
        }
    }
}
