//! [`World`]: the mock's stack. Its services depend on each other like the real ones. The database only has a condition; gateway
//! and app are the real ones without their sockets. The counters of each new instance start at 0.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::Notify;

use super::{Reply, Script, Upstream, never_healthy};
use lab_core::engine::{
    APP, Ability, DB, Description, Desired, Endpoints, EngineError, EngineErrorKind, Execute, GATEWAY, Health,
    KEY_VARIABLE, MetricsEndpoint, Operation, Reconciliation, Retired, Roles, RunState, ServiceChange, ServiceStatus,
    plan,
};
use lab_demo::app::memory::{Condition, Database, MemoryApp};
use lab_demo::gateway::memory::MemoryGateway;

/// In the order of the request path.
pub(super) const SERVICES: [&str; 3] = [GATEWAY, APP, DB];
/// Upstream of the gateway.
pub(super) const UPSTREAM: &str = "app:8000";
/// Server key if `up` sets none.
const DEFAULT_KEY: &str = "apikey-v1";

#[derive(Debug)]
pub(super) struct World {
    /// Empty if the stack is not up.
    services: BTreeMap<String, Service>,
    pub(super) lost: bool,
    /// Error of `describe`.
    pub(super) hidden: Option<EngineError>,
    pub(super) delay: Duration,
    pub(super) scripts: BTreeMap<String, VecDeque<Script>>,
    pub(super) abilities: BTreeMap<String, BTreeSet<Ability>>,
    pub(super) calls: Vec<String>,
    pub(super) prometheus: Option<String>,
    /// Number of instances so far, by service.
    instances: BTreeMap<String, u32>,
    database: Database,
    /// Notified when the state of a service changes.
    pub(super) changed: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Service {
    state: RunState,
    env: BTreeMap<String, String>,
    /// `None` if stopped.
    instance: Option<Instance>,
}

#[derive(Clone, Debug)]
struct Instance {
    id: String,
    process: Process,
}

/// Process of an instance.
#[derive(Clone, Debug)]
enum Process {
    Gateway(Arc<MemoryGateway>),
    App(Arc<MemoryApp>),
    Database,
}

impl Default for World {
    fn default() -> Self {
        Self {
            services: BTreeMap::new(),
            lost: false,
            hidden: None,
            delay: Duration::from_millis(100),
            scripts: BTreeMap::new(),
            abilities: BTreeMap::new(),
            calls: Vec::new(),
            prometheus: None,
            instances: BTreeMap::new(),
            database: Database::new(),
            changed: Arc::default(),
        }
    }
}

impl World {
    pub(super) fn is_up(&self) -> bool {
        !self.services.is_empty() && !self.lost
    }

    pub(super) fn check(&self) -> Result<(), EngineError> {
        if self.lost {
            return Err(EngineError::new(EngineErrorKind::Lost, "its host does not answer").hint("lab up"));
        }
        if self.services.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        Ok(())
    }

    pub(super) fn start(&mut self, env: &BTreeMap<String, BTreeMap<String, String>>) -> Result<(), EngineError> {
        let restarted = self.lost;
        for name in SERVICES {
            let mut service = self.services.get(name).cloned().unwrap_or_else(|| {
                let mut env = env.get(name).cloned().unwrap_or_default();
                if name == APP {
                    env.entry(KEY_VARIABLE.to_owned()).or_insert_with(|| DEFAULT_KEY.to_owned());
                }
                Service { state: RunState::Running, env, instance: None }
            });
            if service.instance.is_none() || restarted {
                service.instance = Some(self.new_instance(name, &service.env)?);
            }
            service.state = RunState::Running;
            self.put(name, service);
        }
        self.lost = false;
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.services.clear();
        self.database.set(Condition::Answers);
        self.lost = false;
    }

    pub(super) fn state(&self) -> BTreeMap<String, (RunState, BTreeMap<String, String>)> {
        self.services.iter().map(|(name, service)| (name.clone(), (service.state, service.env.clone()))).collect()
    }

    /// Starts an instance. Fails if the service exits during startup, like the real one.
    fn new_instance(&mut self, service: &str, env: &BTreeMap<String, String>) -> Result<Instance, EngineError> {
        let number = self.instances.entry(service.to_owned()).or_default();
        *number += 1;
        let id = format!("{service}-{number}");
        let lookup = |name: &str| match name {
            "APP_INSTANCE" | "GATEWAY_INSTANCE" => Some(id.clone().into()),
            _ => env.get(name).map(Into::into),
        };
        let exited = |message: String| EngineError::new(EngineErrorKind::Exited, message).for_service(service);
        let process = match service {
            GATEWAY => {
                Process::Gateway(Arc::new(MemoryGateway::new(&lookup).map_err(|error| exited(error.to_string()))?))
            }
            APP => {
                let app = MemoryApp::new(&lookup, self.database.clone()).map_err(|error| exited(error.to_string()))?;
                Process::App(Arc::new(app))
            }
            _ => Process::Database,
        };
        Ok(Instance { id, process })
    }

    /// Sets the state of a service.
    fn put(&mut self, name: &str, service: Service) {
        if name == DB {
            self.database.set(match service.state {
                RunState::Running => Condition::Answers,
                RunState::Paused => Condition::Silent,
                RunState::Stopped => Condition::Gone,
            });
        }
        self.services.insert(name.to_owned(), service);
        self.changed.notify_waiters();
    }

    fn runs(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(|service| service.state == RunState::Running)
    }

    fn service(&self, name: &str) -> Result<&Service, EngineError> {
        self.services
            .get(name)
            .ok_or_else(|| EngineError::new(EngineErrorKind::Unsupported, "there is no such service").for_service(name))
    }

    pub(super) fn meets(&self, service: &str, change: &ServiceChange) -> Result<bool, EngineError> {
        let now = self.service(service)?;
        Ok(change.is_met_by(&self.status(service, now)))
    }

    /// Applies a change at once, or refuses it.
    pub(super) fn apply(&mut self, name: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.check()?;
        let before = self.service(name)?;
        let env = change.env_after(&before.env);
        let plan = plan(before.state.into(), Desired::new(change, env != before.env));
        let mut transition = Transition { world: self, name, env };
        // No operation waits for anything, so the plan completes when it is polled for the first time.
        plan.run(&mut transition).now_or_never().unwrap_or_else(|| unreachable!("an operation of the mock waits"))
    }

    pub(super) fn describe(&self) -> Result<Description, EngineError> {
        self.check()?;
        if let Some(error) = &self.hidden {
            return Err(error.clone());
        }
        let services = SERVICES
            .iter()
            .filter_map(|name| Some(self.status(name, self.services.get(*name)?)))
            .collect::<Vec<ServiceStatus>>();
        let metrics = self.services.get(APP).and_then(|app| app.instance.as_ref()).map(|instance| MetricsEndpoint {
            instance: instance.id.clone(),
            url: format!("mock://{}/metrics", instance.id),
        });
        let endpoints = Endpoints {
            gateway: "mock://gateway".to_owned(),
            metrics: metrics.into_iter().collect(),
            prometheus: self.prometheus.clone(),
            ..Endpoints::default()
        };
        Ok(Description { services, endpoints, notices: Vec::new(), roles: Roles::default() })
    }

    fn status(&self, name: &str, service: &Service) -> ServiceStatus {
        let is_healthy = service.state == RunState::Running && (name != APP || self.runs(DB));
        ServiceStatus {
            name: name.to_owned(),
            state: service.state,
            health: if is_healthy { Health::Healthy } else { Health::Unhealthy },
            detail: None,
            instance: service.instance.as_ref().map(|instance| instance.id.clone()),
            env: service.env.clone(),
            address: None,
            pid: None,
            since: None,
            image: None,
            restarts: None,
        }
    }

    /// The gateway, or the result of a request if it does not accept any.
    pub(super) fn gateway(&self) -> Result<Arc<MemoryGateway>, Reply> {
        let Some(gateway) = self.services.get(GATEWAY).filter(|_| !self.lost) else { return Err(Reply::Refused) };
        match (gateway.state, gateway.instance.as_ref().map(|instance| &instance.process)) {
            (RunState::Running, Some(Process::Gateway(gateway))) => Ok(Arc::clone(gateway)),
            (RunState::Paused, _) => Err(Reply::Silence),
            _ => Err(Reply::Refused),
        }
    }

    /// The app from the gateway's point of view. `None` if nothing listens.
    pub(super) fn upstream(&self) -> Option<Upstream> {
        let app = self.services.get(APP)?;
        match (app.state, &app.instance.as_ref()?.process) {
            (RunState::Running, Process::App(app)) => Some(Upstream::Serves(Arc::clone(app))),
            (RunState::Paused, Process::App(app)) => Some(Upstream::Frozen(Arc::clone(app))),
            _ => None,
        }
    }

    /// State of an instance of the app. `None` if it is gone.
    pub(super) fn app_state(&self, app: &Arc<MemoryApp>) -> Option<RunState> {
        let service = self.services.get(APP)?;
        let Process::App(current) = &service.instance.as_ref()?.process else { return None };
        Arc::ptr_eq(current, app).then_some(service.state)
    }

    pub(super) fn exposition(&self, id: &str) -> Option<String> {
        let app = self.services.get(APP).filter(|app| app.state == RunState::Running && !self.lost)?;
        app.instance.as_ref().filter(|instance| instance.id == id)?.exposition()
    }
}

impl Instance {
    fn exposition(&self) -> Option<String> {
        if let Process::App(app) = &self.process { app.exposition() } else { None }
    }
}

/// Change of one service.
struct Transition<'a> {
    world: &'a mut World,
    name: &'a str,
    /// Complete desired environment.
    env: BTreeMap<String, String>,
}

impl Transition<'_> {
    /// Starts a new instance. It runs even if the database does not answer, but the change fails.
    fn start(&mut self) -> Result<(), EngineError> {
        let instance = self.world.new_instance(self.name, &self.env)?;
        let service = Service { state: RunState::Running, env: self.env.clone(), instance: Some(instance) };
        self.world.put(self.name, service);
        if self.lacks_database() {
            let detail = "the database does not answer";
            return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).for_service(self.name));
        }
        Ok(())
    }

    /// Replaces the instance, unless the new one cannot become healthy.
    fn replace(&mut self, mut service: Service) -> Result<Option<Retired>, EngineError> {
        if self.lacks_database() {
            return Err(never_healthy(self.name));
        }
        let instance = self.world.new_instance(self.name, &self.env)?;
        let retired = service.retire(false);
        self.world.put(self.name, Service { env: self.env.clone(), instance: Some(instance), ..service });
        Ok(retired)
    }

    fn lacks_database(&self) -> bool {
        self.name == APP && !self.world.runs(DB)
    }
}

#[async_trait]
impl Execute for Transition<'_> {
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError> {
        let mut service = self.world.service(self.name)?.clone();
        let mut retired = None;
        match operation {
            Operation::Start | Operation::Create => return self.start().map(|()| None),
            Operation::Replace => return self.replace(service),
            Operation::Configure => service.env = self.env.clone(),
            Operation::Stop { abrupt } => {
                retired = service.retire(abrupt);
                service.state = RunState::Stopped;
            }
            Operation::Pause => service.state = RunState::Paused,
            Operation::Unpause => service.state = RunState::Running,
            // Nothing takes time here, and nothing fails by itself.
            Operation::Settle | Operation::Acknowledge => {}
        }
        self.world.put(self.name, service);
        Ok(retired)
    }
}

impl Service {
    /// Removes the instance. A frozen instance can no longer report its metrics, and a killed one is not scraped.
    fn retire(&mut self, abrupt: bool) -> Option<Retired> {
        let old = self.instance.take()?;
        let answers = self.state == RunState::Running && !abrupt;
        Some(Retired { exposition: answers.then(|| old.exposition()).flatten(), instance: old.id })
    }
}

/// Text of a change in the log of calls.
pub(super) fn describe_change(change: &ServiceChange) -> String {
    let mut text = String::new();
    for (name, value) in &change.env {
        let _ = write!(text, " {name}={}", value.as_deref().unwrap_or("-"));
    }
    if let Some(state) = change.run {
        let _ = write!(text, " {}{}", state.name(), if change.abrupt { " abruptly" } else { "" });
    }
    text
}
