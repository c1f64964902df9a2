//! [`LocalHost`]: finds the host of a lab on this machine through the files in the lab's folder.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::launch;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_host::{HOST_FILE, HostAddress, HostClient, HostFile, Locate, unreadable};
use lab_http::HttpError;
use lab_system::files::{self, Folder};

/// Time to wait for the `host.json` of a live host. Longer than the interval at which the host restores a lost file.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);
const FILE_INTERVAL: Duration = Duration::from_millis(10);

const TERMINATED: &str = "its host terminated unexpectedly";

/// Client of a host on this machine.
pub(super) type Calls = HostClient<LocalHost>;

pub(super) struct LocalHost {
    folder: Folder,
}

impl LocalHost {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone() }
    }
}

#[async_trait]
impl Locate for LocalHost {
    /// Reads the host's address and token. Waits for a host that is starting or stopping; a live host rewrites a lost or
    /// damaged file.
    async fn locate(&self) -> Result<HostAddress, EngineError> {
        let path = self.folder.path(HOST_FILE);
        let deadline = Instant::now() + FILE_TIMEOUT;
        loop {
            let text = files::read_state(&path, files::RECORD_LIMIT);
            let missing = text.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            let problem = match (text, launch::lives(&self.folder)) {
                (Err(_), false) if missing => return Err(EngineError::new(EngineErrorKind::NotUp, "")),
                // The content does not matter once the host has terminated.
                (_, false) => return Err(EngineError::new(EngineErrorKind::Lost, TERMINATED)),
                (Err(error), true) => unreadable(&path, &error),
                (Ok(text), true) => match serde_json::from_slice::<HostFile>(&text) {
                    Ok(HostFile { address, token, .. }) => return Ok(HostAddress { address, token, key: None }),
                    Err(error) => {
                        let detail = format!("its host is running, but {HOST_FILE} is invalid: {error}");
                        EngineError::new(EngineErrorKind::System, detail).hint("run `lab down` to stop it")
                    }
                },
            };
            if Instant::now() > deadline {
                return Err(problem);
            }
            tokio::time::sleep(FILE_INTERVAL).await;
        }
    }

    async fn lost(&self, error: &HttpError) -> EngineError {
        // The port opens before the address is published and closes when shutdown begins, so a refused connection means that
        // the host is gone.
        let gone = error.is_gone();
        let kind = if !gone && launch::lives(&self.folder) { EngineErrorKind::System } else { EngineErrorKind::Lost };
        if gone {
            return EngineError::new(kind, TERMINATED);
        }
        EngineError::new(kind, format!("its host does not answer: {error}"))
            .hint("run `lab down` to stop it, even if it hangs")
    }
}
