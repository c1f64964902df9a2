//! [`World`]: the mock's stack. Its services depend on each other as the real ones do, and its app counts as the contract
//! says, each new instance from 0.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use super::super::{
    APP, Ability, DB, Description, Endpoints, EngineError, EngineErrorKind, Ensured, GATEWAY, Health, KEY_VARIABLE,
    MetricsEndpoint, Retired, RunState, ServiceChange, ServiceStatus,
};
use super::{Script, never_healthy};

/// In the order of the request path.
pub(super) const SERVICES: [&str; 3] = [GATEWAY, APP, DB];
/// A key where `up` names none.
const DEFAULT_KEY: &str = "apikey-v1";

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response with this status.
    Code(u16),
    /// Nobody listens.
    Refused,
    /// Nobody answers.
    Timeout,
}

#[derive(Debug)]
pub(super) struct World {
    /// Empty: not up.
    services: BTreeMap<String, Service>,
    pub(super) lost: bool,
    pub(super) delay: Duration,
    pub(super) scripts: BTreeMap<String, VecDeque<Script>>,
    pub(super) abilities: BTreeMap<String, BTreeSet<Ability>>,
    pub(super) calls: Vec<String>,
    /// How many instances of each service there were.
    instances: BTreeMap<String, u32>,
}

#[derive(Clone, Debug)]
struct Service {
    state: RunState,
    env: BTreeMap<String, String>,
    /// None: stopped.
    instance: Option<Instance>,
}

#[derive(Clone, Debug, Default)]
struct Instance {
    id: String,
    number: u32,
    requests: u64,
    accepted: u64,
    rejected: u64,
    codes: BTreeMap<u16, u64>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            services: BTreeMap::new(),
            lost: false,
            delay: Duration::from_millis(100),
            scripts: BTreeMap::new(),
            abilities: BTreeMap::new(),
            calls: Vec::new(),
            instances: BTreeMap::new(),
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

    pub(super) fn start(&mut self, env: &BTreeMap<String, BTreeMap<String, String>>) {
        let restarted = std::mem::take(&mut self.lost);
        for name in SERVICES {
            let mut service = self.services.remove(name).unwrap_or_else(|| {
                let mut env = env.get(name).cloned().unwrap_or_default();
                if name == APP {
                    env.entry(KEY_VARIABLE.to_owned()).or_insert_with(|| DEFAULT_KEY.to_owned());
                }
                Service { state: RunState::Running, env, instance: None }
            });
            if service.instance.is_none() || restarted {
                service.instance = Some(self.new_instance(name));
            }
            service.state = RunState::Running;
            self.services.insert(name.to_owned(), service);
        }
    }

    pub(super) fn end(&mut self) {
        self.services.clear();
        self.lost = false;
    }

    pub(super) fn state(&self) -> BTreeMap<String, (RunState, BTreeMap<String, String>)> {
        self.services.iter().map(|(name, service)| (name.clone(), (service.state, service.env.clone()))).collect()
    }

    fn new_instance(&mut self, service: &str) -> Instance {
        let number = self.instances.entry(service.to_owned()).or_default();
        *number += 1;
        Instance { id: format!("{service}-{number}"), number: *number, ..Instance::default() }
    }

    fn runs(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(|service| service.state == RunState::Running)
    }

    fn service(&self, name: &str) -> Result<&Service, EngineError> {
        self.services
            .get(name)
            .ok_or_else(|| EngineError::new(EngineErrorKind::Unsupported, "there is no such service").of(name))
    }

    pub(super) fn meets(&self, service: &str, change: &ServiceChange) -> Result<bool, EngineError> {
        let now = self.service(service)?;
        Ok(change.is_met_by(&self.status(service, now)))
    }

    /// Makes a change at once, or refuses it.
    pub(super) fn apply(&mut self, name: &str, change: &ServiceChange) -> Result<Ensured, EngineError> {
        self.check()?;
        if self.meets(name, change)? {
            return Ok(Ensured::default());
        }
        let mut service = self.service(name)?.clone();
        let mut env = service.env.clone();
        for (variable, value) in &change.env {
            match value {
                Some(value) => env.insert(variable.clone(), value.clone()),
                None => env.remove(variable),
            };
        }
        let state = change.run.unwrap_or(service.state);
        let redeploy = state != RunState::Stopped && (env != service.env || service.instance.is_none());
        let unwell = name == APP && state == RunState::Running && redeploy && !self.runs(DB);
        if unwell && service.state == RunState::Running {
            return Err(never_healthy(name));
        }
        let mut retired = Vec::new();
        if (redeploy || state == RunState::Stopped)
            && let Some(old) = service.instance.take()
        {
            // What is frozen cannot be asked any more, and what is killed is not asked.
            let asked = service.state == RunState::Running && !change.abrupt;
            let exposition = asked.then(|| exposition(&old));
            retired.push(Retired { instance: old.id, exposition });
        }
        if redeploy {
            service.instance = Some(self.new_instance(name));
        }
        self.services.insert(name.to_owned(), Service { state, env, ..service });
        if unwell {
            return Err(EngineError::new(EngineErrorKind::Unhealthy, "the database does not answer").of(name));
        }
        Ok(Ensured { changed: true, retired })
    }

    pub(super) fn describe(&self) -> Result<Description, EngineError> {
        self.check()?;
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
            ..Endpoints::default()
        };
        Ok(Description { services, endpoints, notices: Vec::new() })
    }

    fn status(&self, name: &str, service: &Service) -> ServiceStatus {
        let well = service.state == RunState::Running && (name != APP || self.runs(DB));
        ServiceStatus {
            name: name.to_owned(),
            state: service.state,
            health: if well { Health::Healthy } else { Health::Unhealthy },
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

    pub(super) fn request(&mut self, path: &str, key: Option<&str>) -> Reply {
        match self.services.get(GATEWAY).map(|gateway| gateway.state) {
            _ if self.lost => return Reply::Refused,
            None | Some(RunState::Stopped) => return Reply::Refused,
            Some(RunState::Paused) => return Reply::Timeout,
            Some(RunState::Running) => {}
        }
        let database = self.runs(DB);
        let Some(app) = self.services.get_mut(APP) else { return Reply::Code(502) };
        let instance = match (app.state, app.instance.as_mut()) {
            (RunState::Paused, _) => return Reply::Code(504),
            (RunState::Running, Some(instance)) => instance,
            _ => return Reply::Code(502),
        };
        let served = if database { 200 } else { 503 };
        if !path.starts_with("/api/") {
            return Reply::Code(served);
        }
        let accepted = key.is_some() && key == app.env.get(KEY_VARIABLE).map(String::as_str);
        let code = if accepted { served } else { 401 };
        instance.requests += 1;
        instance.accepted += u64::from(accepted);
        instance.rejected += u64::from(!accepted);
        *instance.codes.entry(code).or_default() += 1;
        Reply::Code(code)
    }

    pub(super) fn exposition(&self, id: &str) -> Option<String> {
        let app = self.services.get(APP).filter(|app| app.state == RunState::Running && !self.lost)?;
        app.instance.as_ref().filter(|instance| instance.id == id).map(exposition)
    }
}

/// The app's page, in the Prometheus text format.
fn exposition(instance: &Instance) -> String {
    let Instance { requests, accepted, rejected, codes, number, .. } = instance;
    let mut text = String::new();
    let mut counter = |name: &str, samples: &[(String, u64)]| {
        let _ = writeln!(text, "# TYPE {name} counter");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let plain = |value: u64| [(String::new(), value)];
    counter("app_requests_total", &plain(*requests));
    counter("app_auth_success_total", &plain(*accepted));
    counter("app_auth_failures_total", &plain(*rejected));
    counter("app_auth_rejections_total", &[("{reason=\"invalid\"}".to_owned(), *rejected)]);
    let codes: Vec<_> = codes.iter().map(|(code, count)| (format!("{{code=\"{code}\"}}"), *count)).collect();
    counter("app_http_responses_total", &codes);
    let _ = write!(
        text,
        "# TYPE app_http_request_duration_seconds histogram\n\
         app_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {requests}\n\
         app_http_request_duration_seconds_sum 0.5\n\
         app_http_request_duration_seconds_count {requests}\n\
         # TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {}.125\n",
        1_700_000_000_u64 + u64::from(*number)
    );
    text
}

/// A change as it stands in the log of calls.
pub(super) fn shown(change: &ServiceChange) -> String {
    let mut text = String::new();
    for (name, value) in &change.env {
        let _ = write!(text, " {name}={}", value.as_deref().unwrap_or("-"));
    }
    if let Some(state) = change.run {
        let _ = write!(text, " {}{}", state.name(), if change.abrupt { " abruptly" } else { "" });
    }
    text
}
