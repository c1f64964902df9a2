//! `lab room resume`: starts the server of a room again, or lets the clocks go on after a pause.

use super::{Room, up};
use crate::commands::session::Session;
use lab_core::error::Exit;
use lab_report::term::{Fallback, Tone};

pub(super) async fn run(session: &Session) -> anyhow::Result<Exit> {
    let room = Room::open(session)?;
    let process = room.process();
    if process.is_running() {
        let message = room.desk()?.post("resume", &[]).await?;
        return session.line(message.as_deref().unwrap_or("the clocks go on"));
    }
    let line = session.term.progress_line("starting the server", Fallback::Silent);
    let started = process.start(&room.state, &room.name).await;
    line.clear();
    started?;
    let painter = session.term.painter();
    session.line(&format!("room {} goes on; the time without its server does not count", room.name))?;
    if room.fold()?.paused.is_some() {
        session.line(&painter.paint(Tone::Warn, "it is still paused: lab room resume lets the clocks go on"))?;
    }
    session.line(&format!("  trainer  {}", up::desk_url(&room.config)))?;
    session.line(&painter.paint(Tone::Dim, &format!("next: lab room status{}", up::name_argument(&room.name))))
}
