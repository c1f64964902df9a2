//! The state of a lab, as the daemon has it now.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::Inner;
use super::client::{Client, Health as DaemonHealth};
use super::naming::STAND_IN_LABEL;
use super::survey::{Found, Survey, Unread, merged};
use lab_core::engine::{
    Description, Endpoints, EngineError, EngineErrorKind, Health, MetricsEndpoint, RunState, ServiceStatus,
};
use lab_stack::Service;

/// What is known of a lab that has just come up.
pub(super) struct Fresh<'a> {
    /// Services that were asked, and are well.
    pub(super) well: &'a BTreeSet<String>,
    /// By optional service, why it is missing.
    pub(super) missing: &'a BTreeMap<String, String>,
}

impl Inner {
    pub(super) async fn describe(&self) -> Result<Description, EngineError> {
        self.describe_with(self.client().await?, None).await
    }

    /// The state of a lab that has just come up: what was asked a moment ago is not asked again, and what else starts is
    /// not waited for.
    pub(super) async fn describe_fresh(&self, client: &Client, fresh: &Fresh<'_>) -> Result<Description, EngineError> {
        self.describe_with(client, Some(fresh)).await
    }

    async fn describe_with(&self, client: &Client, fresh: Option<&Fresh<'_>>) -> Result<Description, EngineError> {
        let survey = Survey::of(client, &self.names).await?;
        survey.check(self.names.lab())?;
        if survey.serving.is_empty() {
            return Err(self.nothing(client).await?);
        }
        let is_known = |name: &str| survey.get(name).is_some() || survey.unread.contains_key(name);
        let there = |service: &&Service| is_known(&service.name) || self.optional(&service.name).is_none();
        let services = self.in_order().into_iter().filter(there);
        let services = join_all(services.map(|service| self.status(client, service, &survey, fresh))).await;
        let notices = self.notices(client, &survey, fresh.map(|fresh| fresh.missing));
        Ok(Description { services, endpoints: self.endpoints(client, &survey), notices, roles: self.roles() })
    }

    /// What the lab goes without, and what in it is not what its name says. `missing` tells why, where that is known.
    fn notices(&self, client: &Client, survey: &Survey, missing: Option<&BTreeMap<String, String>>) -> Vec<String> {
        let is_missing = |name: &str| survey.get(name).is_none() && !survey.unread.contains_key(name);
        let without = self.stack.lab.optional.iter().filter(|optional| is_missing(&optional.service));
        let without = without.map(|optional| {
            let gives = if optional.gives.is_empty() { "it" } else { &optional.gives };
            let plain = || format!("{} is not there: this lab is without {gives}", optional.service);
            missing.and_then(|missing| missing.get(&optional.service)).cloned().unwrap_or_else(plain)
        });
        let mut notices: Vec<String> = without.collect();
        let stand_ins: Vec<&str> = survey
            .serving
            .values()
            .filter(|found| found.label(STAND_IN_LABEL).is_some())
            .map(|it| it.service.as_str())
            .collect();
        // Who asked for them knows.
        if !stand_ins.is_empty() && !self.options.offline {
            let of = stand_ins.join(", ");
            notices.push(format!("stand-ins run in the place of the official images of {of} (lab images list)"));
        }
        if client.reach.is_open() {
            let bind = client.reach.bind();
            let on = if bind.is_unspecified() { "every address".to_owned() } else { bind.to_string() };
            notices.push(format!(
                "its ports are open on {on} of the daemon's machine: whoever reaches that reaches the lab, its dashboards and \
                 its alerts too"
            ));
        }
        notices
    }

    /// No container is there: either there is no lab, or what is left of one.
    async fn nothing(&self, client: &Client) -> Result<EngineError, EngineError> {
        let networks = client.networks(Some(&self.names.filter())).await?;
        if !networks.iter().any(|network| self.names.is_ours(&network.labels)) {
            return Ok(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        let error = EngineError::new(EngineErrorKind::Lost, "its containers were removed, and not by lab");
        Ok(error.hint("lab up brings it back, lab down clears away the rest"))
    }

    /// The services in the order of the request path, then the others as the file has them.
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

    fn endpoints(&self, client: &Client, survey: &Survey) -> Endpoints {
        let lab = &self.stack.lab;
        let url = |service: &str, port: u16| {
            survey.get(service)?.address(client, port).map(|address| format!("http://{address}"))
        };
        let running =
            |service: &&(String, u16)| survey.get(&service.0).is_some_and(|found| found.state() != RunState::Stopped);
        let app = survey.get(&lab.app.service).filter(|found| found.state() != RunState::Stopped);
        let metrics = app.and_then(|found| {
            let address = found.address(client, lab.app.port)?;
            let url = format!("http://{address}{}", lab.app.metrics_path);
            Some(MetricsEndpoint { instance: found.instance().to_owned(), url })
        });
        Endpoints {
            gateway: url(&lab.gateway.service, lab.gateway.port).unwrap_or_default(),
            metrics: metrics.into_iter().collect(),
            prometheus: lab.prometheus.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
            grafana: lab.grafana.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
            dashboard: None,
        }
    }

    /// The environment of a service, as it was set.
    pub(super) async fn env(&self, name: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let client = self.client().await?;
        let survey = Survey::of(client, &self.names).await?;
        survey.check(self.names.lab())?;
        if survey.serving.is_empty() {
            return Err(self.nothing(client).await?);
        }
        let both = self.service(name).zip(survey.get(name));
        Ok(both.map(|(service, found)| merged(&service.environment, &found.overrides())).unwrap_or_default())
    }

    async fn status(
        &self,
        client: &Client,
        service: &Service,
        survey: &Survey,
        fresh: Option<&Fresh<'_>>,
    ) -> ServiceStatus {
        let Some(found) = survey.get(&service.name) else {
            return match survey.unread.get(&service.name) {
                Some(Unread { state, error }) => {
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
            RunState::Running => match self.known_health(client, service, found, survey, fresh).await {
                Ok(health) => status.health = health,
                Err(detail) => {
                    status.detail = Some(detail).filter(|detail| !detail.is_empty());
                    // The daemon gives a health check its time.
                    if container.health == DaemonHealth::Starting {
                        status.health = Health::Starting;
                    }
                }
            },
            RunState::Stopped if found.ended_by_itself() => {
                status.detail = Some(super::ready::ended(client, &service.name, container).await.detail);
            }
            RunState::Paused | RunState::Stopped => {}
        }
        status
    }

    async fn known_health(
        &self,
        client: &Client,
        service: &Service,
        found: &Found,
        survey: &Survey,
        fresh: Option<&Fresh<'_>>,
    ) -> Result<Health, String> {
        let Some(fresh) = fresh else { return self.health(client, service, found, survey).await };
        let is_checked = self.is_checked(service);
        if fresh.well.contains(&service.name) && is_checked {
            return Ok(Health::Healthy);
        }
        match &found.container.health {
            DaemonHealth::Healthy => Ok(Health::Healthy),
            DaemonHealth::Unchecked if !is_checked => Ok(Health::Unchecked),
            _ => Err("starting".to_owned()),
        }
    }

    /// Whether lab itself can ask whether a service is well.
    fn is_checked(&self, service: &Service) -> bool {
        let lab = &self.stack.lab;
        let parts = [&lab.gateway.service, &lab.app.service];
        parts.contains(&&service.name) || lab.app.awaits.contains(&service.name) || service.health.own().is_some()
    }

    /// Whether a running service is well; if not, what it says.
    async fn health(
        &self,
        client: &Client,
        service: &Service,
        found: &Found,
        survey: &Survey,
    ) -> Result<Health, String> {
        let lab = &self.stack.lab;
        if found.network_address(&self.names).is_none() {
            return Err("the lab's network was removed, and not by lab; lab up makes all of it again".to_owned());
        }
        if service.name == lab.gateway.service {
            // It runs: what becomes of a request behind it is the app's health.
            return Ok(Health::Healthy);
        }
        if service.name == lab.app.service {
            let database = lab.database.as_ref().and_then(|name| survey.get(name));
            if database.is_some_and(|database| database.state() == RunState::Paused) {
                // It would say so itself, after its own timeout.
                return Err("its database is paused".to_owned());
            }
            let address = found.address(client, lab.app.port);
            return self.probe(client, service, found.id(), address.as_deref()).await.map(|()| Health::Healthy);
        }
        match &found.container.health {
            DaemonHealth::Healthy => Ok(Health::Healthy),
            // An app that is well speaks for what it waited for.
            DaemonHealth::Unchecked | DaemonHealth::Starting if self.is_vouched_for(client, service, survey).await => {
                Ok(Health::Healthy)
            }
            // What the daemon last saw is as old as its interval.
            _ if service.health.own().is_some() => {
                self.probe(client, service, found.id(), None).await.map(|()| Health::Healthy)
            }
            DaemonHealth::Unchecked => Ok(Health::Unchecked),
            DaemonHealth::Starting => Err("its image's health check has not passed yet".to_owned()),
            DaemonHealth::Unhealthy(said) if said.is_empty() => {
                Err("its image's health check does not pass".to_owned())
            }
            DaemonHealth::Unhealthy(said) => Err(said.lines().last().unwrap_or_default().to_owned()),
        }
    }

    /// Whether a running service is one that the app waits for by itself, and the app is well.
    pub(super) async fn is_vouched_for(&self, client: &Client, service: &Service, survey: &Survey) -> bool {
        let lab = &self.stack.lab.app;
        let app = survey.get(&lab.service).filter(|app| app.state() == RunState::Running);
        let (Some(app), Some(its)) = (app, self.service(&lab.service)) else { return false };
        let address = app.address(client, lab.port);
        lab.awaits.contains(&service.name)
            && address.is_some()
            && self.probe(client, its, app.id(), address.as_deref()).await.is_ok()
    }

    /// The port that people look for.
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
        detail: Some("its container was removed, and not by lab; lab up makes it again".to_owned()),
        instance: None,
        env: service.environment.clone(),
        address: None,
        pid: None,
        since: None,
        image: Some(service.image.clone()),
        restarts: None,
    }
}
