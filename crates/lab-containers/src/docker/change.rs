//! Brings one service to a desired state: observes it, plans the operations, and executes them (see `transition`).

use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Inspected, Launch, State};
use super::observed_state::{ObservedState, Overrides, ServiceContainer, foreign, merged};
use super::route::ABRUPT_TIMEOUT;
use super::transition::{PlannedChange, Transition};
use lab_core::engine::{
    Desired, EngineError, EngineErrorKind, Observed, Reconciliation, RunState, ServiceChange, plan,
};
use lab_stack::{Mount, Service};
use lab_system::deadline::Deadline;

/// Time for the app to reconnect after its database changed.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Inner {
    pub(super) async fn reconcile(&self, name: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let unknown = || EngineError::new(EngineErrorKind::Unsupported, "the service does not exist").for_service(name);
        let service = self.service(name).ok_or_else(unknown)?;
        let client = self.client().await?;
        let observed = ObservedState::inspect(client, &self.names).await?.require_complete()?;
        observed.check(self.names.lab())?;
        if observed.active.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        if observed.get(name).is_none() && self.optional(name).is_some() {
            let detail = "it is missing: its image was not available when the lab was created";
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(name));
        }
        let observed = self.remove_leftovers(client, observed, true).await?;
        let transition = Transition { inner: self, client, observed: &observed, service, found: observed.get(name) };
        let before = transition.found.map(ServiceContainer::overrides).unwrap_or_default();
        let overrides = Self::changed(service, &before, change);
        let new_env = merged(&service.environment, &overrides) != merged(&service.environment, &before);
        let state = transition.found.map_or(Observed::Absent, ServiceContainer::observed);
        let plan = plan(state, Desired::new(change, new_env));
        if !plan.is_change() {
            return Ok(Reconciliation::default());
        }
        let recipe = transition.recipe(overrides).await?;
        Box::pin(plan.run(&mut PlannedChange { transition: &transition, recipe })).await
    }

    /// Removes the container and the volumes of the database, and creates them again.
    pub(super) async fn reset_data(&self) -> Result<(), EngineError> {
        let Some(service) = self.stack.lab.database.as_deref().and_then(|name| self.service(name)) else {
            return Ok(());
        };
        let client = self.client().await?;
        let observed = ObservedState::inspect(client, &self.names).await?.require_complete()?;
        observed.check(self.names.lab())?;
        let observed = self.remove_leftovers(client, observed, false).await?;
        let found = observed.get(&service.name);
        let before = Transition { inner: self, client, observed: &observed, service, found };
        let recipe = before.recipe(found.map(ServiceContainer::overrides).unwrap_or_default()).await?;
        if let Some(found) = found {
            client.remove(found.id()).await.map_err(|fault| before.failed(fault))?;
        }
        for mount in &service.mounts {
            if let Mount::Volume(volume) = mount {
                let name = self.names.volume(&volume.volume);
                client.remove_volume(&name).await.map_err(|fault| before.failed(fault))?;
            }
        }
        self.make_volumes(client).await?;
        let transition = Transition { found: None, ..before };
        let container = transition.recreate(&recipe).await?;
        transition.start_and_wait(&container).await
    }

    /// Returns the overrides after a change to the environment.
    fn changed(service: &Service, before: &Overrides, change: &ServiceChange) -> Overrides {
        let mut overrides = before.clone();
        for (name, value) in &change.env {
            if service.environment.get(name) == value.as_ref() {
                overrides.remove(name);
            } else {
                overrides.insert(name.clone(), value.clone());
            }
        }
        overrides
    }

    /// Waits until the app is healthy again after its database has changed. A timeout is not an error of this change.
    pub(super) async fn wait_for_reconnect(&self, client: &Client, observed: &ObservedState) {
        let lab = &self.stack.lab;
        let app = observed.get(&lab.app.service).filter(|app| app.state() == RunState::Running);
        let (Some(app), Some(service)) = (app, self.service(&lab.app.service)) else { return };
        let address = app.address(client, lab.app.port);
        let deadline = Deadline::after(RECONNECT_TIMEOUT);
        while !deadline.is_over() && self.probe(client, service, app.id(), address.as_deref()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the container with a service's name, if it belongs to the lab.
    pub(super) async fn current(&self, client: &Client, service: &str) -> Result<Option<Inspected>, Fault> {
        let found = client.inspect(&self.names.container(service)).await?;
        Ok(found.filter(|container| self.names.owns(&container.labels)))
    }

    /// Creates a container. Reports the owner of a conflicting container that is not part of the lab.
    pub(super) async fn create(&self, client: &Client, service: &str, launch: &Launch) -> Result<String, EngineError> {
        let fault = match client.create(launch).await {
            Ok(id) => return Ok(id),
            Err(fault) => fault,
        };
        let name = &launch.name;
        if !fault.is(FaultKind::Conflict) {
            return Err(fault.service(service));
        }
        match client.inspect(name).await? {
            Some(other) if !self.names.owns(&other.labels) => {
                Err(if let Some(place) = self.names.foreign_owner(&other.labels) {
                    foreign(self.names.lab(), &place)
                } else {
                    let detail = format!("container {name} exists already and does not belong to this lab");
                    let hint = format!(
                        "use another name with lab up --name NAME; or remove it with docker rm -f {name} if it is not needed"
                    );
                    EngineError::new(EngineErrorKind::Foreign, detail).for_service(service).hint(hint)
                })
            }
            _ => Err(fault.service(service)),
        }
    }

    /// Makes the gateway route to the active app, if both run.
    pub(super) async fn route_to_active_app(&self, client: &Client) -> Result<(), EngineError> {
        let lab = &self.stack.lab;
        let (gateway, app) =
            tokio::try_join!(self.current(client, &lab.gateway.service), self.current(client, &lab.app.service))?;
        let runs = |container: &Inspected| container.state == State::Running;
        let (Some(gateway), Some(app)) = (gateway.filter(runs), app.filter(runs)) else { return Ok(()) };
        let app = ServiceContainer { service: lab.app.service.clone(), container: app };
        let Some(address) = self.gateway_address(client, &gateway) else { return Ok(()) };
        if self.check_route(&address, Some(app.instance())).await.is_ok() {
            return Ok(());
        }
        let gateway = ServiceContainer { service: lab.gateway.service.clone(), container: gateway };
        // The workers of before the reload would still answer 502 to some requests.
        let prepared = self.prepare_route(client, &gateway.container, gateway.overrides().is_empty(), None).await;
        let reroute = self.reroute(client, &gateway.container, prepared, Some(app.instance()), ABRUPT_TIMEOUT);
        Box::pin(reroute).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_equal_to_the_stacks_is_not_an_override() {
        let service = Service { environment: [("A".to_owned(), "1".to_owned())].into(), ..Service::default() };
        let changed = Inner::changed(&service, &Overrides::new(), &ServiceChange::env("A", "2"));
        assert_eq!(changed, Overrides::from([("A".to_owned(), Some("2".to_owned()))]));
        let back = Inner::changed(&service, &changed, &ServiceChange::env("A", "1"));
        assert!(back.is_empty());
        let gone = ServiceChange { env: [("A".to_owned(), None)].into(), ..ServiceChange::default() };
        assert_eq!(Inner::changed(&service, &back, &gone), Overrides::from([("A".to_owned(), None)]));
    }
}
