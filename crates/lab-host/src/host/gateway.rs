//! The gateway of the embedded stack. All its instances use the lab's port. The host sends it the app's address through its
//! standard input.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::context::Context;
use super::health::new_instance;
use super::slot::{Slot, status};
use super::transition::Managed;
use crate::child::{Child, Program};
use crate::log::Log;
use lab_core::engine::{EngineError, EngineErrorKind, GATEWAY, Health, Retired, RunState, ServiceStatus, port};

/// Name of the app in the gateway's configuration, on every engine.
const UPSTREAM: &str = "app:8000";

pub(super) struct Gateway {
    context: Arc<Context>,
    slot: Slot,
    log: Arc<Log>,
    /// App instance that receives requests. Kept for the next gateway instance too, and ignored once the app has exited.
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

    /// Routes requests to this instance and waits until `/health` through the gateway reports it. Does not wait if the
    /// gateway is not running, or if either process is paused or exits.
    pub(super) async fn route(&self, app: Option<&Arc<Child>>) -> Result<(), EngineError> {
        let Some(app) = app else {
            self.unroute().await;
            return Ok(());
        };
        *self.lock() = Some(app.clone());
        match self.slot.child() {
            Some(gateway) => self.send_route(&gateway, app).await,
            None => Ok(()),
        }
    }

    /// Removes the route.
    pub(super) async fn unroute(&self) {
        let routed = self.lock().take().is_some();
        self.send_unroute(routed).await;
    }

    /// Removes the route if it leads to this instance.
    pub(super) async fn unroute_from(&self, app: &Arc<Child>) {
        let routed = self.lock().take_if(|routed| Arc::ptr_eq(routed, app)).is_some();
        self.send_unroute(routed).await;
    }

    async fn send_unroute(&self, routed: bool) {
        if routed && let Some(gateway) = self.slot.child() {
            gateway.send_line(&format!("unroute {UPSTREAM}")).await;
        }
    }

    async fn send_route(&self, gateway: &Child, app: &Child) -> Result<(), EngineError> {
        gateway.send_line(&format!("route {UPSTREAM} {}", app.address)).await;
        // A gateway that is configured with another upstream never reaches the app, so there is nothing to wait for.
        let elsewhere = self.context.env(GATEWAY).get("GATEWAY_UPSTREAM").is_some_and(|upstream| upstream != UPSTREAM);
        if elsewhere || gateway.is_frozen() || app.is_frozen() {
            return Ok(());
        }
        self.context.health.until_routed(gateway, app).await
    }

    fn current_route(&self) -> Option<Arc<Child>> {
        self.lock().clone().filter(|app| app.exit_status().is_none())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Child>>> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn launch(&self, desired: &BTreeMap<String, String>) -> Result<Arc<Child>, EngineError> {
        let instance = new_instance(GATEWAY);
        let mut env = BTreeMap::from([("GATEWAY_UPSTREAM".to_owned(), UPSTREAM.to_owned())]);
        env.extend(desired.clone());
        env.insert("GATEWAY_LISTEN".to_owned(), format!("{}:{}", self.context.gateway_ip, self.context.gateway_port()));
        env.insert("GATEWAY_REUSE_PORT".to_owned(), "on".to_owned());
        env.insert("GATEWAY_INSTANCE".to_owned(), instance.clone());
        env.insert("GATEWAY_METRICS_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        let program = Program { exe: &self.context.exe, service: GATEWAY, env, log: self.log.clone() };
        let child = Arc::new(Child::start(program, instance).await?);
        // Send `unroute` explicitly if there is no app. Otherwise the gateway would resolve the name and might find another
        // host.
        let route = self.current_route();
        let command = route.map_or(format!("unroute {UPSTREAM}"), |app| format!("route {UPSTREAM} {}", app.address));
        child.send_line(&command).await;
        Ok(child)
    }

    /// Instance id and URL of the metrics page. `None` if the gateway is stopped or paused.
    pub(super) fn metrics(&self) -> Option<(String, String)> {
        self.page().filter(|_| self.slot.state() == RunState::Running)
    }

    /// Instance id and URL of the metrics page, even if the gateway is paused.
    pub(super) fn page(&self) -> Option<(String, String)> {
        let child = self.slot.child()?;
        let address = child.metrics.as_ref()?;
        Some((child.instance.clone(), format!("http://{address}/metrics")))
    }

    pub(super) fn status(&self) -> ServiceStatus {
        let mut status = status(GATEWAY, &self.slot, self.context.env(GATEWAY), &self.log);
        status.address = Some(format!("127.0.0.1:{}", self.context.gateway_port()));
        if status.state == RunState::Running {
            // It is listening. Failures behind it are the app's health.
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
        // The gateway shares its port with its successor (SO_REUSEPORT), and would silently share it with another lab too.
        port::require_free(self.context.gateway_port()).map_err(|error| error.for_service(GATEWAY))?;
        let child = self.launch(env).await?;
        let port = child.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or_else(|| {
            EngineError::new(EngineErrorKind::System, format!("invalid listen address {:?}", child.address))
                .for_service(GATEWAY)
        })?;
        self.context.remember_gateway_port(port)?;
        self.slot.put(Some(child.clone()));
        // The app may have started meanwhile, so send the route again. An app that does not answer is not a failure of the
        // gateway.
        if let Some(app) = self.current_route() {
            let _ = self.send_route(&child, &app).await;
        }
        if child.exit_status().is_some() {
            return Err(child.exited(GATEWAY, &self.log).await);
        }
        Ok(())
    }

    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError> {
        let old = self.slot.child();
        // Both listen on the port for a moment. The new one is already able to serve.
        let new = self.launch(env).await?;
        self.slot.put(Some(new));
        if let Some(old) = old {
            old.stop(false).await;
        }
        Ok(None)
    }

    async fn stop(&self, abrupt: bool) -> Option<Retired> {
        let child = self.slot.child()?;
        child.stop(abrupt).await;
        self.slot.put(None);
        None
    }
}
