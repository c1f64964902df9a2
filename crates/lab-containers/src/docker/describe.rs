//! Describes the current state of a lab.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::Inner;
use super::client::{Client, Health as DaemonHealth};
use super::names::STAND_IN_LABEL;
use super::observed_state::{ObservedState, ServiceContainer, Unreadable, merged};
use super::probe::ProbeError;
use lab_core::engine::{
    Description, Endpoints, EngineError, EngineErrorKind, Health, MetricsEndpoint, RunState, ServiceStatus,
};
use lab_stack::Service;

/// Reason why a running service is not healthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// `up` has not checked it.
    #[error("starting")]
    Starting,
    #[error("the lab's network was removed outside of lab; run lab up to recreate the lab")]
    NoNetwork,
    #[error("its database is paused")]
    DatabasePaused,
    #[error("its image's health check has not passed yet")]
    ImageCheckPending,
    #[error("its image's health check does not pass")]
    ImageCheckFailed,
    /// Last line that its image's health check printed.
    #[error("{0}")]
    ImageCheckOutput(String),
}

impl Unhealthy {
    /// Detail for the user. `None` if the probe could not run, which explains nothing.
    fn detail(&self) -> Option<String> {
        match self {
            Self::Probe(ProbeError::NotRun) => None,
            Self::Probe(_)
            | Self::Starting
            | Self::NoNetwork
            | Self::DatabasePaused
            | Self::ImageCheckPending
            | Self::ImageCheckFailed
            | Self::ImageCheckOutput(_) => Some(self.to_string()),
        }
    }
}

/// Results of an `up` that has just finished.
pub(super) struct StartupResult<'a> {
    /// Services whose health was checked.
    pub(super) healthy: &'a BTreeSet<String>,
    /// Reason per optional service that is missing.
    pub(super) missing: &'a BTreeMap<String, String>,
}

impl Inner {
    pub(super) async fn describe(&self) -> Result<Description, EngineError> {
        self.describe_with(self.client().await?, None).await
    }

    /// Describes a lab that has just started. Health that `up` checked is not checked again, and other services are not waited
    /// for.
    pub(super) async fn describe_started(
        &self,
        client: &Client,
        fresh: &StartupResult<'_>,
    ) -> Result<Description, EngineError> {
        self.describe_with(client, Some(fresh)).await
    }

    async fn describe_with(
        &self,
        client: &Client,
        fresh: Option<&StartupResult<'_>>,
    ) -> Result<Description, EngineError> {
        let observed = ObservedState::inspect(client, &self.names).await?;
        observed.check(self.names.lab())?;
        if observed.active.is_empty() {
            return Err(self.nothing(client).await?);
        }
        let is_known = |name: &str| observed.get(name).is_some() || observed.unreadable.contains_key(name);
        let there = |service: &&Service| is_known(&service.name) || self.optional(&service.name).is_none();
        let services = self.in_order().into_iter().filter(there);
        let services = join_all(services.map(|service| self.status(client, service, &observed, fresh))).await;
        let notices = self.notices(client, &observed, fresh.map(|fresh| fresh.missing));
        Ok(Description { services, endpoints: self.endpoints(client, &observed), notices, roles: self.roles() })
    }

    /// Notices about missing optional services, stand-ins and open ports. `missing` has the reasons, if they are known.
    fn notices(
        &self,
        client: &Client,
        observed: &ObservedState,
        missing: Option<&BTreeMap<String, String>>,
    ) -> Vec<String> {
        let is_missing = |name: &str| observed.get(name).is_none() && !observed.unreadable.contains_key(name);
        let without = self.stack.lab.optional.iter().filter(|optional| is_missing(&optional.service));
        let without = without.map(|optional| {
            let gives = if optional.gives.is_empty() { "it" } else { &optional.gives };
            let plain = || format!("{} is missing: this lab runs without {gives}", optional.service);
            missing.and_then(|missing| missing.get(&optional.service)).cloned().unwrap_or_else(plain)
        });
        let mut notices: Vec<String> = without.collect();
        let stand_ins: Vec<&str> = observed
            .active
            .values()
            .filter(|found| found.label(STAND_IN_LABEL).is_some())
            .map(|it| it.service.as_str())
            .collect();
        // With --offline, stand-ins were requested.
        if !stand_ins.is_empty() && !self.options.offline {
            let of = stand_ins.join(", ");
            notices.push(format!("using stand-ins instead of the official images of {of} (lab images list)"));
        }
        if client.reach.is_open() {
            let bind = client.reach.bind();
            let on = if bind.is_unspecified() { "every address".to_owned() } else { bind.to_string() };
            notices.push(format!(
                "its ports are open on {on} of the daemon's machine: anyone who can connect there has access to the lab, its \
                 dashboards and its alerts"
            ));
        }
        notices
    }

    /// Error for a lab without containers: either it does not exist, or only its network is left.
    async fn nothing(&self, client: &Client) -> Result<EngineError, EngineError> {
        let networks = client.networks(Some(&self.names.filter())).await?;
        if !networks.iter().any(|network| self.names.is_ours(&network.labels)) {
            return Ok(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        let error = EngineError::new(EngineErrorKind::Lost, "its containers were removed outside of lab");
        Ok(error.hint("lab up creates it again, lab down removes the rest"))
    }

    /// Services in the order of the request path, then the others in the order of the file.
    fn in_order(&self) -> Vec<&Service> {
        let lab = &self.stack.lab;
        let place = |service: &&Service| match service.name.as_str() {
            name if name == lab.gateway.service => 0,
            name if name == lab.app.service => 1,
            name if Some(name) == lab.database.as_deref() => 2,
            _ => 3,
        };
        let mut services: Vec<&Service> = self.stack.services.iter().collect();
        services.sort_by_key(place);
        services
    }

    fn endpoints(&self, client: &Client, observed: &ObservedState) -> Endpoints {
        let lab = &self.stack.lab;
        let url = |service: &str, port: u16| {
            observed.get(service)?.address(client, port).map(|address| format!("http://{address}"))
        };
        let running =
            |service: &&(String, u16)| observed.get(&service.0).is_some_and(|found| found.state() != RunState::Stopped);
        let app = observed.get(&lab.app.service).filter(|found| found.state() != RunState::Stopped);
        let metrics = app.and_then(|found| {
            let address = found.address(client, lab.app.port)?;
            let url = format!("http://{address}{}", lab.app.metrics_path);
            Some(MetricsEndpoint { instance: found.instance().to_owned(), url })
        });
        let edge = lab.edge.as_ref().and_then(|(service, port)| {
            let found = observed.get(service).filter(|found| found.state() == RunState::Running)?;
            let url = format!("http://{}/metrics", found.address(client, *port)?);
            Some(MetricsEndpoint { instance: found.instance().to_owned(), url })
        });
        Endpoints {
            edge,
            gateway: url(&lab.gateway.service, lab.gateway.port).unwrap_or_default(),
            metrics: metrics.into_iter().collect(),
            prometheus: lab.prometheus.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
            grafana: lab.grafana.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
            dashboard: None,
        }
    }

    /// Configured environment of a service.
    pub(super) async fn env(&self, name: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let client = self.client().await?;
        let observed = ObservedState::inspect(client, &self.names).await?;
        observed.check(self.names.lab())?;
        if observed.active.is_empty() {
            return Err(self.nothing(client).await?);
        }
        let both = self.service(name).zip(observed.get(name));
        Ok(both.map(|(service, found)| merged(&service.environment, &found.overrides())).unwrap_or_default())
    }

    async fn status(
        &self,
        client: &Client,
        service: &Service,
        observed: &ObservedState,
        fresh: Option<&StartupResult<'_>>,
    ) -> ServiceStatus {
        let Some(found) = observed.get(&service.name) else {
            return match observed.unreadable.get(&service.name) {
                Some(Unreadable { state, error }) => {
                    ServiceStatus { state: *state, detail: Some(error.to_string()), ..gone(service) }
                }
                None => gone(service),
            };
        };
        let container = &found.container;
        let state = found.state();
        let env = merged(&service.environment, &found.overrides());
        let mut status = ServiceStatus {
            name: service.name.clone(),
            state,
            health: Health::Unhealthy,
            detail: None,
            instance: Some(found.instance().to_owned()),
            env,
            address: found.address(client, self.shown_port(service)),
            pid: None,
            since: container.started,
            image: Some(container.image.clone()),
            restarts: Some(container.restarts),
        };
        match state {
            RunState::Running => match self.known_health(client, service, found, observed, fresh).await {
                Ok(health) => status.health = health,
                Err(reason) => {
                    status.detail = reason.detail();
                    // The daemon allows a health check a start period.
                    if container.health == DaemonHealth::Starting {
                        status.health = Health::Starting;
                    }
                }
            },
            RunState::Stopped if found.has_failed() => {
                status.detail = Some(super::probe::exit_error(client, &service.name, container).await.detail);
            }
            RunState::Paused | RunState::Stopped => {}
        }
        status
    }

    async fn known_health(
        &self,
        client: &Client,
        service: &Service,
        found: &ServiceContainer,
        observed: &ObservedState,
        fresh: Option<&StartupResult<'_>>,
    ) -> Result<Health, Unhealthy> {
        let Some(fresh) = fresh else { return self.health(client, service, found, observed).await };
        let is_checked = self.is_checked(service);
        if fresh.healthy.contains(&service.name) && is_checked {
            return Ok(Health::Healthy);
        }
        match &found.container.health {
            DaemonHealth::Healthy => Ok(Health::Healthy),
            DaemonHealth::Unchecked if !is_checked => Ok(Health::Unchecked),
            _ => Err(Unhealthy::Starting),
        }
    }

    /// Returns true if lab can check a service's health itself.
    fn is_checked(&self, service: &Service) -> bool {
        let lab = &self.stack.lab;
        let parts = [&lab.gateway.service, &lab.app.service];
        parts.contains(&&service.name) || lab.app.awaits.contains(&service.name) || service.health.own().is_some()
    }

    /// Health of a running service, or the reason why it is not healthy.
    async fn health(
        &self,
        client: &Client,
        service: &Service,
        found: &ServiceContainer,
        observed: &ObservedState,
    ) -> Result<Health, Unhealthy> {
        let lab = &self.stack.lab;
        if found.network_address(&self.names).is_none() {
            return Err(Unhealthy::NoNetwork);
        }
        if service.name == lab.gateway.service {
            // It runs. Failures of requests behind it are part of the app's health.
            return Ok(Health::Healthy);
        }
        if service.name == lab.app.service {
            let database = lab.database.as_ref().and_then(|name| observed.get(name));
            if database.is_some_and(|database| database.state() == RunState::Paused) {
                // The app would report it as well, but only after its own timeout.
                return Err(Unhealthy::DatabasePaused);
            }
            let address = found.address(client, lab.app.port);
            self.probe(client, service, found.id(), address.as_deref()).await?;
            return Ok(Health::Healthy);
        }
        match &found.container.health {
            DaemonHealth::Healthy => Ok(Health::Healthy),
            // A healthy app vouches for the services that it waited for.
            DaemonHealth::Unchecked | DaemonHealth::Starting
                if self.is_vouched_for(client, service, observed).await =>
            {
                Ok(Health::Healthy)
            }
            // The daemon's result can be as old as its check interval.
            _ if service.health.own().is_some() => {
                self.probe(client, service, found.id(), None).await?;
                Ok(Health::Healthy)
            }
            DaemonHealth::Unchecked => Ok(Health::Unchecked),
            DaemonHealth::Starting => Err(Unhealthy::ImageCheckPending),
            DaemonHealth::Unhealthy(output) => Err(match output.lines().last().filter(|line| !line.is_empty()) {
                Some(line) => Unhealthy::ImageCheckOutput(line.to_owned()),
                None => Unhealthy::ImageCheckFailed,
            }),
        }
    }

    /// Returns true if the app waits for this running service itself, and the app is healthy.
    pub(super) async fn is_vouched_for(&self, client: &Client, service: &Service, observed: &ObservedState) -> bool {
        let lab = &self.stack.lab.app;
        let app = observed.get(&lab.service).filter(|app| app.state() == RunState::Running);
        let (Some(app), Some(its)) = (app, self.service(&lab.service)) else { return false };
        let address = app.address(client, lab.port);
        lab.awaits.contains(&service.name)
            && address.is_some()
            && self.probe(client, its, app.id(), address.as_deref()).await.is_ok()
    }

    /// Port whose address is displayed.
    fn shown_port(&self, service: &Service) -> u16 {
        let lab = &self.stack.lab;
        match service.name.as_str() {
            name if name == lab.gateway.service => lab.gateway.port,
            name if name == lab.app.service => lab.app.port,
            _ => service.ports.first().map(|port| port.target).unwrap_or_default(),
        }
    }
}

fn gone(service: &Service) -> ServiceStatus {
    ServiceStatus {
        name: service.name.clone(),
        state: RunState::Stopped,
        health: Health::Unhealthy,
        detail: Some("its container was removed outside of lab; run lab up to recreate it".to_owned()),
        instance: None,
        env: service.environment.clone(),
        address: None,
        pid: None,
        since: None,
        image: Some(service.image.clone()),
        restarts: None,
    }
}
