//! The app's ways in and out. A redeploy loses no request: the new instance is well before it is led to, the old one ends
//! when it has answered everything, and its counters are read in between.

use std::time::Duration;

use super::change::Task;
use super::client::{Fault, FaultKind};
use super::launch::Recipe;
use super::ready::{LastWords, patience_with_new};
use super::route::{ABRUPT_TIMEOUT, DRAINED_TIMEOUT, Ready};
use super::survey::Found;
use lab_core::engine::{EngineError, Retired, RunState};

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
        let (next, ready) = tokio::join!(self.launch(recipe), self.ready());
        let next = next?;
        let is_alone = match self.switch(&next, ready).await {
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

    /// Ends and removes the instance that was led to before; `is_alone`: nothing leads to it any more.
    async fn retire(&self, old: &Found, is_alone: bool) -> Result<Option<Retired>, EngineError> {
        let mut retired = None;
        if old.state() != RunState::Stopped {
            let last = self.last_words(old).await;
            // One that has nothing in hand, and gets nothing more, has nothing to finish: to remove it ends it, in half of
            // the time.
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

    /// Starts an instance beside the one that serves, and waits until it is well; one that is not is removed.
    async fn launch(&self, recipe: &Recipe) -> Result<Next, EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        for attempt in 1.. {
            let (mut launch, instance) = self.launch_of(recipe);
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
        let patience = patience_with_new(self.service);
        self.inner.until_healthy(self.client, self.service, id, address.as_deref(), patience).await?;
        if let Some(address) = address {
            self.inner.warm(&address).await;
        }
        Ok(())
    }

    /// Leads the gateway to the new instance; where that fails, back to the old one. Whether it leads there alone.
    async fn switch(&self, next: &Next, ready: Ready) -> Result<bool, EngineError> {
        let (names, client) = (&self.inner.names, self.client);
        let service = &self.service.name;
        let name = names.container(service);
        let strict = ready.strict;
        if let Some(old) = self.found {
            let aside = names.passing(service, "old", old.instance());
            client.rename(old.id(), &aside).await.map_err(|fault| self.failed(fault))?;
        }
        let led = match client.rename(&next.id, &name).await {
            Ok(()) => self.tell(ready, Some(&next.instance), DRAINED_TIMEOUT).await,
            Err(fault) => Err(self.failed(fault)),
        };
        let error = match led {
            Ok(is_alone) => return Ok(is_alone),
            Err(error) => error,
        };
        let _ = client.rename(&next.id, &names.passing(service, "next", &next.instance)).await;
        if let Some(old) = self.found {
            let _ = client.rename(old.id(), &name).await;
        }
        let mut ready = self.ready().await;
        ready.strict = strict;
        let _ = self.tell(ready, self.found.map(Found::instance), ABRUPT_TIMEOUT).await;
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
            let patience = if abrupt { ABRUPT_TIMEOUT } else { DRAINED_TIMEOUT };
            self.tell(self.ready().await, None, patience).await?;
            if abrupt {
                client.kill(found.id()).await.map_err(|fault| self.failed(fault))?;
                return Ok(None);
            }
            let exposition = self.last_words(found).await.map(|last| last.exposition);
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

    /// The gateway, where it can be told anything.
    fn gateway(&self) -> Option<&Found> {
        let gateway = self.survey.get(&self.inner.stack.lab.gateway.service);
        gateway.filter(|gateway| gateway.state() == RunState::Running)
    }

    /// Gets ready to tell the gateway, while it still leads to the instance that serves.
    async fn ready(&self) -> Ready {
        let Some(gateway) = self.gateway() else { return Ready::default() };
        let serves = self.found.filter(|found| found.state() == RunState::Running).map(Found::instance);
        let unchanged = gateway.overrides().is_empty();
        self.inner.get_ready(self.client, &gateway.container, unchanged, serves).await
    }

    /// Tells the gateway where the app is now. Whether it leads there alone; where there is no gateway, nobody leads.
    async fn tell(&self, ready: Ready, instance: Option<&str>, patience: Duration) -> Result<bool, EngineError> {
        let Some(gateway) = self.gateway() else { return Ok(true) };
        self.inner.reroute(self.client, &gateway.container, ready, instance, patience).await
    }

    async fn last_words(&self, found: &Found) -> Option<LastWords> {
        let address = found.address(self.client, self.inner.stack.lab.app.port)?;
        self.inner.last_exposition(&address).await
    }

    fn failed(&self, fault: Fault) -> EngineError {
        fault.service(&self.service.name)
    }
}
