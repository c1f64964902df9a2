//! Executes the operations of a plan on a container. A container's environment cannot be changed, so a different environment
//! means a new container. The app is replaced while the old instance still serves (see `deploy`), other services in place.
//!
//! A container that is replaced is renamed first (`-old-`, `-stopping-`). It stays the active one as long as no other has the
//! service's name, so that after a SIGKILL in between, the next change renames it back first.

use std::time::Duration;

use async_trait::async_trait;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Launch};
use super::launch::Recipe;
use super::observed_state::{ObservedState, Overrides, ServiceContainer};
use super::probe::healthy_timeout;
use lab_core::engine::{EngineError, Execute, Operation, Retired};
use lab_stack::Service;

/// Default time for a service to stop, unless the stack sets it.
const GRACE: Duration = Duration::from_secs(10);

/// One service of the observed lab, and what is needed to change it.
pub(super) struct Transition<'a> {
    pub(super) inner: &'a Inner,
    pub(super) client: &'a Client,
    pub(super) observed: &'a ObservedState,
    pub(super) service: &'a Service,
    pub(super) found: Option<&'a ServiceContainer>,
}

impl Transition<'_> {
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
    pub(super) async fn recipe(&self, overrides: Overrides) -> Result<Recipe, EngineError> {
        if let Some(found) = self.found {
            return Ok(Recipe { overrides, ..Recipe::from_container(found) });
        }
        let silent: lab_core::engine::ProgressFn = std::sync::Arc::new(|_| {});
        let images = super::images::prepare(self.inner, self.client, &silent).await?;
        let image = images.found.get(&self.service.name).cloned().unwrap_or_default();
        self.inner.upload(self.client, &[self.service], &image.0, || {}).await?;
        Ok(Recipe { image, overrides, ports: std::collections::BTreeMap::new() })
    }

    /// Freezes the container that has the service's name: a redeploy may have created another one.
    async fn pause(&self) -> Result<(), EngineError> {
        if let Some(now) = self.inner.current(self.client, &self.service.name).await? {
            self.client.pause(&now.id).await.map_err(|fault| self.failed(fault))?;
        }
        Ok(())
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
        ended.map_err(|fault| self.failed(fault))?;
        Ok(None)
    }

    /// Replaces a stopped container with one that has another environment, without starting it.
    pub(super) async fn recreate(&self, recipe: &Recipe) -> Result<String, EngineError> {
        if let Some(found) = self.found {
            self.client.remove(found.id()).await.map_err(|fault| self.failed(fault))?;
        }
        let (launch, _) = self.new_launch(recipe);
        self.inner.create(self.client, &self.service.name, &launch).await
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
    async fn replace(&self, old: &ServiceContainer, recipe: &Recipe) -> Result<(), EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        let failed = |fault: Fault| fault.service(service);
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
        client.remove(old.id()).await.map_err(failed)
    }

    pub(super) fn failed(&self, fault: Fault) -> EngineError {
        fault.service(&self.service.name)
    }
}

/// Planned change of one service, with the recipe of its next container.
pub(super) struct PlannedChange<'a> {
    pub(super) transition: &'a Transition<'a>,
    pub(super) recipe: Recipe,
}

#[async_trait]
impl Execute for PlannedChange<'_> {
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError> {
        let (change, recipe) = (self.transition, &self.recipe);
        match (operation, change.found) {
            // A restarted app is a new instance, as in every engine.
            (Operation::Start | Operation::Create | Operation::Replace, _) if change.is_app() => {
                return Box::pin(change.deploy(recipe)).await;
            }
            (Operation::Start, Some(found)) => change.start_and_wait(found.id()).await?,
            (Operation::Start | Operation::Create, _) | (Operation::Replace, None) => {
                let container = change.recreate(recipe).await?;
                change.start_and_wait(&container).await?;
            }
            (Operation::Replace, Some(found)) => Box::pin(change.replace(found, recipe)).await?,
            (Operation::Configure, _) => drop(change.recreate(recipe).await?),
            (Operation::Stop { abrupt }, Some(found)) => return change.stop(found, abrupt).await,
            (Operation::Unpause, Some(found)) => {
                change.client.unpause(found.id()).await.map_err(|fault| change.failed(fault))?;
            }
            (Operation::Pause, _) => change.pause().await?,
            (Operation::Settle, _) => change.after_start().await?,
            // There is no container to stop or resume, and the exit code of one belongs to the daemon.
            (Operation::Stop { .. } | Operation::Unpause, None) | (Operation::Acknowledge, _) => {}
        }
        Ok(None)
    }
}
