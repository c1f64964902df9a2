//! Embedded engine: runs the stack as plain processes, without Docker. [`Embedded`] starts `lab host` (see [`lab_host::host`]), which
//! owns the processes, and controls it over a loopback port.

#![warn(missing_docs)]

use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;

use lab_core::engine::sql::Dialect;
use lab_core::engine::{
    DbError, DbQuery, DbResult, Description, Engine, EngineError, LogLines, LogRequest, Progress, ProgressFn,
    Reconciliation, ServiceChange, ServiceSpec, UpRequest,
};
use lab_host::logs::past_lines;
use lab_host::{DATABASE_FILE, HOST_FILE, PROCESSES};
use lab_system::background;
use lab_system::files::Folder;

mod launch;
mod local_host;
mod stop_host;

use local_host::{Calls, LocalHost};

/// Name of this engine in records and options.
pub const NAME: &str = "embedded";

/// Engine that runs one lab as processes on this machine.
pub struct Embedded {
    folder: Folder,
    exe: PathBuf,
    calls: Calls,
    /// Tied host. It exits when its standard input closes, at the latest when this engine is dropped.
    tied: Mutex<Option<std::process::Child>>,
}

impl Embedded {
    /// Creates the engine of the lab in this folder. The stack runs lab's own executable.
    pub fn new(folder: &Folder) -> Self {
        Self::with_executable(folder, background::own_executable())
    }

    /// Like [`Embedded::new`] with another executable, for tests.
    pub fn with_executable(folder: &Folder, exe: PathBuf) -> Self {
        Self { folder: folder.clone(), exe, calls: Calls::new(LocalHost::new(folder)), tied: Mutex::new(None) }
    }
}

#[async_trait]
impl Engine for Embedded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn services(&self) -> Vec<ServiceSpec> {
        lab_host::services()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let stage = |stage: &str| {
            for service in PROCESSES {
                progress(Progress::stage(service, stage));
            }
        };
        launch::until_settled(&self.folder).await;
        match self.calls.up(request).await {
            Err(error) if error.kind.is_down() => {}
            result => return result,
        }
        stage("starting");
        let started = launch::start_host(&self.folder, &self.exe, request).await?;
        if request.tied {
            *self.tied.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(started.process);
        }
        stage("healthy");
        Ok(started.description)
    }

    async fn down(&self) -> Result<(), EngineError> {
        stop_host::stop(&self.folder, &self.calls).await?;
        let tied = self.tied.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut process) = tied {
            // It has released its lock, so it is about to exit.
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.folder.path(HOST_FILE));
        Ok(())
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        self.calls.describe().await
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.calls.reconcile(service, change).await
    }

    async fn reset_data(&self) -> Result<(), EngineError> {
        self.calls.reset_data().await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        // From the files, which are still there after the host has terminated.
        let past = past_lines(&self.folder, request)?;
        let lines = stream::iter(past.lines);
        if request.follow {
            let follow = self.calls.follow(&past.services, &past.offsets).await?;
            return Ok(lines.chain(follow).boxed());
        }
        Ok(lines.boxed())
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(Dialect::Sqlite)
    }

    async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        lab_host::query_database(&self.folder.path(DATABASE_FILE), query, stop).await
    }
}
