//! [`MockEngine`]: an engine in memory, with gateway, app and db, and with failures on demand. The runner's tests drive the
//! whole pipeline with it. The real app and the real gateway answer requests and scrapes without their sockets, so that a
//! scenario has the same result as on other engines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::{Request, Response};
use tokio::sync::oneshot;

use lab_core::engine::{
    Ability, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, Progress, ProgressFn,
    Reconciliation, RunState, ServiceChange, ServiceSpec, Settings, UpRequest,
};
use lab_demo::app::memory::MemoryApp;

mod world;

use world::World;

/// Behaviour of the next `reconcile` of a service.
#[derive(Clone, Debug)]
pub enum Script {
    /// It fails without a change.
    Fail(EngineError),
    /// Applies the change and then fails.
    FailAfter(EngineError),
    /// The new instance does not become healthy, and the old one keeps serving.
    NeverHealthy,
    /// Takes longer by this time.
    Slow(Duration),
    /// Panics.
    Panic,
}

/// Result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response.
    Answer {
        /// Status code.
        status: u16,
        /// Body as text.
        body: String,
    },
    /// The port is closed.
    Refused,
    /// No response, regardless of the caller's timeout.
    Silence,
}

impl Reply {
    /// Status code, if there is a response.
    pub fn status(&self) -> Option<u16> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }
}

/// State of the app from the gateway's point of view.
#[derive(Clone, Debug)]
enum Upstream {
    Serves(Arc<MemoryApp>),
    /// It accepts connections and responds when it is resumed.
    Frozen(Arc<MemoryApp>),
}

/// Engine in memory. Clones share their state.
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
    /// Engine whose stack is not up.
    pub fn new() -> Self {
        Self { world: Arc::new(Mutex::new(World::default())) }
    }

    /// Engine whose stack is running with this server key. Panics if the app does not accept the key.
    pub fn running(key: &str) -> Self {
        let engine = Self::new();
        let env = BTreeMap::from([(lab_core::engine::KEY_VARIABLE.to_owned(), key.to_owned())]);
        let started = engine.world().start(&BTreeMap::from([(lab_core::engine::APP.to_owned(), env)]));
        started.unwrap_or_else(|error| panic!("{error}"));
        engine
    }

    /// Scripts a later `reconcile` of the service. Scripts apply in the order in which they were added. The names `down` and
    /// `up` script the calls of that name.
    pub fn script(&self, service: &str, script: Script) {
        self.world().scripts.entry(service.to_owned()).or_default().push_back(script);
    }

    /// Sets the abilities of a service. A service has all of them by default.
    pub fn set_abilities(&self, service: &str, abilities: impl IntoIterator<Item = Ability>) {
        self.world().abilities.insert(service.to_owned(), abilities.into_iter().collect());
    }

    /// Sets the duration of a change. The default is 0.1 s.
    pub fn set_delay(&self, delay: Duration) {
        self.world().delay = delay;
    }

    /// Sets the error of `describe`. `None` makes it succeed.
    pub fn set_hidden(&self, error: Option<EngineError>) {
        self.world().hidden = error;
    }

    /// Sets the URL of Prometheus. The default is none.
    pub fn set_prometheus(&self, url: Option<&str>) {
        self.world().prometheus = url.map(str::to_owned);
    }

    /// Loses the stack: every call fails with [`EngineErrorKind::Lost`] until `up`.
    pub fn lose(&self) {
        self.world().lost = true;
    }

    /// Changes a service immediately, as from outside of the run.
    pub fn alter(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.world().apply(service, change)
    }

    /// All calls so far: `reconcile app APP_API_KEY=apikey-v2`, `down`, ….
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    /// Returns true if the stack is up.
    pub fn is_up(&self) -> bool {
        self.world().is_up()
    }

    /// Run state and environment of every service, which is all that a change affects.
    pub fn state(&self) -> BTreeMap<String, (RunState, BTreeMap<String, String>)> {
        self.world().state()
    }

    /// Sends a GET through the gateway with this key.
    pub async fn request(&self, path: &str, key: Option<&str>) -> Reply {
        let headers: Vec<_> = key.map(|key| ("X-API-Key".to_owned(), key.to_owned())).into_iter().collect();
        self.send("GET", path, &headers).await
    }

    /// Response of a frozen app. Its socket keeps the request, so the app reads it when it is resumed, even if the sender
    /// has left by then.
    async fn answer_when_resumed(&self, app: Arc<MemoryApp>, request: Request<Body>) -> Response<Body> {
        let (mut reply, answer) = oneshot::channel();
        let engine = self.clone();
        tokio::spawn(async move {
            let changed = Arc::clone(&engine.world().changed);
            loop {
                let notified = changed.notified();
                let state = engine.world().app_state(&app);
                match state {
                    Some(RunState::Paused) => notified.await,
                    Some(RunState::Running) => break,
                    Some(RunState::Stopped) | None => return,
                }
            }
            let response = tokio::select! {
                biased;
                response = app.answer(request) => Some(response),
                () = reply.closed() => None,
            };
            if let Some(response) = response {
                // Without a receiver, the caller has gone.
                let _ = reply.send(response);
            }
        });
        match answer.await {
            Ok(response) => response,
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a request through the real gateway to the real app, which counts it.
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
        // The loader refuses requests that cannot be sent.
        let Ok(request) = request.body(Body::empty()) else {
            return Reply::Answer { status: 400, body: String::new() };
        };
        let reach = |upstream: &str, request| {
            let app = app.filter(|_| upstream == world::UPSTREAM)?;
            Some(async move {
                match app {
                    Upstream::Serves(app) => app.answer(request).await,
                    Upstream::Frozen(app) => self.answer_when_resumed(app, request).await,
                }
            })
        };
        let response = gateway.answer(request, reach).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Reply::Answer { status, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Metrics page of an instance. `None` if it does not answer.
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
        self.world().calls.push(format!("reconcile {service}{}", world::describe_change(change)));
        self.able(service, change)?;
        // A separate task, because a change has to complete even if its caller stops waiting.
        let task = tokio::spawn(self.clone().change(service.to_owned(), change.clone()));
        match task.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn reset_data(&self) -> Result<(), EngineError> {
        self.world().calls.push("reset_data".to_owned());
        self.scripted("reset_data").await?;
        self.world().check()
    }

    async fn logs(&self, _request: &LogRequest) -> Result<LogLines, EngineError> {
        self.world().check()?;
        Ok(stream::empty().boxed())
    }
}

impl MockEngine {
    /// Fails if the service lacks an ability for the change.
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
