//! Stops a host, even one that does not answer because it is suspended or hangs, or because its `host.json` is lost or stale.
//! A host that does not stop through its control port is found by the lock that it holds.

use std::time::Duration;

use super::launch;
use super::local_host::Calls;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_system::background;
use lab_system::files::Folder;

/// Time between SIGTERM and SIGKILL for a host found by its lock.
const GRACE: Duration = Duration::from_secs(2);

/// Stops the host of this folder and its services, and waits until they have exited. Succeeds if there is no host.
pub(super) async fn stop(folder: &Folder, calls: &Calls) -> Result<(), EngineError> {
    if request_shutdown(calls).await && launch::until_gone(folder).await.is_ok() {
        return Ok(());
    }
    let lock = folder.path(lab_host::LOCK_FILE);
    background::end_holders(&lock, GRACE).await.map_err(|error| {
        let detail = format!("it cannot be stopped: {error}");
        EngineError::new(EngineErrorKind::System, detail).for_service("lab host").hint(background::holder_hint(&lock))
    })
}

/// Requests shutdown through the control port. Returns `false` if the host does not accept the request. A concurrent
/// `describe`, which must be answered within seconds, detects a host that hangs.
async fn request_shutdown(calls: &Calls) -> bool {
    let mut down = std::pin::pin!(calls.down());
    tokio::select! {
        accepted = &mut down => accepted.is_ok(),
        description = calls.describe() => description.is_ok() && down.await.is_ok(),
    }
}
