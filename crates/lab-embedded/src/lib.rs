//! Embedded engine: runs the stack as plain processes, without Docker. [`Embedded`] starts `lab host` (see [`mod@host`]), which
//! owns the processes, and controls it over a loopback port.

#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;

use lab_core::engine::logs::time_in;
use lab_core::engine::sql::Dialect;
use lab_core::engine::{
    APP, Ability, DB, DbError, DbQuery, DbResult, Description, Engine, EngineError, EngineErrorKind, GATEWAY, LogLine,
    LogLines, LogRequest, Progress, ProgressFn, Reconciliation, ServiceChange, ServiceSpec, UpRequest,
};
use lab_system::background;
use lab_system::files::{self, Folder};

mod call;
mod child;
pub mod host;
mod launch;
mod log;
mod protocol;
mod query;
mod settings;
mod stop_host;

use call::Calls;

/// Name of this engine in records and options.
pub const NAME: &str = "embedded";

const HOST_FILE: &str = "host.json";
const LOCK_FILE: &str = "host.lock";
const LOG_FOLDER: &str = "logs";
/// Name of the app's database in the lab's folder.
const DATABASE_FILE: &str = "users.db";
/// Services that are processes and therefore have logs.
const PROCESSES: [&str; 2] = [GATEWAY, APP];
const VERSION: &str = env!("CARGO_PKG_VERSION");

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
        Self { folder: folder.clone(), exe, calls: Calls::new(folder), tied: Mutex::new(None) }
    }
}

#[async_trait]
impl Engine for Embedded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn services(&self) -> Vec<ServiceSpec> {
        let process = BTreeSet::from([Ability::SetEnv, Ability::Stop, Ability::Kill, Ability::Pause]);
        let spec = |name: &str, abilities: BTreeSet<Ability>| ServiceSpec {
            name: name.to_owned(),
            abilities,
            settings: settings::allowed_settings(name),
        };
        vec![spec(GATEWAY, process.clone()), spec(APP, process), spec(DB, BTreeSet::from([Ability::Pause]))]
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
        let selected: Vec<&str> = PROCESSES.into_iter().filter(|name| request.includes(name)).collect();
        for service in &request.services {
            if !PROCESSES.contains(&service.as_str()) {
                let detail = format!("it has no log on this engine (services with logs: {})", PROCESSES.join(", "));
                return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(service));
            }
        }
        let mut past = Vec::new();
        let mut offsets = Vec::new();
        let mut unreadable = Vec::new();
        for service in &selected {
            let path = self.folder.path(LOG_FOLDER).join(format!("{service}.log"));
            let text = match files::read_state(&path, files::LOG_LIMIT) {
                Ok(text) => text,
                // A service that never started has no log.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => {
                    unreadable.push(Err(call::unreadable(&path, &error).for_service(service)));
                    Vec::new()
                }
            };
            let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            offsets.push(complete);
            past.push(lines(service, &text[..complete]));
        }
        let past = stream::iter(unreadable.into_iter().chain(request.select(past).into_iter().map(Ok)));
        if request.follow {
            let follow = self.calls.follow(&selected, &offsets).await?;
            return Ok(past.chain(follow).boxed());
        }
        Ok(past.boxed())
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(Dialect::Sqlite)
    }

    async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        query::run(&self.folder.path(DATABASE_FILE), query, stop).await
    }
}

fn lines(service: &str, text: &[u8]) -> Vec<LogLine> {
    let text = String::from_utf8_lossy(text);
    let line = |text: &str| LogLine { service: service.to_owned(), time: time_in(text), text: text.to_owned() };
    text.lines().map(line).collect()
}
