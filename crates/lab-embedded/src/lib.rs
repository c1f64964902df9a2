//! The embedded engine: the stack as processes of our own, without Docker. [`Embedded`] is the engine's side; it starts
//! `lab host` (see [`host`]), which the processes live under, and talks to it over a loopback port.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;

use lab_core::engine::logs::time_in;
use lab_core::engine::{
    APP, Ability, DB, Description, Engine, EngineError, EngineErrorKind, GATEWAY, LogLine, LogLines, LogRequest,
    Progress, ProgressFn, Reconciliation, ServiceChange, ServiceSpec, UpRequest,
};
use lab_system::background;
use lab_system::files::{self, Folder};

mod call;
mod child;
pub mod host;
mod hung;
mod launch;
mod log;
mod protocol;
mod settings;

use call::Calls;

/// The engine's name.
pub const NAME: &str = "embedded";

const HOST_FILE: &str = "host.json";
const LOCK_FILE: &str = "host.lock";
const LOG_FOLDER: &str = "logs";
/// The services that are processes, and have logs.
const PROCESSES: [&str; 2] = [GATEWAY, APP];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The stack of one lab, as processes on this machine.
pub struct Embedded {
    folder: Folder,
    exe: PathBuf,
    calls: Calls,
    /// A host that ends when this engine goes, and its standard input.
    tied: Mutex<Option<std::process::Child>>,
}

impl Embedded {
    /// The stack whose state is in this folder, with lab's own executable to run it.
    pub fn new(folder: &Folder) -> Self {
        Self::with_executable(folder, background::own_executable())
    }

    /// The same with another executable; for tests, which are not lab themselves.
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
            settings: settings::of(name),
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
            Err(error) if matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) => {}
            result => return result,
        }
        stage("starting");
        let started = launch::host(&self.folder, &self.exe, request).await?;
        if request.tied {
            *self.tied.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(started.process);
        }
        stage("healthy");
        Ok(started.description)
    }

    async fn down(&self) -> Result<(), EngineError> {
        hung::end(&self.folder, &self.calls).await?;
        let tied = self.tied.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut process) = tied {
            // It has given up its lock, so it is at its end.
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

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        let wanted: Vec<&str> = PROCESSES.into_iter().filter(|name| request.wants(name)).collect();
        for service in &request.services {
            if !PROCESSES.contains(&service.as_str()) {
                let detail = format!("it keeps no log on this engine; those with one: {}", PROCESSES.join(", "));
                return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(service));
            }
        }
        let mut past = Vec::new();
        let mut read = Vec::new();
        let mut unreadable = Vec::new();
        for service in &wanted {
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
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            read.push(whole);
            past.push(lines(service, &text[..whole]));
        }
        let past = stream::iter(unreadable.into_iter().chain(request.pick(past).into_iter().map(Ok)));
        if request.follow {
            let follow = self.calls.follow(&wanted, &read).await?;
            return Ok(past.chain(follow).boxed());
        }
        Ok(past.boxed())
    }
}

/// The lines of a log's text.
fn lines(service: &str, text: &[u8]) -> Vec<LogLine> {
    let text = String::from_utf8_lossy(text);
    let line = |text: &str| LogLine { service: service.to_owned(), time: time_in(text), text: text.to_owned() };
    text.lines().map(line).collect()
}
