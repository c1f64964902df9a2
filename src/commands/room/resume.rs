//! `lab room resume`: starts the server of a room again, or lets the clocks go on after a pause.

use super::{Room, up};
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_report::term::{Fallback, Tone};
use lab_room::config::describe;

pub(super) async fn run(session: &Session) -> anyhow::Result<Exit> {
    let room = Room::open(session)?;
    let process = room.process();
    if process.is_running() {
        let message = room.desk()?.post("resume", &[]).await?;
        return session.line(message.as_deref().unwrap_or("the clocks go on"));
    }
    if room.fold()?.closed.is_some() {
        let message = format!("{} is closed, and not all of it could be removed", describe(&room.name));
        return Err(Failure::failed(message).hint(format!("lab room down {} removes the rest", room.name)).into());
    }
    let line = session.term.progress_line("starting the server", Fallback::Silent);
    let started = process.start(&room.state, &room.name).await;
    line.clear();
    started?;
    let painter = session.term.painter();
    session.line(&format!("{} goes on; the time without its server does not count", describe(&room.name)))?;
    if room.fold()?.paused.is_some() {
        session.line(&painter.paint(Tone::Warn, "it is still paused: lab room resume lets the clocks go on"))?;
    }
    session.line(&format!("  trainer  {}", up::desk_url(&room.config)))?;
    session.line(&painter.paint(Tone::Dim, &format!("next: lab room status{}", up::name_argument(&room.name))))
}
