//! [`Labs`]: the labs behind the seats of a room, on any engine. Implements what the room needs of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::console;
use crate::cli::IncidentArgs;
use crate::commands::drill::begin::{self, NewDrill};
use crate::commands::drill::candidates::Selection as Incidents;
use crate::commands::drill::secrets;
use crate::commands::session::{Connected, Session};
use crate::commands::{down, failure};
use crate::engines::{Connect, EngineRegistry};
use lab_core::engine::{Description, Engine, ServiceStatus};
use lab_core::event::Secrets;
use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Known};
use lab_drill::log::Log;
use lab_http::{Http, Request};
use lab_room::backend::{Backend, BackendError, Line, Output, Selection, Snapshot};
use lab_room::event::DrillOrder;
use lab_runner::callers;
use lab_runner::drill::{self, DrillProcess, Hosting, Pause, Process};
use lab_runner::lab::{Containers, Lab, LabError, Record, StateFolder};
use lab_runner::provision::{Connector, Provisioner};
use lab_runner::runner::Interrupt;
use lab_system::deadline::{self, Deadline};
use lab_telemetry::alerts::{self, RulesResponse};
use lab_telemetry::wire::{NetWire, Wire};

/// Name in locks.
const HOLDER: &str = "lab room";
/// Time for a lab to come up, or to be reset.
const UP_TIMEOUT: Duration = Duration::from_mins(3);
/// Time for the alerts of a lab.
const ALERTS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for another command to release a lab.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const BUSY_INTERVAL: Duration = Duration::from_millis(100);
/// Drills that prepare their labs at once.
const PREPARING: usize = 4;
/// Time for a referee's own process to end.
const REFEREE_TIMEOUT: Duration = Duration::from_millis(200);

/// Engine of a lab, with the creation of the lab.
type KnownEngine = (DateTime<Utc>, Arc<dyn Engine>);

/// The labs of a room.
pub(super) struct Labs {
    state: StateFolder,
    root: PathBuf,
    /// Engine of new labs.
    engine: String,
    wire: Arc<dyn Wire>,
    http: Http,
    /// Engines that were connected, by lab.
    engines: Mutex<BTreeMap<String, KnownEngine>>,
    /// Limits how many drills prepare their labs at once: on containers, every service is redeployed.
    preparing: Semaphore,
}

/// A step that failed, for the trainer.
fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Labs {
    /// Labs in this state folder. New ones use `engine`.
    pub(super) fn new(state: StateFolder, engine: &str) -> Self {
        Self {
            root: state.root().to_owned(),
            state,
            engine: engine.to_owned(),
            wire: Arc::new(NetWire::new()),
            http: Http::new(),
            engines: Mutex::default(),
            preparing: Semaphore::new(PREPARING),
        }
    }

    fn lab(&self, name: &str) -> Result<Lab, BackendError> {
        self.state.lab(name).map_err(failed)
    }

    /// An existing lab with its engine.
    fn connected(&self, name: &str) -> Result<Connected, BackendError> {
        let lab = self.lab(name)?;
        let record = lab.existing().map_err(failed)?;
        let known = lock(&self.engines).get(name).filter(|(created, _)| *created == record.created).cloned();
        if let Some((_, engine)) = known {
            return Ok(Connected { lab, record, engine });
        }
        let engine = lab.engine(&record).map_err(failed)?;
        lock(&self.engines).insert(name.to_owned(), (record.created, Arc::clone(&engine)));
        Ok(Connected { lab, record, engine })
    }

    /// Creates a lab, or starts what is down of one without a drill.
    async fn start(&self, lab: &Lab) -> anyhow::Result<()> {
        let interrupt = Interrupt::new();
        let provisioner = Provisioner { connector: Arc::new(EngineRegistry), progress: Arc::new(|_| {}), interrupt };
        let transaction = provisioner.begin_up(lab, HOLDER).await?;
        let record = match transaction.previous().record.clone() {
            Some(record) => record,
            // `lab room up` has checked that all images are here.
            None => Record {
                containers: Containers { offline: true, ..Containers::new().map_err(anyhow::Error::msg)? },
                ..Record::new(&self.engine, 0)
            },
        };
        let stack = EngineRegistry.read_stack(&record)?.map(|reading| reading.stack);
        match deadline::timeout(UP_TIMEOUT, transaction.start(record, stack, None)).await {
            Ok(Ok(_)) => Ok(()),
            failed => {
                transaction.roll_back().await?;
                failed.map_err(|_| anyhow::anyhow!("it did not come up within 3 minutes"))?.map(drop)?;
                Ok(())
            }
        }
    }

    /// Engine like that of new labs, to ask what it supports.
    fn engine_of_new(&self) -> anyhow::Result<Arc<dyn Engine>> {
        let lab = self.state.lab("room")?;
        Ok(lab.engine(&Record::new(&self.engine, 0))?)
    }

    async fn is_up(&self, name: &str) -> Result<bool, BackendError> {
        let lab = self.lab(name)?;
        if lab.record().map_err(failed)?.is_none() {
            return Ok(false);
        }
        match self.connected(name)?.engine.describe().await {
            Ok(_) => Ok(true),
            Err(error) if error.kind.is_down() => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Resets a lab in which no drill is in progress.
    async fn reset_idle(&self, name: &str) -> anyhow::Result<()> {
        let Connected { lab, engine, .. } = self.connected(name)?;
        let _run = lab.lock_run(HOLDER)?;
        let _change = lab.lock_change(HOLDER).await?;
        callers::stop(&lab).await?;
        Ok(deadline::timeout(UP_TIMEOUT, lab.reset(&engine))
            .await
            .map_err(|_| anyhow::anyhow!("it was not reset within 3 minutes"))??)
    }

    /// Takes a lab down, whatever is left of it, and creates it again.
    async fn replace(&self, name: &str) -> anyhow::Result<()> {
        let lab = self.lab(name)?;
        down::remove(&Session::new(Some(lab.name())), &lab).await?;
        lock(&self.engines).remove(name);
        self.start(&lab).await
    }

    /// Begins a drill under the run lock of the lab.
    async fn begin(&self, name: &str, new: &NewDrill<'_>) -> anyhow::Result<String> {
        let connected = self.connected(name)?;
        let _run = connected.lab.lock_run(HOLDER)?;
        begin::check_undo(&connected.lab)?;
        callers::stop(&connected.lab).await?;
        Ok(begin::begin(&connected, new).await?.id)
    }

    /// Alerts that fire, by name.
    async fn alerts(&self, now: &Description) -> Vec<String> {
        let Some(base) = now.endpoints.alerts() else { return Vec::new() };
        let request = Request::get(format!("{base}{}", alerts::PATH)).timeout(ALERTS_TIMEOUT);
        let response = self.http.request(&request).await.ok().filter(lab_http::Response::is_success);
        let rules = response.and_then(|response| RulesResponse::parse(&response.text()).ok());
        rules.map(|rules| rules.firing().into_iter().collect()).unwrap_or_default()
    }
}

#[async_trait]
impl Backend for Labs {
    fn scenarios(&self) -> Vec<String> {
        let all = Incidents::new(&IncidentArgs::default());
        let playable = all.and_then(|all| Ok(all.playable(self.engine_of_new()?.as_ref())));
        // The library is part of the binary and always valid.
        playable.unwrap_or_default()
    }

    fn choose(&self, selection: &Selection, secret: &Secret) -> Result<String, String> {
        let Selection { scenarios, tag, difficulty } = selection.clone();
        let incidents = Incidents::new(&IncidentArgs { scenario: None, from: scenarios, tag, difficulty });
        let drawn = incidents.and_then(|all| Ok(all.draw(secret, self.engine_of_new()?.as_ref())?.typed()));
        drawn.map_err(|error| failure::text(&error))
    }

    async fn bring_up(&self, name: &str) -> Result<(), BackendError> {
        let lab = self.lab(name)?;
        if self.is_up(name).await? {
            return Ok(());
        }
        if lab.record().map_err(failed)?.is_some() && lab.drill().map_err(failed)?.is_some() {
            let Connected { engine, .. } = self.connected(name)?;
            return deadline::timeout(UP_TIMEOUT, drill::revive(&lab, engine.as_ref()))
                .await
                .map_err(|_| failed("it did not come up within 3 minutes"))?
                .map_err(failed);
        }
        self.start(&lab).await.map_err(failed)
    }

    async fn reset(&self, name: &str) -> Result<(), BackendError> {
        let lab = self.lab(name)?;
        if let Ok(Some(drill)) = lab.drill() {
            // What cannot be restored is replaced.
            let _ = self.end_drill(name, &drill, Ending::GaveUp).await;
        }
        let reset = async {
            if !self.is_up(name).await? {
                self.bring_up(name).await?;
            }
            self.reset_idle(name).await
        };
        match reset.await {
            Ok(()) => Ok(()),
            Err(_) => self.replace(name).await.map_err(failed),
        }
    }

    async fn snapshot(&self, name: &str) -> Snapshot {
        let Ok(connected) = self.connected(name) else { return Snapshot::default() };
        // Without services, the lab counts as lost and is brought up again.
        let Ok(now) = connected.engine.describe().await else { return Snapshot::default() };
        let word = |service: &ServiceStatus| (service.name.clone(), service.word().to_owned());
        Snapshot { services: now.services.iter().map(word).collect(), alerts: self.alerts(&now).await }
    }

    async fn secrets(&self, name: &str) -> Secrets {
        match self.lab(name) {
            Ok(lab) => secrets(&lab).await,
            Err(_) => Secrets::default(),
        }
    }

    async fn start_drill(&self, name: &str, order: &DrillOrder, secret: &Secret) -> Result<String, BackendError> {
        let lab = self.lab(name)?;
        if let Some(id) = lab.drill().map_err(failed)? {
            if Log::open(&drill::folder(&lab, &id)).is_ok_and(|log| log.secret() == secret) {
                return Ok(id);
            }
            // One that was begun by hand.
            self.end_drill(name, &id, Ending::GaveUp).await?;
        }
        let selection = Incidents::only(&order.scenario).map_err(failed)?;
        let new = NewDrill {
            selection: &selection,
            secret,
            known: Known::Nothing,
            coach: order.coach,
            quiet: order.quiet.map(Duration::from_secs),
            has_fault: true,
        };
        if let Ok(id) = self.begin(name, &new).await {
            return Ok(id);
        }
        // Something was changed by hand.
        self.reset(name).await?;
        self.begin(name, &new).await.map_err(failed)
    }

    async fn watch(
        &self,
        name: &str,
        drill: &str,
        paused: watch::Receiver<bool>,
        end: CancellationToken,
    ) -> Result<Option<Ending>, BackendError> {
        // It may have ended by hand, or with its lab, while no server was running.
        if let Some(by) = drill::ending(&self.lab(name)?, drill).map_err(failed)? {
            return Ok(Some(by));
        }
        let Connected { lab, engine, .. } = self.connected(name)?;
        // A referee, or callers, that were started by hand.
        DrillProcess::new(&lab).stop(REFEREE_TIMEOUT).await.map_err(failed)?;
        callers::stop(&lab).await.map_err(failed)?;
        let hosted = (lab, engine, Arc::clone(&self.wire));
        let begin = async {
            let _permit = self.preparing.acquire().await;
            Hosting::begin(hosted, drill, Process::Shared).await
        };
        let hosting = tokio::select! {
            hosting = begin => hosting.map_err(failed)?,
            () = end.cancelled() => return Ok(None),
        };
        hosting.run(end, Pause::from_orders(paused)).await.map_err(failed)
    }

    async fn end_drill(&self, name: &str, id: &str, by: Ending) -> Result<(), BackendError> {
        let lab = self.lab(name)?;
        let is_current = lab.drill().ok().flatten().as_deref() == Some(id);
        drill::end(&lab, id, by).map_err(failed)?;
        if !is_current || by == Ending::LabGone {
            return drill::publish(&lab, id).map_err(failed);
        }
        let engine = self.connected(name)?.engine;
        let deadline = Deadline::after(BUSY_TIMEOUT);
        loop {
            match drill::conclude(&lab, &engine, &self.wire, id, &CancellationToken::new()).await {
                Ok(concluded) if concluded.errors.is_empty() => return Ok(()),
                Ok(concluded) => return Err(failed(concluded.errors.join("; "))),
                // `lab drill finish` may end it at this moment.
                Err(drill::DrillError::Lab(LabError::Lock(_))) if !deadline.is_over() => {
                    tokio::time::sleep(BUSY_INTERVAL).await;
                }
                Err(_) if lab.drill().ok().flatten().as_deref() != Some(id) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn parse(&self, line: &str) -> Result<Line, String> {
        console::parse(line)
    }

    async fn run(&self, lab: &str, line: &Line) -> Output {
        console::run(&self.root, lab, line).await
    }
}
