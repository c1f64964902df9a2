//! Supervisor of one lab's stack. Reconciles each service with its desired state, one change at a time. The desired environments
//! are stored, so that a host restores them after a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::app::App;
use super::context::Context;
use super::database::Database;
use super::gateway::Gateway;
use super::slot::Slot;
use crate::log::Log;
use crate::protocol::HostRequest;
use lab_core::engine::{
    APP, DB, Description, Endpoints, EngineError, EngineErrorKind, GATEWAY, MetricsEndpoint, Reconciliation, Retired,
    Roles, RunState, ServiceChange, UpRequest,
};
use lab_system::files::Folder;

/// Service that runs as a process.
#[async_trait]
pub(super) trait Managed: Send + Sync {
    fn name(&self) -> &'static str;
    fn slot(&self) -> &Slot;

    /// Starts the first process with a complete environment and waits until it serves.
    async fn start(&self, env: &BTreeMap<String, String>) -> Result<(), EngineError>;

    /// Replaces the active process by one with another environment without losing a request. On an error the old one keeps
    /// serving.
    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError>;

    /// Stops the active process.
    async fn stop(&self, abrupt: bool) -> Option<Retired>;
}

/// Supervisor of one lab's stack.
pub(super) struct Supervisor {
    context: Arc<Context>,
    app: App,
    gateway: Arc<Gateway>,
    database: Database,
    /// URL of the dashboard, once it is served.
    dashboard: OnceLock<String>,
    /// Locked during a change.
    change: tokio::sync::Mutex<Phase>,
}

/// Lifecycle of the supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    /// The host is shutting down and starts nothing any more.
    ShuttingDown,
}

/// Maximum number of passes of `up` over services that exit while others start.
const UP_ROUNDS: usize = 3;

impl Supervisor {
    pub(super) fn new(folder: &Folder, request: &HostRequest) -> Result<Self, EngineError> {
        let context = Arc::new(Context::new(folder, request));
        let gateway = Arc::new(Gateway::new(context.clone())?);
        let app = App::new(context.clone(), gateway.clone())?;
        let database = Database::new(folder.path(super::app::DATABASE_FILE));
        let dashboard = OnceLock::new();
        Ok(Self { context, app, gateway, database, dashboard, change: tokio::sync::Mutex::default() })
    }

    /// Ensures that every service is running. Running services are not restarted.
    pub(super) async fn up(&self, _request: &UpRequest) -> Result<(), EngineError> {
        let _change = self.change().await?;
        self.database.thaw().await;
        let running = ServiceChange::run(RunState::Running);
        for _ in 0..UP_ROUNDS {
            // Start both concurrently. Each establishes the route if the other is running already.
            let (gateway, app) = tokio::join!(
                self.reconcile_process(self.gateway.as_ref(), &running),
                self.reconcile_process(&self.app, &running)
            );
            gateway?;
            app?;
            if [self.gateway.slot(), self.app.slot()].iter().all(|slot| slot.state() == RunState::Running) {
                break;
            }
        }
        self.context.save()
    }

    /// Stops the services. No changes are accepted afterwards.
    pub(super) async fn down(&self) {
        let mut change = self.change.lock().await;
        *change = Phase::ShuttingDown;
        self.database.thaw().await;
        tokio::join!(self.gateway.stop(true), self.app.stop(true));
    }

    pub(super) async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let _change = self.change().await?;
        match service {
            APP => self.reconcile_process(&self.app, change).await,
            GATEWAY => self.reconcile_process(self.gateway.as_ref(), change).await,
            DB => self.reconcile_database(change).await,
            other => Err(EngineError::new(EngineErrorKind::Unsupported, "there is no such service").for_service(other)),
        }
    }

    /// Waits for the previous change and begins the next one.
    async fn change(&self) -> Result<tokio::sync::MutexGuard<'_, Phase>, EngineError> {
        let change = self.change.lock().await;
        match *change {
            Phase::Serving => Ok(change),
            Phase::ShuttingDown => Err(EngineError::new(EngineErrorKind::Lost, "its host is shutting down")),
        }
    }

    /// Reconciles a process with the desired state.
    async fn reconcile_process(
        &self,
        service: &dyn Managed,
        change: &ServiceChange,
    ) -> Result<Reconciliation, EngineError> {
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
                // A crashed process counts as stopped on purpose from now on.
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

    async fn reconcile_database(&self, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        if !change.env.is_empty() || change.run == Some(RunState::Stopped) {
            let detail = "on this engine it is a SQLite file and can only be paused";
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
                dashboard: self.dashboard.get().cloned(),
                ..Endpoints::default()
            },
            notices: Vec::new(),
            roles: Roles::default(),
        }
    }

    pub(super) fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.context.gateway_port())
    }

    /// Port on which the dashboard should listen. 0 means a free one.
    pub(super) fn dashboard_port(&self) -> u16 {
        self.context.dashboard_port()
    }

    /// Records the port of the dashboard, which is reused when the lab restarts.
    pub(super) fn set_dashboard_port(&self, port: u16) -> Result<(), EngineError> {
        let _ = self.dashboard.set(format!("http://127.0.0.1:{port}/"));
        self.context.remember_dashboard_port(port)
    }

    /// Instance id and metrics URL of the active app. `None` if it is stopped or paused.
    pub(super) fn metrics(&self) -> Option<(String, String)> {
        let slot = self.app.slot();
        let child = slot.live().filter(|_| slot.state() == RunState::Running)?;
        Some((child.instance.clone(), format!("http://{}/metrics", child.address)))
    }

    /// States of the services by name, without probing them.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        let states = [
            (GATEWAY, self.gateway.slot().state()),
            (APP, self.app.slot().state()),
            (DB, self.database.status().state),
        ];
        states.into_iter().map(|(name, state)| (name.to_owned(), state.name().to_owned())).collect()
    }

    /// Logs of the named services, or of all if no name is given.
    pub(super) fn logs(&self, services: &[String]) -> Vec<(&'static str, Arc<Log>)> {
        [(GATEWAY, self.gateway.log()), (APP, self.app.log())]
            .into_iter()
            .filter(|(name, _)| services.is_empty() || services.iter().any(|selected| selected == name))
            .collect()
    }
}
