//! [`Supervisor`]: the stack of one lab. It brings each service to the state that is wanted, one change at a time, and
//! remembers the wanted environments in `services.json`, so that a host that comes after a crash starts with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::database::Database;
use super::gateway::Gateway;
use super::health::Health;
use crate::call::unreadable;
use crate::child::Child;
use crate::log::Log;
use crate::protocol::HostRequest;
use lab_core::engine::{
    APP, DB, Description, Endpoints, EngineError, EngineErrorKind, GATEWAY, MetricsEndpoint, Reconciliation, Retired,
    Roles, RunState, ServiceChange, ServiceStatus, UpRequest, port,
};
use lab_dashboard::USUAL;
use lab_system::files::{self, Folder, Staged};

/// What the services of a stack share.
pub(super) struct Context {
    pub(super) exe: PathBuf,
    pub(super) folder: Folder,
    pub(super) health: Health,
    wanted: Mutex<Wanted>,
    /// What is on disk of it, if that is known.
    saved: Mutex<Option<Wanted>>,
}

/// What is wanted of the services: `services.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Wanted {
    /// Environment variables by service.
    env: BTreeMap<String, BTreeMap<String, String>>,
    /// The gateway's port, once it is known.
    gateway_port: u16,
    /// The dashboard's, once it is known.
    #[serde(default)]
    board_port: u16,
}

const WANTED_FILE: &str = "services.json";

impl Context {
    /// Reads what is remembered of the lab; what was asked for fills the gaps.
    fn new(folder: &Folder, request: &HostRequest) -> Self {
        let text = files::read_state(&folder.path(WANTED_FILE), files::RECORD_LIMIT).unwrap_or_default();
        let known: Option<Wanted> = serde_json::from_slice(&text).ok();
        let mut wanted = known.clone().unwrap_or_default();
        let saved = Mutex::new(known);
        for (service, variables) in &request.up.env {
            let env = wanted.env.entry(service.clone()).or_default();
            for (name, value) in variables {
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        // A port that was free when the lab got it may be somebody else's by now.
        if request.up.gateway_port != 0 || port::require_free(wanted.gateway_port).is_err() {
            wanted.gateway_port = request.up.gateway_port;
        }
        Self {
            exe: request.exe.clone(),
            folder: folder.clone(),
            health: Health::new(),
            wanted: Mutex::new(wanted),
            saved,
        }
    }

    /// The environment that is wanted of a service.
    pub(super) fn env(&self, service: &str) -> BTreeMap<String, String> {
        self.lock().env.get(service).cloned().unwrap_or_default()
    }

    pub(super) fn gateway_port(&self) -> u16 {
        self.lock().gateway_port
    }

    pub(super) fn remember_port(&self, port: u16) -> Result<(), EngineError> {
        self.lock().gateway_port = port;
        self.save()
    }

    /// The port that the dashboard had, or is to have: Grafana's usual one where the gateway has its own usual one.
    pub(super) fn board_port(&self) -> u16 {
        let wanted = self.lock();
        let usual = if wanted.gateway_port == USUAL.0 { USUAL.1 } else { 0 };
        if wanted.board_port == 0 { usual } else { wanted.board_port }
    }

    /// Writes what is wanted with another environment of a service. It counts once it is committed: after the change, for
    /// which a full disk is then no obstacle any more.
    fn stage_env(&self, service: &str, env: BTreeMap<String, String>) -> Result<(Wanted, Staged), EngineError> {
        let mut wanted = self.lock().clone();
        wanted.env.insert(service.to_owned(), env);
        let staged = self.folder.stage_json(WANTED_FILE, &wanted).map_err(not_saved)?;
        Ok((wanted, staged))
    }

    fn commit(&self, (wanted, staged): (Wanted, Staged)) -> Result<(), EngineError> {
        *self.lock() = wanted.clone();
        staged.commit().map_err(not_saved)?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        Ok(())
    }

    /// Writes what is wanted, unless that is on disk already.
    fn save(&self) -> Result<(), EngineError> {
        let wanted = self.lock().clone();
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.as_ref() != Some(&wanted) {
            self.folder.write_json(WANTED_FILE, &wanted).map_err(not_saved)?;
            *saved = Some(wanted);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self, service: &str) -> Result<Arc<Log>, EngineError> {
        let folder = self.folder.path(crate::LOG_FOLDER);
        files::make_folder(&folder).map_err(|error| unreadable(&folder, &error).for_service(service))?;
        let path = folder.join(format!("{service}.log"));
        Log::open(path.clone()).map_err(|error| unreadable(&path, &error).for_service(service))
    }
}

fn not_saved(error: std::io::Error) -> EngineError {
    EngineError::new(EngineErrorKind::System, format!("{WANTED_FILE}: {error}"))
}

/// A place for the process that serves now.
#[derive(Default)]
pub(super) struct Slot {
    inner: Mutex<SlotState>,
}

#[derive(Clone, Default)]
struct SlotState {
    child: Option<Arc<Child>>,
    paused: bool,
}

impl Slot {
    /// The process that serves now; none where there is none, or where it has ended.
    pub(super) fn live(&self) -> Option<Arc<Child>> {
        self.lock().child.clone().filter(|child| child.ended().is_none())
    }

    /// How the last process ended, if nobody asked it to.
    pub(super) fn crashed(&self) -> Option<std::process::ExitStatus> {
        self.lock().child.as_ref().and_then(|child| child.ended())
    }

    pub(super) fn put(&self, child: Option<Arc<Child>>) {
        *self.lock() = SlotState { child, paused: false };
    }

    pub(super) fn state(&self) -> RunState {
        let paused = self.lock().paused;
        match self.live() {
            None => RunState::Stopped,
            Some(_) if paused => RunState::Paused,
            Some(_) => RunState::Running,
        }
    }

    fn set_paused(&self, paused: bool) {
        if let Some(child) = self.live() {
            if paused {
                child.freeze();
            } else {
                child.thaw();
            }
            self.lock().paused = paused;
        }
    }

    /// A frozen process can neither finish its requests nor end by itself.
    fn wake(&self, abrupt: bool) {
        if !abrupt && self.state() == RunState::Paused {
            self.set_paused(false);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SlotState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that is a process.
#[async_trait]
pub(super) trait Managed: Send + Sync {
    fn name(&self) -> &'static str;
    fn slot(&self) -> &Slot;

    /// Starts the first process, with a whole environment, and waits until it serves.
    async fn start(&self, env: &BTreeMap<String, String>) -> Result<(), EngineError>;

    /// Puts a process with another environment in the place of the one that serves, without losing a request. On an error
    /// the old one goes on serving.
    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError>;

    /// Ends the process that serves.
    async fn stop(&self, abrupt: bool) -> Option<Retired>;
}

/// The stack of one lab.
pub(super) struct Supervisor {
    context: Arc<Context>,
    app: App,
    gateway: Arc<Gateway>,
    database: Database,
    /// Where the dashboard is.
    board: OnceLock<String>,
    /// Held during a change.
    change: tokio::sync::Mutex<Phase>,
}

/// Whether changes are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    /// The host is ending: what would be started now would be nobody's.
    Ending,
}

/// How often `up` looks again for services that ended while it was at work.
const UP_ROUNDS: usize = 3;

impl Supervisor {
    pub(super) fn new(folder: &Folder, request: &HostRequest) -> Result<Self, EngineError> {
        let context = Arc::new(Context::new(folder, request));
        let gateway = Arc::new(Gateway::new(context.clone())?);
        let app = App::new(context.clone(), gateway.clone())?;
        let database = Database::new(folder.path(super::app::DATABASE_FILE));
        let board = OnceLock::new();
        Ok(Self { context, app, gateway, database, board, change: tokio::sync::Mutex::default() })
    }

    /// Every service is running afterwards; those that run already are left alone.
    pub(super) async fn up(&self, _request: &UpRequest) -> Result<(), EngineError> {
        let _change = self.change().await?;
        self.database.thaw().await;
        let running = ServiceChange::run(RunState::Running);
        for _ in 0..UP_ROUNDS {
            // The two start side by side; each then makes sure of the way through the other, if that is there.
            let (gateway, app) =
                tokio::join!(self.bring(self.gateway.as_ref(), &running), self.bring(&self.app, &running));
            gateway?;
            app?;
            if [self.gateway.slot(), self.app.slot()].iter().all(|slot| slot.state() == RunState::Running) {
                break;
            }
        }
        self.context.save()
    }

    /// Ends the services. Nothing can be changed afterwards.
    pub(super) async fn down(&self) {
        let mut change = self.change.lock().await;
        *change = Phase::Ending;
        self.database.thaw().await;
        tokio::join!(self.gateway.stop(true), self.app.stop(true));
    }

    pub(super) async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let _change = self.change().await?;
        match service {
            APP => self.bring(&self.app, change).await,
            GATEWAY => self.bring(self.gateway.as_ref(), change).await,
            DB => self.bring_database(change).await,
            other => Err(EngineError::new(EngineErrorKind::Unsupported, "there is no such service").for_service(other)),
        }
    }

    /// Begins a change, after the one before it.
    async fn change(&self) -> Result<tokio::sync::MutexGuard<'_, Phase>, EngineError> {
        let change = self.change.lock().await;
        match *change {
            Phase::Serving => Ok(change),
            Phase::Ending => Err(EngineError::new(EngineErrorKind::Lost, "its host is ending")),
        }
    }

    /// Brings a service that is a process to a wanted state.
    async fn bring(&self, service: &dyn Managed, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let name = service.name();
        let slot = service.slot();
        let before = self.context.env(name);
        let mut env = before.clone();
        for (variable, value) in &change.env {
            match value {
                Some(value) => env.insert(variable.clone(), value.clone()),
                None => env.remove(variable),
            };
        }
        let now = slot.state();
        let target = change.run.unwrap_or(now);
        if env == before && target == now {
            if change.run == Some(RunState::Stopped) {
                // One that ended by itself is stopped on purpose from now on.
                slot.put(None);
            }
            return Ok(Reconciliation::default());
        }
        let staged = (env != before).then(|| self.context.stage_env(name, env.clone())).transpose()?;
        let retired = match (now, target) {
            (RunState::Stopped, RunState::Stopped) => None,
            (RunState::Stopped, _) => {
                service.start(&env).await?;
                None
            }
            (_, RunState::Stopped) => {
                slot.wake(change.abrupt);
                service.stop(change.abrupt).await
            }
            (_, _) if env != before => {
                slot.wake(false);
                let replaced = service.replace(&env).await;
                if replaced.is_err() {
                    slot.set_paused(now == RunState::Paused);
                }
                replaced?
            }
            (_, _) => None,
        };
        slot.set_paused(target == RunState::Paused);
        if let Some(staged) = staged {
            self.context.commit(staged)?;
        }
        Ok(Reconciliation { changed: true, retired: retired.into_iter().collect() })
    }

    async fn bring_database(&self, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        if !change.env.is_empty() || change.run == Some(RunState::Stopped) {
            let detail = "it is a file of the app's (SQLite): it can be paused, and nothing else";
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(DB));
        }
        let changed = match change.run {
            Some(RunState::Paused) => self.database.freeze().await?,
            Some(RunState::Running) => self.database.thaw().await,
            _ => false,
        };
        Ok(Reconciliation { changed, retired: Vec::new() })
    }

    pub(super) async fn describe(&self) -> Description {
        let database = self.database.status();
        let frozen = database.state == RunState::Paused;
        let (gateway, app) = (self.gateway.status(), self.app.status(frozen).await);
        let metrics = app
            .address
            .iter()
            .zip(&app.instance)
            .filter(|_| app.state != RunState::Stopped)
            .map(|(address, instance)| MetricsEndpoint {
                instance: instance.clone(),
                url: format!("http://{address}/metrics"),
            })
            .collect();
        Description {
            services: vec![gateway, app, database],
            endpoints: Endpoints {
                gateway: self.gateway_url(),
                metrics,
                dashboard: self.board.get().cloned(),
                ..Endpoints::default()
            },
            notices: Vec::new(),
            roles: Roles::default(),
        }
    }

    /// The gateway's base URL.
    pub(super) fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.context.gateway_port())
    }

    /// The port on which the dashboard is to be; 0 for a free one.
    pub(super) fn board_port(&self) -> u16 {
        self.context.board_port()
    }

    /// The dashboard is on this port from now on, and again when the lab comes back.
    pub(super) fn board_is_on(&self, port: u16) -> Result<(), EngineError> {
        let _ = self.board.set(format!("http://127.0.0.1:{port}/"));
        self.context.lock().board_port = port;
        self.context.save()
    }

    /// The instance of the app that serves now, and where it shows its metrics; none where it does not run, or is frozen.
    pub(super) fn metrics(&self) -> Option<(String, String)> {
        let slot = self.app.slot();
        let child = slot.live().filter(|_| slot.state() == RunState::Running)?;
        Some((child.instance.clone(), format!("http://{}/metrics", child.address)))
    }

    /// The services' states, by their names, without asking them anything.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        let states = [
            (GATEWAY, self.gateway.slot().state()),
            (APP, self.app.slot().state()),
            (DB, self.database.status().state),
        ];
        states.into_iter().map(|(name, state)| (name.to_owned(), state.name().to_owned())).collect()
    }

    /// The logs of the services named; of all where none is.
    pub(super) fn logs(&self, services: &[String]) -> Vec<(&'static str, Arc<Log>)> {
        [(GATEWAY, self.gateway.log()), (APP, self.app.log())]
            .into_iter()
            .filter(|(name, _)| services.is_empty() || services.iter().any(|wanted| wanted == name))
            .collect()
    }
}

/// The status of a service that is a process.
pub(super) fn status(name: &str, slot: &Slot, env: BTreeMap<String, String>, log: &Log) -> ServiceStatus {
    let child = slot.live();
    let detail = slot.crashed().map(|exit| {
        let last = log.last_line().map(|line| format!(": {line}")).unwrap_or_default();
        format!("it ended by itself ({exit}){last}")
    });
    ServiceStatus {
        name: name.to_owned(),
        state: slot.state(),
        health: lab_core::engine::Health::Unhealthy,
        detail,
        instance: child.as_ref().map(|child| child.instance.clone()),
        env,
        address: child.as_ref().map(|child| child.address.clone()),
        pid: child.as_ref().map(|child| child.pid),
        since: child.as_ref().map(|child| child.since),
        image: None,
        restarts: None,
    }
}
