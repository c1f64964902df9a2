//! Deploys and withdraws instances of the app. A deployment loses no request: the gateway is routed to the new instance once that
//! is healthy, and the old one stops after it has answered everything. Its counters are read in between.

use std::time::Duration;

use super::client::FaultKind;
use super::launch::Recipe;
use super::observed_state::ServiceContainer;
use super::probe::{FinalMetrics, new_instance_timeout};
use super::route::{ABRUPT_TIMEOUT, DRAIN_TIMEOUT, PreparedRoute};
use super::transition::Transition;
use lab_core::engine::{EngineError, Retired, RunState};

/// Attempts to start a container whose port was taken meanwhile.
const PORT_ATTEMPTS: usize = 3;

/// A healthy instance without traffic.
struct Next {
    id: String,
    instance: String,
}

impl Transition<'_> {
    /// Replaces the current instance, which may be stopped. On an error, the previous state is restored.
    pub(super) async fn deploy(&self, recipe: &Recipe) -> Result<Option<Retired>, EngineError> {
        let (next, route) = tokio::join!(self.launch(recipe), self.prepare_route());
        let next = next?;
        let is_alone = match Box::pin(self.switch(&next, route)).await {
            Ok(is_alone) => is_alone,
            Err(error) => {
                let _ = self.client.remove(&next.id).await;
                return Err(error);
            }
        };
        match self.found {
            Some(old) => self.retire(old, is_alone).await,
            None => Ok(None),
        }
    }

    /// Stops and removes the previous instance. `is_alone`: no worker of the gateway routes to it any more.
    async fn retire(&self, old: &ServiceContainer, is_alone: bool) -> Result<Option<Retired>, EngineError> {
        let mut retired = None;
        if old.state() != RunState::Stopped {
            let last = self.final_metrics(old).await;
            // An idle instance without traffic has nothing to finish. Removing it stops it as well, in half of the time.
            let is_done = is_alone && last.as_ref().is_some_and(|last| last.idle);
            if !is_done {
                self.client.stop(old.id(), self.grace()).await.map_err(|fault| self.failed(fault))?;
            }
            let exposition = last.map(|last| last.exposition);
            retired = Some(Retired { instance: old.instance().to_owned(), exposition });
            if is_done {
                self.client.discard(old.id()).await.map_err(|fault| self.failed(fault))?;
                return Ok(retired);
            }
        }
        self.client.remove(old.id()).await.map_err(|fault| self.failed(fault))?;
        Ok(retired)
    }

    /// Starts an instance beside the active one and waits until it is healthy. Removes it if it is not.
    async fn launch(&self, recipe: &Recipe) -> Result<Next, EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        for attempt in 1.. {
            let (mut launch, instance) = self.new_launch(recipe);
            launch.name = inner.names.temporary_container(service, "next", &instance);
            let id = client.create(&launch).await.map_err(|fault| self.failed(fault))?;
            let error = match client.start(&id).await {
                Ok(()) => match self.wait(&id).await {
                    Ok(()) => return Ok(Next { id, instance }),
                    Err(error) => error,
                },
                Err(fault) if fault.is(FaultKind::Port) && attempt < PORT_ATTEMPTS => {
                    client.remove(&id).await.map_err(|fault| self.failed(fault))?;
                    continue;
                }
                Err(fault) => self.failed(fault),
            };
            let _ = client.remove(&id).await;
            return Err(error);
        }
        unreachable!("the loop ends by returning")
    }

    async fn wait(&self, id: &str) -> Result<(), EngineError> {
        let address = self.inner.address_of(self.client, self.service, id).await?;
        let limit = new_instance_timeout(self.service);
        self.inner.wait_until_healthy(self.client, self.service, id, address.as_deref(), limit).await?;
        if let Some(address) = address {
            self.inner.warm(&address).await;
        }
        Ok(())
    }

    /// Routes the gateway to the new instance, or back to the old one on an error. Returns true if no worker still routes
    /// elsewhere.
    async fn switch(&self, next: &Next, route: PreparedRoute) -> Result<bool, EngineError> {
        let (names, client) = (&self.inner.names, self.client);
        let service = &self.service.name;
        let name = names.container(service);
        let strict = route.strict;
        if let Some(old) = self.found {
            let temporary = names.temporary_container(service, "old", old.instance());
            client.rename(old.id(), &temporary).await.map_err(|fault| self.failed(fault))?;
        }
        let routed = match client.rename(&next.id, &name).await {
            Ok(()) => self.reroute(route, Some(&next.instance), DRAIN_TIMEOUT).await,
            Err(fault) => Err(self.failed(fault)),
        };
        let error = match routed {
            Ok(is_alone) => return Ok(is_alone),
            Err(error) => error,
        };
        let _ = client.rename(&next.id, &names.temporary_container(service, "next", &next.instance)).await;
        if let Some(old) = self.found {
            let _ = client.rename(old.id(), &name).await;
        }
        let mut route = self.prepare_route().await;
        route.strict = strict;
        let _ = self.reroute(route, self.found.map(ServiceContainer::instance), ABRUPT_TIMEOUT).await;
        Err(error)
    }

    /// Stops the active instance, after the gateway refuses new requests.
    pub(super) async fn withdraw(&self, found: &ServiceContainer, abrupt: bool) -> Result<Retired, EngineError> {
        let (names, client) = (&self.inner.names, self.client);
        let service = &self.service.name;
        let name = names.container(service);
        let temporary = names.temporary_container(service, "stopping", found.instance());
        client.rename(found.id(), &temporary).await.map_err(|fault| self.failed(fault))?;
        let ended = async {
            let limit = if abrupt { ABRUPT_TIMEOUT } else { DRAIN_TIMEOUT };
            self.reroute(self.prepare_route().await, None, limit).await?;
            if abrupt {
                client.kill(found.id()).await.map_err(|fault| self.failed(fault))?;
                return Ok(None);
            }
            let exposition = self.final_metrics(found).await.map(|last| last.exposition);
            client.stop(found.id(), self.grace()).await.map_err(|fault| self.failed(fault))?;
            Ok(exposition)
        };
        let ended = ended.await;
        client.rename(found.id(), &name).await.map_err(|fault| self.failed(fault))?;
        match ended {
            Ok(exposition) => Ok(Retired { instance: found.instance().to_owned(), exposition }),
            Err(error) => {
                let _ = self.inner.route_to_active_app(client).await;
                Err(error)
            }
        }
    }

    /// The gateway, if it is running.
    fn gateway(&self) -> Option<&ServiceContainer> {
        let gateway = self.observed.get(&self.inner.stack.lab.gateway.service);
        gateway.filter(|gateway| gateway.state() == RunState::Running)
    }

    /// Prepares a change of the gateway's route, while it still routes to the active instance.
    async fn prepare_route(&self) -> PreparedRoute {
        let Some(gateway) = self.gateway() else { return PreparedRoute::default() };
        let serves = self.found.filter(|found| found.state() == RunState::Running).map(ServiceContainer::instance);
        let unchanged = gateway.overrides().is_empty();
        self.inner.prepare_route(self.client, &gateway.container, unchanged, serves).await
    }

    /// Routes the gateway to the given instance. Returns true if no worker routes elsewhere, or if no gateway runs.
    async fn reroute(
        &self,
        route: PreparedRoute,
        instance: Option<&str>,
        limit: Duration,
    ) -> Result<bool, EngineError> {
        let Some(gateway) = self.gateway() else { return Ok(true) };
        self.inner.reroute(self.client, &gateway.container, route, instance, limit).await
    }

    async fn final_metrics(&self, found: &ServiceContainer) -> Option<FinalMetrics> {
        let address = found.address(self.client, self.inner.stack.lab.app.port)?;
        self.inner.final_metrics(&address).await
    }
}
