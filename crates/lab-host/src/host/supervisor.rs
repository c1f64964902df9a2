//! Supervisor of one lab's stack. Reconciles each service with its desired state, one change at a time: `lab_core` plans
//! the operations, [`ProcessTransition`] and [`DatabaseTransition`] execute them. The desired environments are stored, so that a
//! host restores them after a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::app::App;
use super::context::Context;
use super::database::Database;
use super::gateway::Gateway;
use super::transition::{DatabaseTransition, Managed, ProcessTransition, unsupported};
use crate::log::Log;
use crate::protocol::HostRequest;
use lab_core::engine::{
    APP, Ability, DB, Description, Desired, Endpoints, EngineError, EngineErrorKind, GATEWAY, MetricsEndpoint,
    Reconciliation, Roles, RunState, ServiceChange, UpRequest, plan,
};
use lab_system::files::Folder;

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
    /// The host is shutting down and starts no more services.
    ShuttingDown,
}

/// Maximum number of passes of `up` over services that exit while others start.
const UP_ROUNDS: usize = 3;

impl Supervisor {
    pub(super) fn new(folder: &Folder, request: &HostRequest) -> Result<Self, EngineError> {
        let context = Arc::new(Context::new(folder, request));
        let gateway = Arc::new(Gateway::new(context.clone())?);
        let app = App::new(context.clone(), gateway.clone())?;
        let database = Database::new(folder.path(crate::DATABASE_FILE));
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
        let before = self.context.env(service.name());
        let env = change.env_after(&before);
        let desired = Desired::new(change, env != before);
        let plan = plan(service.slot().observed(), desired);
        plan.run(&mut ProcessTransition::new(&self.context, service, env, desired.new_env)?).await
    }

    /// Removes the database file. The app creates and fills a new one when it starts.
    pub(super) async fn reset_data(&self) -> Result<(), EngineError> {
        let _change = self.change().await?;
        if self.app.slot().state() != RunState::Stopped {
            let detail = "the app uses it and must be stopped first";
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(DB));
        }
        self.database.thaw().await;
        self.database.remove()
    }

    /// Reconciles the database with the desired state.
    async fn reconcile_database(&self, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        if change.abilities().any(|ability| ability != Ability::Pause) {
            return Err(unsupported());
        }
        let plan = plan(self.database.state().into(), Desired::new(change, false));
        plan.run(&mut DatabaseTransition::new(&self.database)).await
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
                edge: self.gateway.metrics().map(|(instance, url)| MetricsEndpoint { instance, url }),
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
        let child = slot.child().filter(|_| slot.state() == RunState::Running)?;
        Some((child.instance.clone(), format!("http://{}/metrics", child.address)))
    }

    /// URL of the metrics page of an active app or gateway instance. Includes paused ones, which do not answer.
    pub(super) fn metrics_page(&self, instance: &str) -> Option<String> {
        let app = self.app.slot().child().map(|app| (app.instance.clone(), format!("http://{}/metrics", app.address)));
        let pages = [app, self.gateway.page()].into_iter().flatten();
        pages.into_iter().find(|(known, _)| known == instance).map(|(_, url)| url)
    }

    /// State folder of the lab.
    pub(super) fn folder(&self) -> &Folder {
        &self.context.folder
    }

    /// Instance id and metrics URL of the active gateway. `None` if it is stopped or paused.
    pub(super) fn edge_metrics(&self) -> Option<(String, String)> {
        self.gateway.metrics()
    }

    /// States of the services by name, without probing them.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        let states =
            [(GATEWAY, self.gateway.slot().state()), (APP, self.app.slot().state()), (DB, self.database.state())];
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
