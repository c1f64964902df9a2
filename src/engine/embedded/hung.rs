//! Ending a host that lives and does not answer: one that was stopped (SIGSTOP, a debugger), or that hangs. It is told to go
//! first; only one that stays silent is killed, and only where it is certain that the process is the host.

use super::call::{Calls, unreadable};
use super::launch;
use super::protocol::HostFile;
use crate::background;
use crate::engine::{EngineError, EngineErrorKind};
use crate::files::{self, Folder};

/// Ends the host through its control port. One that neither ends nor says how it is within the seconds that a question may
/// take is killed; its services end with it.
pub(super) async fn end(folder: &Folder, calls: &Calls) -> Result<(), EngineError> {
    let mut down = std::pin::pin!(calls.down());
    let listens = tokio::select! {
        ended = &mut down => return ended,
        listens = calls.describe() => listens,
    };
    match listens {
        Err(error) if error.kind == EngineErrorKind::System && launch::lives(folder) => kill(folder),
        // It ends its services, or a change before that, which it carries to its end; or it is gone already.
        _ => down.await,
    }
}

fn kill(folder: &Folder) -> Result<(), EngineError> {
    let failed = |detail: &str| EngineError::new(EngineErrorKind::System, detail).of("lab host");
    let path = folder.path(super::HOST_FILE);
    let text = files::read_state(&path, files::RECORD_LIMIT).map_err(|error| unreadable(&path, &error))?;
    let file: HostFile = serde_json::from_slice(&text).map_err(|error| failed(&error.to_string()))?;
    let lock = folder.path(super::LOCK_FILE);
    background::kill(&lock, file.pid).map_err(|error| {
        let detail = format!("it does not answer, and cannot be killed: {error}");
        failed(&detail).hint(background::who_holds(&lock))
    })
}
