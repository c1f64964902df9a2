//! The app's ways in and out. A redeploy loses no request: the new instance is well before it is led to, the old one ends
//! when it has answered everything, and its counters are read in between.

use super::change::Task;
use super::client::{Fault, FaultKind};
use super::launch::Recipe;
use super::survey::Found;
use crate::engine::{EngineError, Retired, RunState};

/// How often a container is made again because somebody took its port in the meantime.
const PORT_ATTEMPTS: usize = 3;

/// An instance that is well and not led to yet.
struct Next {
    id: String,
    instance: String,
}

impl Task<'_> {
    /// Puts another instance in the place of the one that is there, which may be stopped. On an error all is as before.
    pub(super) async fn deploy(&self, recipe: &Recipe) -> Result<Option<Retired>, EngineError> {
        let next = self.launch(recipe).await?;
        if let Err(error) = self.switch(&next).await {
            let _ = self.client.remove(&next.id).await;
            return Err(error);
        }
        let Some(old) = self.found else { return Ok(None) };
        let mut retired = None;
        if old.state() != RunState::Stopped {
            let exposition = self.exposition(old).await;
            self.client.stop(old.id(), self.grace()).await.map_err(|fault| self.failed(fault))?;
            retired = Some(Retired { instance: old.instance().to_owned(), exposition });
        }
        self.client.remove(old.id()).await.map_err(|fault| self.failed(fault))?;
        Ok(retired)
    }

    /// Starts an instance beside the one that serves, and waits until it is well; one that is not is removed.
    async fn launch(&self, recipe: &Recipe) -> Result<Next, EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        for attempt in 1.. {
            let (mut launch, instance) = inner.launch(client, self.service, recipe);
            launch.name = inner.names.passing(service, "next", &instance);
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
        self.inner.until_healthy(self.client, self.service, id, address.as_deref()).await?;
        if let Some(address) = address {
            self.inner.warm(&address).await;
        }
        Ok(())
    }

    /// Leads the gateway to the new instance; where that fails, back to the old one.
    async fn switch(&self, next: &Next) -> Result<(), EngineError> {
        let (names, client) = (&self.inner.names, self.client);
        let service = &self.service.name;
        let name = names.container(service);
        if let Some(old) = self.found {
            let aside = names.passing(service, "old", old.instance());
            client.rename(old.id(), &aside).await.map_err(|fault| self.failed(fault))?;
        }
        let led = match client.rename(&next.id, &name).await {
            Ok(()) => self.tell(Some(&next.instance)).await,
            Err(fault) => Err(self.failed(fault)),
        };
        let Err(error) = led else { return Ok(()) };
        let _ = client.rename(&next.id, &names.passing(service, "next", &next.instance)).await;
        if let Some(old) = self.found {
            let _ = client.rename(old.id(), &name).await;
        }
        let _ = self.tell(self.found.map(Found::instance)).await;
        Err(error)
    }

    /// Ends the instance that serves. New requests are refused first.
    pub(super) async fn withdraw(&self, found: &Found, abrupt: bool) -> Result<Retired, EngineError> {
        let (names, client) = (&self.inner.names, self.client);
        let service = &self.service.name;
        let name = names.container(service);
        let aside = names.passing(service, "stopping", found.instance());
        client.rename(found.id(), &aside).await.map_err(|fault| self.failed(fault))?;
        let ended = async {
            self.tell(None).await?;
            if abrupt {
                client.kill(found.id()).await.map_err(|fault| self.failed(fault))?;
                return Ok(None);
            }
            let exposition = self.exposition(found).await;
            client.stop(found.id(), self.grace()).await.map_err(|fault| self.failed(fault))?;
            Ok(exposition)
        };
        let ended = ended.await;
        client.rename(found.id(), &name).await.map_err(|fault| self.failed(fault))?;
        match ended {
            Ok(exposition) => Ok(Retired { instance: found.instance().to_owned(), exposition }),
            Err(error) => {
                let _ = self.inner.lead(client).await;
                Err(error)
            }
        }
    }

    /// Tells the gateway where the app is now, where it can be told.
    async fn tell(&self, instance: Option<&str>) -> Result<(), EngineError> {
        let gateway = self.survey.get(&self.inner.stack.lab.gateway.service);
        let Some(gateway) = gateway.filter(|gateway| gateway.state() == RunState::Running) else { return Ok(()) };
        let strict = instance.is_some() && gateway.overrides().is_empty();
        self.inner.reroute(self.client, &gateway.container, instance, strict).await
    }

    async fn exposition(&self, found: &Found) -> Option<String> {
        let address = found.address(self.inner.stack.lab.app.port)?;
        self.inner.last_exposition(&address).await
    }

    fn failed(&self, fault: Fault) -> EngineError {
        fault.service(&self.service.name)
    }
}
