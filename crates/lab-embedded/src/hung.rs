//! Ending a host, also one that does not answer: it was stopped (SIGSTOP, a debugger), it hangs, or its `host.json` is lost or
//! leads elsewhere. A host that does not end when asked through its control port is found by the lock that it holds.

use std::time::Duration;

use super::call::Calls;
use super::launch;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_system::background;
use lab_system::files::Folder;

/// How long a host that was found by its lock may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the host of this folder and its services; returns when they have ended. No host is no error.
pub(super) async fn end(folder: &Folder, calls: &Calls) -> Result<(), EngineError> {
    if asked(calls).await && launch::until_gone(folder).await.is_ok() {
        return Ok(());
    }
    let lock = folder.path(super::LOCK_FILE);
    background::end_holders(&lock, GRACE).await.map_err(|error| {
        let detail = format!("it cannot be ended: {error}");
        EngineError::new(EngineErrorKind::System, detail).for_service("lab host").hint(background::who_holds(&lock))
    })
}

/// Asks the host to end through its control port; false if it does not take the request. A question is asked beside it, since
/// that has to be answered within seconds.
async fn asked(calls: &Calls) -> bool {
    let mut down = std::pin::pin!(calls.down());
    tokio::select! {
        asked = &mut down => asked.is_ok(),
        answered = calls.describe() => answered.is_ok() && down.await.is_ok(),
    }
}
