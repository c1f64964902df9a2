//! The gateway as a service of the embedded stack. It keeps the lab's port over its instances, and is told through its
//! standard input where the app is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::health::new_instance;
use super::supervisor::{Context, Managed, Slot, status};
use crate::child::{Child, Program};
use crate::log::Log;
use lab_core::engine::{EngineError, EngineErrorKind, GATEWAY, Health, Retired, RunState, ServiceStatus, port};

/// The name under which the gateway's configuration knows the app, on every engine.
const UPSTREAM: &str = "app:8000";

pub(super) struct Gateway {
    context: Arc<Context>,
    slot: Slot,
    log: Arc<Log>,
    /// The instance of the app that requests go to, for the gateway that runs and for the next one. An instance that has
    /// ended is no route.
    route: Mutex<Option<Arc<Child>>>,
}

impl Gateway {
    pub(super) fn new(context: Arc<Context>) -> Result<Self, EngineError> {
        let log = context.log(GATEWAY)?;
        Ok(Self { context, slot: Slot::default(), log, route: Mutex::new(None) })
    }

    pub(super) fn log(&self) -> Arc<Log> {
        self.log.clone()
    }

    /// Requests go to this instance from now on. Returns when `/health` through the gateway names it; if the gateway does not
    /// run, or one of the two is frozen or ends, there is nothing to wait for.
    pub(super) async fn route(&self, app: Option<&Arc<Child>>) -> Result<(), EngineError> {
        let Some(app) = app else {
            self.unroute().await;
            return Ok(());
        };
        *self.lock() = Some(app.clone());
        match self.slot.live() {
            Some(gateway) => self.tell(&gateway, app).await,
            None => Ok(()),
        }
    }

    /// The app is nowhere.
    pub(super) async fn unroute(&self) {
        let routed = self.lock().take().is_some();
        self.tell_unrouted(routed).await;
    }

    /// No request goes to this instance any more; another one keeps its route.
    pub(super) async fn unroute_from(&self, app: &Arc<Child>) {
        let routed = self.lock().take_if(|routed| Arc::ptr_eq(routed, app)).is_some();
        self.tell_unrouted(routed).await;
    }

    async fn tell_unrouted(&self, routed: bool) {
        if routed && let Some(gateway) = self.slot.live() {
            gateway.tell(&format!("unroute {UPSTREAM}")).await;
        }
    }

    async fn tell(&self, gateway: &Child, app: &Child) -> Result<(), EngineError> {
        gateway.tell(&format!("route {UPSTREAM} {}", app.address)).await;
        // A gateway whose configuration points elsewhere cannot confirm anything; that is how somebody set it.
        let elsewhere = self.context.env(GATEWAY).get("GATEWAY_UPSTREAM").is_some_and(|upstream| upstream != UPSTREAM);
        if elsewhere || gateway.is_frozen() || app.is_frozen() {
            return Ok(());
        }
        self.context.health.until_routed(gateway, app).await
    }

    fn current_route(&self) -> Option<Arc<Child>> {
        self.lock().clone().filter(|app| app.ended().is_none())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Child>>> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn launch(&self, wanted: &BTreeMap<String, String>) -> Result<Arc<Child>, EngineError> {
        let instance = new_instance(GATEWAY);
        let mut env = BTreeMap::from([("GATEWAY_UPSTREAM".to_owned(), UPSTREAM.to_owned())]);
        env.extend(wanted.clone());
        env.insert("GATEWAY_LISTEN".to_owned(), format!("127.0.0.1:{}", self.context.gateway_port()));
        env.insert("GATEWAY_REUSE_PORT".to_owned(), "on".to_owned());
        env.insert("GATEWAY_INSTANCE".to_owned(), instance.clone());
        let program = Program { exe: &self.context.exe, service: GATEWAY, env, log: self.log.clone() };
        let child = Arc::new(Child::start(program, instance).await?);
        // Without an app it is told that, too: it would look the name up, and there may be another of that name.
        let route = self.current_route();
        let told = route.map_or(format!("unroute {UPSTREAM}"), |app| format!("route {UPSTREAM} {}", app.address));
        child.tell(&told).await;
        Ok(child)
    }

    pub(super) fn status(&self) -> ServiceStatus {
        let mut status = status(GATEWAY, &self.slot, self.context.env(GATEWAY), &self.log);
        status.address = Some(format!("127.0.0.1:{}", self.context.gateway_port()));
        if status.state == RunState::Running {
            // It listens: what becomes of a request behind it is the app's health.
            status.health = Health::Healthy;
        }
        status
    }
}

#[async_trait]
impl Managed for Gateway {
    fn name(&self) -> &'static str {
        GATEWAY
    }

    fn slot(&self) -> &Slot {
        &self.slot
    }

    async fn start(&self, env: &BTreeMap<String, String>) -> Result<(), EngineError> {
        // The gateway shares its port with its successor (SO_REUSEPORT), so it would share it with another lab's as well.
        port::require_free(self.context.gateway_port()).map_err(|error| error.for_service(GATEWAY))?;
        let child = self.launch(env).await?;
        let port = child.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or_else(|| {
            EngineError::new(EngineErrorKind::System, format!("it listens on {:?}", child.address)).for_service(GATEWAY)
        })?;
        self.context.remember_port(port)?;
        self.slot.put(Some(child.clone()));
        // The app may have come while this one was starting: it is told again, which does no harm. An app that does not answer
        // through it is no fault of the gateway.
        if let Some(app) = self.current_route() {
            let _ = self.tell(&child, &app).await;
        }
        if child.ended().is_some() {
            return Err(child.exited(GATEWAY, &self.log).await);
        }
        Ok(())
    }

    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError> {
        let old = self.slot.live();
        // Both listen on the port for a moment; the new one is ready to serve from its first connection on.
        let new = self.launch(env).await?;
        self.slot.put(Some(new));
        if let Some(old) = old {
            old.stop(false).await;
        }
        Ok(None)
    }

    async fn stop(&self, abrupt: bool) -> Option<Retired> {
        let child = self.slot.live()?;
        child.stop(abrupt).await;
        self.slot.put(None);
        None
    }
}
