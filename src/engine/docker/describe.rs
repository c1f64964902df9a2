//! The state of a lab, as the daemon has it now.

use futures_util::future::join_all;

use super::Inner;
use super::client::{Client, Health as DaemonHealth};
use super::survey::{Found, Survey, merged};
use crate::engine::{
    Description, Endpoints, EngineError, EngineErrorKind, Health, MetricsEndpoint, RunState, ServiceStatus,
};
use crate::stack::Service;

impl Inner {
    pub(super) async fn describe(&self) -> Result<Description, EngineError> {
        let client = self.client().await?;
        let survey = Survey::of(client, &self.names).await?;
        survey.check_version(self.names.lab())?;
        if survey.serving.is_empty() {
            return Err(self.nothing(client).await?);
        }
        let there = |service: &&Service| survey.get(&service.name).is_some() || self.optional(&service.name).is_none();
        let services = self.in_order().into_iter().filter(there);
        let services = join_all(services.map(|service| self.status(client, service, &survey))).await;
        let notices = self.stack.lab.optional.iter().filter(|optional| survey.get(&optional.service).is_none());
        let notices = notices.map(|optional| {
            let gives = if optional.gives.is_empty() { "it" } else { &optional.gives };
            format!("{} is not there: this lab is without {gives}", optional.service)
        });
        Ok(Description { services, endpoints: self.endpoints(&survey), notices: notices.collect() })
    }

    /// No container is there: either there is no lab, or what is left of one.
    async fn nothing(&self, client: &Client) -> Result<EngineError, EngineError> {
        if client.networks(&self.names.filter()).await?.is_empty() {
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

    fn endpoints(&self, survey: &Survey) -> Endpoints {
        let lab = &self.stack.lab;
        let url =
            |service: &str, port: u16| survey.get(service)?.address(port).map(|address| format!("http://{address}"));
        let running =
            |service: &&(String, u16)| survey.get(&service.0).is_some_and(|found| found.state() != RunState::Stopped);
        let app = survey.get(&lab.app.service).filter(|found| found.state() != RunState::Stopped);
        let metrics = app.and_then(|found| {
            let address = found.address(lab.app.port)?;
            let url = format!("http://{address}{}", lab.app.metrics_path);
            Some(MetricsEndpoint { instance: found.instance().to_owned(), url })
        });
        Endpoints {
            gateway: url(&lab.gateway.service, lab.gateway.port).unwrap_or_default(),
            metrics: metrics.into_iter().collect(),
            prometheus: lab.prometheus.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
            grafana: lab.grafana.as_ref().filter(running).and_then(|(service, port)| url(service, *port)),
        }
    }

    async fn status(&self, client: &Client, service: &Service, survey: &Survey) -> ServiceStatus {
        let Some(found) = survey.get(&service.name) else { return gone(service) };
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
            address: found.address(self.shown_port(service)),
            pid: None,
            since: container.started,
            image: Some(container.image.clone()),
            restarts: Some(container.restarts),
        };
        match state {
            RunState::Running => match self.health(client, service, found, survey).await {
                Ok(()) => status.health = Health::Healthy,
                Err(detail) => status.detail = Some(detail).filter(|detail| !detail.is_empty()),
            },
            // Ended by itself: neither by a signal that ends it, nor well.
            RunState::Stopped if !matches!(container.exit_code, 0 | 137 | 143) => {
                status.detail = Some(super::ready::ended(client, &service.name, container).await.detail);
            }
            RunState::Paused | RunState::Stopped => {}
        }
        status
    }

    async fn health(&self, client: &Client, service: &Service, found: &Found, survey: &Survey) -> Result<(), String> {
        let lab = &self.stack.lab;
        if service.name == lab.gateway.service {
            // It runs: what becomes of a request behind it is the app's health.
            return Ok(());
        }
        if service.name == lab.app.service {
            let database = lab.database.as_ref().and_then(|name| survey.get(name));
            if database.is_some_and(|database| database.state() == RunState::Paused) {
                // It would say so itself, after its own timeout.
                return Err("its database is paused".to_owned());
            }
            let address = found.address(lab.app.port);
            return self.probe(client, service, found.id(), address.as_deref()).await;
        }
        match found.container.health {
            DaemonHealth::Healthy => Ok(()),
            // What the daemon last saw is as old as its interval.
            DaemonHealth::Unknown | DaemonHealth::Unhealthy(_) => self.probe(client, service, found.id(), None).await,
        }
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
