//! A room in memory for tests: labs without processes, with real logs of drills.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lab_core::event::Secrets;
use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Event};
use lab_drill::log::{Drills, Log, LogError};
use lab_system::files::Folder;
use lab_testkit::sample_drills;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, BackendError, Line, Output, Selection, Snapshot};
use crate::code::Token;
use crate::config::{RoomConfig, SeatNumber};
use crate::event::DrillOrder;
use crate::fold::LabState;
use crate::fold::tests::config;
use crate::host::{Address, Host};
use crate::state::State;

/// Interval at which the referee writes a second.
const SECOND: Duration = Duration::from_millis(20);
/// Longest wait of a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Labs without processes.
pub(crate) struct MemoryBackend {
    drills: Drills,
    /// Calls of methods that change a lab, such as `bring_up monday-01`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Number of times that a call fails.
    pub(crate) failures: Mutex<BTreeMap<String, u32>>,
    /// Labs that do not answer.
    pub(crate) gone: Mutex<BTreeSet<String>>,
    /// Lets the line `wait` end.
    pub(crate) waiting: Notify,
}

impl MemoryBackend {
    fn new(state: &Path) -> Self {
        Self {
            drills: Drills::new(state),
            calls: Mutex::default(),
            failures: Mutex::default(),
            gone: Mutex::default(),
            waiting: Notify::new(),
        }
    }

    fn call(&self, method: &str, lab: &str) -> Result<(), BackendError> {
        let call = format!("{method} {lab}");
        self.calls.lock().unwrap().push(call.clone());
        match self.failures.lock().unwrap().get_mut(&call) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(BackendError(format!("{call} failed")))
            }
            _ => Ok(()),
        }
    }

    /// Number of calls.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|made| *made == call).count()
    }
}

fn failed(error: &LogError) -> BackendError {
    BackendError(error.to_string())
}

#[async_trait]
impl Backend for MemoryBackend {
    fn scenarios(&self) -> Vec<String> {
        vec!["rotate-key".to_owned(), "wrong-upstream".to_owned()]
    }

    fn choose(&self, selection: &Selection, secret: &Secret) -> Result<String, String> {
        let all = self.scenarios();
        let names = if selection.scenarios.is_empty() { &all } else { &selection.scenarios };
        if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
            return Err(format!("unknown scenario {unknown:?}"));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        secret.incident(&names).map(str::to_owned).ok_or_else(|| "no scenario suits".to_owned())
    }

    async fn bring_up(&self, lab: &str) -> Result<(), BackendError> {
        self.call("bring_up", lab)?;
        self.gone.lock().unwrap().remove(lab);
        Ok(())
    }

    async fn reset(&self, lab: &str) -> Result<(), BackendError> {
        self.call("reset", lab)
    }

    async fn snapshot(&self, lab: &str) -> Snapshot {
        if self.gone.lock().unwrap().contains(lab) {
            return Snapshot::default();
        }
        let running = |name: &str| (name.to_owned(), "running".to_owned());
        Snapshot { services: ["gateway", "app", "db"].map(running).into(), alerts: Vec::new() }
    }

    async fn secrets(&self, lab: &str) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(&format!("key-of-{lab}"));
        secrets
    }

    async fn start_drill(&self, lab: &str, order: &DrillOrder, secret: &Secret) -> Result<String, BackendError> {
        self.call("start_drill", lab)?;
        let id = format!("{lab}-{}", &secret.commitment()[..8]);
        let folder = self.drills.folder(&id);
        if folder.root().exists() {
            return Ok(id);
        }
        let mut log = Log::create(&folder, secret).map_err(|error| failed(&error))?;
        let mut started = sample_drills::started(&id);
        started.lab = lab.to_owned();
        started.coach = order.coach;
        log.append(Some(0), Event::Started(Box::new(started))).map_err(|error| failed(&error))?;
        Ok(id)
    }

    async fn watch(
        &self,
        lab: &str,
        drill: &str,
        mut paused: watch::Receiver<bool>,
        end: CancellationToken,
    ) -> Result<Option<Ending>, BackendError> {
        self.call("watch", lab)?;
        let mut log = Log::open(&self.drills.folder(drill)).map_err(|error| failed(&error))?;
        let mut clock = log.read().map_err(|error| failed(&error))?.last().map_or(0, |entry| entry.clock);
        log.append(Some(clock), Event::Watching { pid: 1 }).map_err(|error| failed(&error))?;
        let mut is_unknown = false;
        loop {
            if end.is_cancelled() {
                return Ok(None);
            }
            let is_gone = self.gone.lock().unwrap().contains(lab);
            let event = if *paused.borrow_and_update() || is_gone {
                is_unknown = true;
                Event::Unknown { reason: "no answer".to_owned() }
            } else if std::mem::take(&mut is_unknown) {
                Event::Known
            } else {
                clock += 1000;
                // The fault comes after five seconds.
                match clock {
                    5000 => Event::Injecting,
                    6000 => Event::Broken,
                    7000.. => Event::Second { callers: vec![(15, 0), (5, 0)] },
                    _ => Event::Second { callers: vec![(15, 15), (5, 5)] },
                }
            };
            let entries = match log.append(Some(clock), event) {
                Err(LogError::Over) => return Ok(None),
                written => written.map_err(|error| failed(&error))?,
            };
            let ended = entries.iter().find_map(|entry| match entry.event {
                Event::Ended { by } => Some(by),
                _ => None,
            });
            if ended.is_some() {
                return Ok(ended);
            }
            tokio::select! {
                () = sleep(SECOND) => {}
                () = end.cancelled() => {}
            }
        }
    }

    async fn end_drill(&self, lab: &str, drill: &str, by: Ending) -> Result<(), BackendError> {
        self.call("end_drill", lab)?;
        let mut log = Log::open(&self.drills.folder(drill)).map_err(|error| failed(&error))?;
        let entries = log.read().map_err(|error| failed(&error))?;
        if entries.iter().any(|entry| matches!(entry.event, Event::Restored { .. })) {
            return Ok(());
        }
        if !entries.iter().any(|entry| matches!(entry.event, Event::Ended { .. })) {
            log.append(None, Event::Ended { by }).map_err(|error| failed(&error))?;
        }
        log.append(None, Event::Restored { errors: Vec::new() }).map_err(|error| failed(&error))?;
        log.publish().map(drop).map_err(|error| failed(&error))
    }

    fn parse(&self, line: &str) -> Result<Line, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match arguments.first().map(String::as_str) {
            Some("status" | "logs" | "wait") => Ok(Line { arguments, shown: line.to_owned() }),
            _ => Err(format!("{line:?} is not available in a room")),
        }
    }

    async fn run(&self, lab: &str, line: &Line) -> Output {
        if line.arguments[0] == "wait" {
            self.waiting.notified().await;
        }
        if line.shown == "logs" {
            return Output { exit: Some(0), text: "x".repeat(100 << 10) };
        }
        Output { exit: Some(0), text: format!("\u{1b}[31m{lab}: {}\n", line.shown) }
    }
}

/// A room with a host and its background work.
pub(crate) struct TestRoom {
    /// `None` once another room has it.
    root: Option<TempDir>,
    pub(crate) config: RoomConfig,
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) host: Arc<Host>,
    end: CancellationToken,
    work: Option<JoinHandle<()>>,
}

impl TestRoom {
    /// A room with seats, and one more in reserve.
    pub(crate) fn new(seats: u16) -> Self {
        Self::at(seats, ([127, 0, 0, 1], 7000).into())
    }

    /// Like [`TestRoom::new`], with an address for its server.
    pub(crate) fn at(seats: u16, address: SocketAddr) -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = RoomConfig { address, ..config(seats, 1) };
        config.create(&Folder::new(root.path().join("rooms/monday"))).unwrap();
        Self::open(root, config)
    }

    fn open(root: TempDir, config: RoomConfig) -> Self {
        let backend = Arc::new(MemoryBackend::new(root.path()));
        let host = open_host(root.path(), &config, &backend);
        let end = CancellationToken::new();
        let work = Some(spawn_work(&host, &end));
        Self { root: Some(root), config, backend, host, end, work }
    }

    /// Path of a file of the room.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.as_ref().unwrap().path().join("rooms/monday").join(name)
    }

    /// Ends the server and starts another one. Its backend has forgotten the calls.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|| {}).await
    }

    /// Like [`TestRoom::restart`], with a change of the files in between.
    pub(crate) async fn restart_with(mut self, change: impl FnOnce()) -> Self {
        self.end.cancel();
        timeout(PATIENCE, self.work.take().unwrap()).await.unwrap().unwrap();
        change();
        let root = self.root.take().unwrap();
        Self::open(root, self.config.clone())
    }

    /// Waits until every lab is up.
    pub(crate) async fn until_up(&self) {
        let is_up = |state: &State<'_>| state.room.seats.values().all(|seat| seat.lab == LabState::Ready);
        self.until("every lab is up", is_up).await;
    }

    /// Joins a seat with its code.
    pub(crate) async fn join(&self, seat: SeatNumber) -> Token {
        let code = self.config.seat(seat).unwrap().code.clone();
        let (joined, token) = self.host.join(&code).await.unwrap();
        assert_eq!(joined, seat);
        token
    }

    /// Waits until something is true of the state.
    pub(crate) async fn until(&self, what: &str, is_true: impl Fn(&State<'_>) -> bool) {
        let reached = timeout(PATIENCE, async {
            while !self.host.with_state(&is_true) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let room = || self.host.with_state(|state| format!("{:#?}", state.room));
        assert!(reached.await.is_ok(), "{what}: {}", room());
    }
}

impl Drop for TestRoom {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn open_host(root: &Path, config: &RoomConfig, backend: &Arc<MemoryBackend>) -> Arc<Host> {
    let folder = Folder::new(root.join("rooms/monday"));
    let address = Address { listen: config.address, url: format!("http://{}", config.address) };
    let backend: Arc<dyn Backend> = Arc::<MemoryBackend>::clone(backend);
    Host::open(config.clone(), &folder, backend, address).unwrap()
}

fn spawn_work(host: &Arc<Host>, end: &CancellationToken) -> JoinHandle<()> {
    let (host, end) = (Arc::clone(host), end.clone());
    tokio::spawn(async move { host.run(end).await })
}
