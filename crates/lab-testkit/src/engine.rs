//! [`MockEngine`]: an engine like the others, in memory: gateway, app and db, with failures to order. The runner's tests
//! drive the whole pipeline with it. Requests and scrapes are answered by the real app and the real gateway without their
//! sockets, so that a scenario shows here what it shows elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::Request;

use lab_core::engine::{
    Ability, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, Progress, ProgressFn,
    Reconciliation, RunState, ServiceChange, ServiceSpec, Settings, UpRequest,
};
use lab_demo::app::memory::MemoryApp;

mod world;

use world::World;

/// What the next `reconcile` of a service does instead of succeeding.
#[derive(Clone, Debug)]
pub enum Script {
    /// It fails, and nothing was changed.
    Fail(EngineError),
    /// It makes the change, and then fails.
    FailAfter(EngineError),
    /// The new instance never becomes healthy: the old one keeps serving.
    NeverHealthy,
    /// It takes this much longer.
    Slow(Duration),
    /// A defect.
    Panic,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response.
    Answer {
        /// Its code.
        status: u16,
        /// Its body, as text.
        body: String,
    },
    /// Nobody listens.
    Refused,
    /// Nobody answers, however long one waits.
    Silence,
}

impl Reply {
    /// The code of a response.
    pub fn status(&self) -> Option<u16> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }
}

/// What the gateway meets where the app is.
#[derive(Clone, Debug)]
enum Upstream {
    Serves(Arc<MemoryApp>),
    /// It takes the connection, and no more.
    Frozen,
}

/// An engine in memory. Clones share their world.
#[derive(Clone, Debug)]
pub struct MockEngine {
    world: Arc<Mutex<World>>,
}

impl Default for MockEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MockEngine {
    /// An engine whose stack is not up.
    pub fn new() -> Self {
        Self { world: Arc::new(Mutex::new(World::default())) }
    }

    /// An engine whose stack runs, with this key in the server; one that a key can be.
    pub fn running(key: &str) -> Self {
        let engine = Self::new();
        let env = BTreeMap::from([(lab_core::engine::KEY_VARIABLE.to_owned(), key.to_owned())]);
        let started = engine.world().start(&BTreeMap::from([(lab_core::engine::APP.to_owned(), env)]));
        started.unwrap_or_else(|error| panic!("{error}"));
        engine
    }

    /// Orders what a later `reconcile` of the service does; several are taken one after the other. `down` and `up` stand for
    /// the calls of that name.
    pub fn script(&self, service: &str, script: Script) {
        self.world().scripts.entry(service.to_owned()).or_default().push_back(script);
    }

    /// What can be done to a service from now on; by default, everything.
    pub fn set_abilities(&self, service: &str, abilities: impl IntoIterator<Item = Ability>) {
        self.world().abilities.insert(service.to_owned(), abilities.into_iter().collect());
    }

    /// How long a change takes; 0.1 s by default.
    pub fn set_delay(&self, delay: Duration) {
        self.world().delay = delay;
    }

    /// How every description fails from now on; none: it does not.
    pub fn set_hidden(&self, error: Option<EngineError>) {
        self.world().hidden = error;
    }

    /// Where its Prometheus is from now on; none by default.
    pub fn set_prometheus(&self, url: Option<&str>) {
        self.world().prometheus = url.map(str::to_owned);
    }

    /// What runs the stack is gone: every call says so, until `up`.
    pub fn lose(&self) {
        self.world().lost = true;
    }

    /// Somebody else changes a service, at once.
    pub fn alter(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.world().apply(service, change)
    }

    /// Every call so far: `reconcile app APP_API_KEY=apikey-v2`, `down`, ….
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    /// Whether a stack runs.
    pub fn is_up(&self) -> bool {
        self.world().is_up()
    }

    /// Run state and environment of every service: all that a change can alter.
    pub fn state(&self) -> BTreeMap<String, (RunState, BTreeMap<String, String>)> {
        self.world().state()
    }

    /// One GET through the gateway, with this key.
    pub async fn request(&self, path: &str, key: Option<&str>) -> Reply {
        let headers: Vec<_> = key.map(|key| ("X-API-Key".to_owned(), key.to_owned())).into_iter().collect();
        self.send("GET", path, &headers).await
    }

    /// One request through the gateway, as the real gateway and the real app answer it; the app's counters count it.
    pub async fn send(&self, method: &str, path: &str, headers: &[(String, String)]) -> Reply {
        let (gateway, app) = {
            let world = self.world();
            match world.gateway() {
                Ok(gateway) => (gateway, world.upstream()),
                Err(reply) => return reply,
            }
        };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // What cannot be sent is refused before it comes here.
        let Ok(request) = request.body(Body::empty()) else {
            return Reply::Answer { status: 400, body: String::new() };
        };
        let reach = |upstream: &str, request| {
            let app = app.filter(|_| upstream == world::UPSTREAM)?;
            Some(async move {
                match app {
                    Upstream::Serves(app) => app.answer(request).await,
                    Upstream::Frozen => std::future::pending().await,
                }
            })
        };
        let response = gateway.answer(request, reach).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Reply::Answer { status, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// What an instance says on `/metrics`; none where it does not answer.
    pub fn exposition(&self, instance: &str) -> Option<String> {
        self.world().exposition(instance)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A scripted panic must not poison the world for the undo.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn scripted(&self, name: &str) -> Result<Option<EngineError>, EngineError> {
        let script = self.world().scripts.get_mut(name).and_then(std::collections::VecDeque::pop_front);
        match script {
            None => Ok(None),
            Some(Script::Fail(error)) => Err(error),
            Some(Script::FailAfter(error)) => Ok(Some(error)),
            Some(Script::NeverHealthy) => Err(never_healthy(name)),
            Some(Script::Slow(more)) => {
                tokio::time::sleep(more).await;
                Ok(None)
            }
            Some(Script::Panic) => panic!("a defect, as the script asks for it"),
        }
    }

    async fn change(self, service: String, change: ServiceChange) -> Result<Reconciliation, EngineError> {
        let after = self.scripted(&service).await?;
        let delay = {
            let world = self.world();
            world.check()?;
            if world.meets(&service, &change)? { Duration::ZERO } else { world.delay }
        };
        tokio::time::sleep(delay).await;
        let ensured = self.world().apply(&service, &change)?;
        after.map_or(Ok(ensured), Err)
    }
}

fn never_healthy(service: &str) -> EngineError {
    EngineError::new(EngineErrorKind::StartupTimeout, "the new instance never became healthy").for_service(service)
}

#[async_trait]
impl Engine for MockEngine {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn services(&self) -> Vec<ServiceSpec> {
        let world = self.world();
        let all = BTreeSet::from([Ability::SetEnv, Ability::Stop, Ability::Kill, Ability::Pause]);
        let spec = |name: &str| ServiceSpec {
            name: name.to_owned(),
            abilities: world.abilities.get(name).cloned().unwrap_or_else(|| all.clone()),
            settings: Settings::Open,
        };
        world::SERVICES.map(spec).into()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        self.world().calls.push("up".to_owned());
        let after = self.scripted("up").await?;
        self.world().start(&request.env)?;
        for service in world::SERVICES {
            progress(Progress::stage(service, "healthy"));
        }
        after.map_or_else(|| self.world().describe(), Err)
    }

    async fn down(&self) -> Result<(), EngineError> {
        self.world().calls.push("down".to_owned());
        let after = self.scripted("down").await?;
        self.world().end();
        after.map_or(Ok(()), Err)
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        self.world().describe()
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.world().calls.push(format!("reconcile {service}{}", world::shown(change)));
        self.able(service, change)?;
        // As a task of its own: the contract is that a change goes on when its caller does not.
        let task = tokio::spawn(self.clone().change(service.to_owned(), change.clone()));
        match task.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn logs(&self, _request: &LogRequest) -> Result<LogLines, EngineError> {
        self.world().check()?;
        Ok(stream::empty().boxed())
    }
}

impl MockEngine {
    /// Refuses what the service cannot.
    fn able(&self, service: &str, change: &ServiceChange) -> Result<(), EngineError> {
        let refuse = |detail: &str| Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(service));
        let Some(spec) = self.services().into_iter().find(|spec| spec.name == service) else {
            return refuse("there is no such service");
        };
        let lacking = change.abilities().find(|ability| !spec.abilities.contains(ability));
        lacking.map_or(Ok(()), |ability| refuse(ability.name()))
    }
}

#[cfg(test)]
mod tests;
