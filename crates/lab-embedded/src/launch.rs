//! Starts hosts and detects live ones. A host is alive while its lock is held; process ids are never used.

use std::io;
use std::path::Path;
use std::time::Duration;

use lab_core::engine::{Description, EngineError, EngineErrorKind, UpRequest};
use lab_host::{HOST_FILE, HostRequest, LOCK_FILE, Ready, unreadable};
use lab_system::background::{self, Starting};
use lab_system::deadline::Deadline;
use lab_system::files::{self, Folder};

/// Time for a stack to come up. The host has shorter limits for each part.
const UP_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a host to finish starting or stopping.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);
/// Time for a host to exit after a shutdown request.
const DOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Host that has started its stack.
pub(super) struct Started {
    /// A tied host exits when the standard input held here closes.
    pub(super) process: std::process::Child,
    pub(super) description: Description,
}

/// Starts a host and waits until its stack is healthy.
pub(super) async fn start_host(folder: &Folder, exe: &Path, request: &UpRequest) -> Result<Started, EngineError> {
    let system = |error: io::Error| EngineError::new(EngineErrorKind::System, format!("lab host: {error}"));
    check_path(folder.root())?;
    files::make_folder(folder.root()).map_err(system)?;
    let log = folder.path("host.log");
    let mut command = background::hidden_command(exe, "host", &log).map_err(|error| unreadable(&log, &error))?;
    let request =
        HostRequest { folder: folder.root().to_owned(), exe: exe.to_owned(), up: request.clone(), network: None };
    let mut starting = Starting::new(command.spawn().map_err(system)?);
    let response = starting.exchange(&request, UP_TIMEOUT).await;
    let failed = match response {
        Ok(response) if !response.is_empty() => match serde_json::from_str(&response) {
            Ok(Ready::Up(description)) => {
                let gone = || EngineError::new(EngineErrorKind::System, "lab host has exited");
                return Ok(Started { process: starting.keep().ok_or_else(gone)?, description: *description });
            }
            Ok(Ready::Failed(error)) => error,
            Err(_) => EngineError::new(EngineErrorKind::System, format!("unexpected output of lab host: {response:?}")),
        },
        Ok(_) => EngineError::new(EngineErrorKind::Exited, last_log_line(folder)).for_service("lab host"),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            EngineError::new(EngineErrorKind::StartupTimeout, last_log_line(folder)).for_service("lab host")
        }
        Err(error) => return Err(system(error)),
    };
    // Services that it may have started exit with it.
    drop(starting);
    until_gone(folder).await?;
    Err(failed)
}

/// Longest path that `SQLite` accepts, in bytes (`MAX_PATHNAME` of its Unix VFS, including the terminating zero).
const SQLITE_MAX_PATH: usize = 512;
/// Longest file name of the database in a lab's folder.
const SQLITE_LONGEST_NAME: &str = "/users.db-journal";

/// Rejects a folder in which the database could not be opened.
fn check_path(folder: &Path) -> Result<(), EngineError> {
    let longest = SQLITE_MAX_PATH - 1 - SQLITE_LONGEST_NAME.len();
    let length = folder.as_os_str().len();
    let detail = if folder.to_str().is_none() {
        format!("its folder's path is not UTF-8: {}", folder.display())
    } else if length > longest {
        format!("its folder's path is too long for SQLite: {length} bytes, at most {longest} allowed")
    } else {
        return Ok(());
    };
    Err(EngineError::new(EngineErrorKind::System, detail).hint("set LAB_STATE_DIR to another state folder"))
}

fn last_log_line(folder: &Folder) -> String {
    let text = files::read_state(&folder.path("host.log"), files::LOG_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().last().unwrap_or("no output").to_owned()
}

/// Returns `true` while the folder's host, or a service that it started, is running.
pub(super) fn lives(folder: &Folder) -> bool {
    background::is_running(&folder.path(LOCK_FILE))
}

/// Waits while a live host cannot be called yet, or no longer: until it has started or exited.
pub(super) async fn until_settled(folder: &Folder) {
    let deadline = Deadline::after(SETTLE_TIMEOUT);
    while lives(folder) && !folder.path(HOST_FILE).exists() && !deadline.is_over() {
        tokio::time::sleep(SETTLE_INTERVAL).await;
    }
}

/// Waits until the folder's host and its services have exited.
pub(super) async fn until_gone(folder: &Folder) -> Result<(), EngineError> {
    let path = folder.path(LOCK_FILE);
    let file = match files::open_state(&path, u64::MAX) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    background::wait_until_free(file, DOWN_TIMEOUT).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            EngineError::new(EngineErrorKind::System, "its host does not exit").for_service("lab host")
        }
        _ => EngineError::new(EngineErrorKind::System, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_sqlite_cannot_use_are_rejected_with_a_reason() {
        assert!(check_path(Path::new("/tmp/zustand ä 日本/labs/default")).is_ok());
        let long = format!("/{}", "x".repeat(SQLITE_MAX_PATH));
        let error = check_path(Path::new(&long)).unwrap_err();
        assert!(error.detail.contains("513 bytes, at most 494"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("LAB_STATE_DIR")));
        #[cfg(unix)]
        {
            let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"/tmp/\xff");
            assert!(check_path(Path::new(name)).unwrap_err().detail.contains("UTF-8"));
        }
    }
}
