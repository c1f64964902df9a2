//! Brings one service to a desired state. A container's environment cannot be changed, so a different environment means a new
//! container. The app is replaced while the old instance still serves (see `deploy`), other services in place.

use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Inspected, Launch, State};
use super::launch::Recipe;
use super::observed_state::{ObservedState, Overrides, ServiceContainer, foreign, merged};
use super::probe::healthy_timeout;
use lab_core::engine::{EngineError, EngineErrorKind, Reconciliation, Retired, RunState, ServiceChange};
use lab_stack::Service;
use lab_system::deadline::Deadline;

/// Default time for a service to stop, unless the stack sets it.
const GRACE: Duration = Duration::from_secs(10);
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
        Box::pin(transition.run(change)).await
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
    async fn wait_for_reconnect(&self, client: &Client, observed: &ObservedState) {
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
        let strict = gateway.overrides().is_empty();
        self.refresh_upstream(client, &gateway.container, Some(app.instance()), strict, None).await.map(drop)
    }
}

/// A change to one service.
pub(super) struct Transition<'a> {
    pub(super) inner: &'a Inner,
    pub(super) client: &'a Client,
    pub(super) observed: &'a ObservedState,
    pub(super) service: &'a Service,
    pub(super) found: Option<&'a ServiceContainer>,
}

impl Transition<'_> {
    async fn run(&self, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let before = self.found.map(ServiceContainer::overrides).unwrap_or_default();
        let overrides = Inner::changed(self.service, &before, change);
        let stack = &self.service.environment;
        let other_env = merged(stack, &overrides) != merged(stack, &before);
        let now = self.found.map_or(RunState::Stopped, ServiceContainer::state);
        let target = change.run.unwrap_or(now);
        if !other_env && target == now {
            return Ok(Reconciliation::default());
        }
        let recipe = self.recipe(overrides).await?;
        let mut retired = Vec::new();
        match (now, target) {
            (_, RunState::Stopped) => {
                if let Some(found) = self.found.filter(|_| now != RunState::Stopped) {
                    self.unpause_if_graceful(found, change.abrupt).await?;
                    retired.extend(self.stop(found, change.abrupt).await?);
                }
                if other_env {
                    self.recreate(&recipe).await?;
                }
            }
            (RunState::Stopped, _) if self.is_app() => retired.extend(Box::pin(self.deploy(&recipe)).await?),
            (RunState::Stopped, _) => self.start(&recipe, other_env).await?,
            (_, _) if other_env => {
                if let Some(found) = self.found {
                    self.unpause_if_graceful(found, false).await?;
                }
                let replaced = if self.is_app() {
                    Box::pin(self.deploy(&recipe)).await
                } else {
                    Box::pin(self.replace(&recipe)).await.map(|()| None)
                };
                match replaced {
                    Ok(old) => retired.extend(old),
                    Err(error) => {
                        if let Some(found) = self.found.filter(|_| now == RunState::Paused) {
                            let _ = self.client.pause(found.id()).await;
                        }
                        return Err(error);
                    }
                }
            }
            (RunState::Paused, _) => {
                self.unpause().await?;
            }
            (_, _) => {}
        }
        if target == RunState::Paused {
            // The container may have been recreated.
            if let Some(now) = self.inner.current(self.client, &self.service.name).await? {
                self.client.pause(&now.id).await.map_err(|fault| fault.service(&self.service.name))?;
            }
        }
        Ok(Reconciliation { changed: true, retired })
    }

    pub(super) fn is_app(&self) -> bool {
        self.service.name == self.inner.stack.lab.app.service
    }

    fn is_gateway(&self) -> bool {
        self.service.name == self.inner.stack.lab.gateway.service
    }

    fn is_database(&self) -> bool {
        Some(&self.service.name) == self.inner.stack.lab.database.as_ref()
    }

    pub(super) fn grace(&self) -> Duration {
        self.service.stop_grace.unwrap_or(GRACE)
    }

    /// Recipe for another container of the service: that of the current container, with other overrides. Without a container,
    /// uses the stack's image.
    async fn recipe(&self, overrides: Overrides) -> Result<Recipe, EngineError> {
        if let Some(found) = self.found {
            return Ok(Recipe { overrides, ..Recipe::from_container(found) });
        }
        let silent: lab_core::engine::ProgressFn = std::sync::Arc::new(|_| {});
        let images = super::images::prepare(self.inner, self.client, &silent).await?;
        let image = images.found.get(&self.service.name).cloned().unwrap_or_default();
        self.inner.upload(self.client, &[self.service], &image.0, || {}).await?;
        Ok(Recipe { image, overrides, ports: std::collections::BTreeMap::new() })
    }

    /// Unpauses a container, because a frozen process can neither finish its requests nor exit.
    async fn unpause_if_graceful(&self, found: &ServiceContainer, abrupt: bool) -> Result<(), EngineError> {
        if !abrupt && found.state() == RunState::Paused {
            self.client.unpause(found.id()).await.map_err(|fault| fault.service(&self.service.name))?;
        }
        Ok(())
    }

    async fn unpause(&self) -> Result<(), EngineError> {
        if let Some(found) = self.found {
            self.unpause_if_graceful(found, false).await?;
        }
        self.after_start().await
    }

    /// Refreshes what depends on a service that runs again.
    pub(super) async fn after_start(&self) -> Result<(), EngineError> {
        if self.is_gateway() {
            // The app's address may have changed while the gateway was not running.
            self.inner.route_to_active_app(self.client).await?;
        }
        if self.is_database() {
            self.inner.wait_for_reconnect(self.client, self.observed).await;
        }
        Ok(())
    }

    async fn stop(&self, found: &ServiceContainer, abrupt: bool) -> Result<Option<Retired>, EngineError> {
        if self.is_app() {
            return self.withdraw(found, abrupt).await.map(Some);
        }
        let ended =
            if abrupt { self.client.kill(found.id()).await } else { self.client.stop(found.id(), self.grace()).await };
        ended.map_err(|fault| fault.service(&self.service.name))?;
        Ok(None)
    }

    /// Replaces a stopped container with one that has another environment, without starting it.
    async fn recreate(&self, recipe: &Recipe) -> Result<String, EngineError> {
        if let Some(found) = self.found {
            self.client.remove(found.id()).await.map_err(|fault| fault.service(&self.service.name))?;
        }
        let (launch, _) = self.new_launch(recipe);
        self.inner.create(self.client, &self.service.name, &launch).await
    }

    async fn start(&self, recipe: &Recipe, other_env: bool) -> Result<(), EngineError> {
        let container = match self.found {
            Some(found) if !other_env => found.id().to_owned(),
            _ => self.recreate(recipe).await?,
        };
        self.start_and_wait(&container).await?;
        self.after_start().await
    }

    /// Definition of a container of the service on the lab's network, and its instance id.
    pub(super) fn new_launch(&self, recipe: &Recipe) -> (Launch, String) {
        let network = self.observed.network_in_use(&self.inner.names);
        self.inner.launch(self.client, self.service, recipe, &network)
    }

    /// Starts a container and waits until it is healthy.
    pub(super) async fn start_and_wait(&self, container: &str) -> Result<(), EngineError> {
        let (inner, client, service) = (self.inner, self.client, self.service);
        match client.start(container).await {
            Ok(()) => {}
            Err(fault) if fault.is(FaultKind::Port) => {
                return Err(inner.port_taken(client, service, container, fault).await);
            }
            Err(fault) => return Err(fault.service(&service.name)),
        }
        let address = inner.address_of(client, service, container).await?;
        inner.wait_until_healthy(client, service, container, address.as_deref(), healthy_timeout(service)).await
    }

    /// Replaces a running container. The two share a port or a volume, so the old one has to stop first; it is started again if the
    /// new one does not become healthy. Until then neither container has the service's name, so that after an interruption the old
    /// one is restored (see `leftovers`).
    async fn replace(&self, recipe: &Recipe) -> Result<(), EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        let failed = |fault: Fault| fault.service(service);
        let Some(old) = self.found else { return self.start(recipe, true).await };
        let (mut launch, instance) = self.new_launch(recipe);
        launch.name = inner.names.temporary_container(service, "next", &instance);
        let new = client.create(&launch).await.map_err(failed)?;
        let swapped = async {
            client
                .rename(old.id(), &inner.names.temporary_container(service, "old", old.instance()))
                .await
                .map_err(failed)?;
            client.stop(old.id(), self.grace()).await.map_err(failed)?;
            self.start_and_wait(&new).await?;
            client.rename(&new, &inner.names.container(service)).await.map_err(failed)
        };
        if let Err(error) = swapped.await {
            let _ = client.remove(&new).await;
            let back = self.start_and_wait(old.id()).await;
            let _ = client.rename(old.id(), &inner.names.container(service)).await;
            let _ = self.after_start().await;
            return match back {
                Ok(()) => Err(error),
                Err(other) => Err(error.hint(format!("it did not restart either ({other}); run lab up"))),
            };
        }
        client.remove(old.id()).await.map_err(failed)?;
        self.after_start().await
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
