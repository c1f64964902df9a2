//! The database of the embedded stack, a `SQLite` file. Pausing it takes an exclusive lock, so that the app's queries time out as
//! they would with an unresponsive Postgres.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};

use lab_core::engine::{DB, EngineError, EngineErrorKind, Health, RunState, ServiceStatus};

/// Time to acquire the lock. Readers finish their statements first.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Database {
    path: PathBuf,
    /// Connection that holds the lock, with the time at which it was taken.
    frozen: Mutex<Option<(SqliteConnection, DateTime<Utc>)>>,
}

impl Database {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, frozen: Mutex::new(None) }
    }

    /// Takes the lock.
    pub(super) async fn freeze(&self) -> Result<(), EngineError> {
        let options = SqliteConnectOptions::new().filename(&self.path).busy_timeout(LOCK_TIMEOUT);
        let system = |error: sqlx::Error| EngineError::new(EngineErrorKind::System, error.to_string()).for_service(DB);
        let mut connection = options.connect().await.map_err(system)?;
        connection.execute("BEGIN EXCLUSIVE").await.map_err(system)?;
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = Some((connection, Utc::now()));
        Ok(())
    }

    /// Releases the lock if it is held.
    pub(super) async fn thaw(&self) {
        let held = self.frozen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((connection, _)) = held {
            // Closing rolls back the empty transaction and releases the lock.
            let _ = connection.close().await;
        }
    }

    /// Removes the file, and those that `SQLite` keeps beside it.
    pub(super) fn remove(&self) -> Result<(), EngineError> {
        for suffix in ["-wal", "-shm", "-journal", ""] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let detail = format!("{}: {error}", path.display());
                    return Err(EngineError::new(EngineErrorKind::System, detail).for_service(DB));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn state(&self) -> RunState {
        if self.since().is_some() { RunState::Paused } else { RunState::Running }
    }

    fn since(&self) -> Option<DateTime<Utc>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, since)| *since)
    }

    pub(super) fn status(&self) -> ServiceStatus {
        let since = self.since();
        let (state, health) = match since {
            Some(_) => (RunState::Paused, Health::Unhealthy),
            None => (RunState::Running, Health::Healthy),
        };
        let detail = Some("a SQLite file".to_owned());
        ServiceStatus {
            name: DB.to_owned(),
            state,
            health,
            detail,
            instance: None,
            env: std::collections::BTreeMap::new(),
            address: None,
            pid: None,
            since,
            image: None,
            restarts: None,
        }
    }
}
