//! Bringing one service to a wanted state. A container's environment cannot be changed: another environment is another
//! container. The app's takes over while the old one still serves (see `deploy`); others are replaced in their place.

use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Inspected, Launch, State};
use super::launch::Recipe;
use super::ready::healthy_timeout;
use super::survey::{Found, Overrides, Survey, foreign, merged};
use lab_core::engine::{EngineError, EngineErrorKind, Reconciliation, Retired, RunState, ServiceChange};
use lab_stack::Service;
use lab_system::deadline::Deadline;

/// How long a service may take to end by itself where the stack does not say.
const GRACE: Duration = Duration::from_secs(10);
/// How long the app may take to find its database again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Inner {
    pub(super) async fn reconcile(&self, name: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let unknown = || EngineError::new(EngineErrorKind::Unsupported, "there is no such service").for_service(name);
        let service = self.service(name).ok_or_else(unknown)?;
        let client = self.client().await?;
        let survey = Survey::of(client, &self.names).await?.whole()?;
        survey.check(self.names.lab())?;
        if survey.serving.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        if survey.get(name).is_none() && self.optional(name).is_some() {
            let detail = "it is not there: its image could not be had when the lab came up";
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(name));
        }
        let survey = self.tidy(client, survey, true).await?;
        let task = Task { inner: self, client, survey: &survey, service, found: survey.get(name) };
        task.run(change).await
    }

    /// The overrides that bring an environment to where a change wants it.
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

    /// Waits until the app is well again after its database has changed. That it is not is no error of this change.
    async fn settle(&self, client: &Client, survey: &Survey) {
        let lab = &self.stack.lab;
        let app = survey.get(&lab.app.service).filter(|app| app.state() == RunState::Running);
        let (Some(app), Some(service)) = (app, self.service(&lab.app.service)) else { return };
        let address = app.address(client, lab.app.port);
        let deadline = Deadline::after(SETTLE_TIMEOUT);
        while !deadline.is_over() && self.probe(client, service, app.id(), address.as_deref()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The container that has a service's name, if it belongs to the lab.
    pub(super) async fn current(&self, client: &Client, service: &str) -> Result<Option<Inspected>, Fault> {
        let found = client.inspect(&self.names.container(service)).await?;
        Ok(found.filter(|container| self.names.owns(&container.labels)))
    }

    /// Makes a container. Its name may be taken by one that does not belong to the lab.
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
            Some(other) if !self.names.owns(&other.labels) => Err(match self.names.stranger(&other.labels) {
                Some(place) => foreign(self.names.lab(), &place),
                None => {
                    let detail = format!("container {name} exists already and does not belong to this lab");
                    let hint = format!("lab up --name ANOTHER; or, if nothing needs it, docker rm -f {name}");
                    EngineError::new(EngineErrorKind::Foreign, detail).for_service(service).hint(hint)
                }
            }),
            _ => Err(fault.service(service)),
        }
    }

    /// The gateway leads to the app that serves, where both run.
    pub(super) async fn lead(&self, client: &Client) -> Result<(), EngineError> {
        let lab = &self.stack.lab;
        let (gateway, app) =
            tokio::try_join!(self.current(client, &lab.gateway.service), self.current(client, &lab.app.service))?;
        let runs = |container: &Inspected| container.state == State::Running;
        let (Some(gateway), Some(app)) = (gateway.filter(runs), app.filter(runs)) else { return Ok(()) };
        let app = Found { service: lab.app.service.clone(), container: app };
        let Some(address) = self.gateway_address(client, &gateway) else { return Ok(()) };
        if self.leads_to(&address, Some(app.instance())).await.is_ok() {
            return Ok(());
        }
        let gateway = Found { service: lab.gateway.service.clone(), container: gateway };
        let strict = gateway.overrides().is_empty();
        self.look_anew(client, &gateway.container, Some(app.instance()), strict, None).await.map(drop)
    }
}

/// One service on its way to a state.
pub(super) struct Task<'a> {
    pub(super) inner: &'a Inner,
    pub(super) client: &'a Client,
    pub(super) survey: &'a Survey,
    pub(super) service: &'a Service,
    pub(super) found: Option<&'a Found>,
}

impl Task<'_> {
    async fn run(&self, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let before = self.found.map(Found::overrides).unwrap_or_default();
        let overrides = Inner::changed(self.service, &before, change);
        let stack = &self.service.environment;
        let other_env = merged(stack, &overrides) != merged(stack, &before);
        let now = self.found.map_or(RunState::Stopped, Found::state);
        let target = change.run.unwrap_or(now);
        if !other_env && target == now {
            return Ok(Reconciliation::default());
        }
        let recipe = self.recipe(overrides).await?;
        let mut retired = Vec::new();
        match (now, target) {
            (_, RunState::Stopped) => {
                if let Some(found) = self.found.filter(|_| now != RunState::Stopped) {
                    self.wake(found, change.abrupt).await?;
                    retired.extend(self.stop(found, change.abrupt).await?);
                }
                if other_env {
                    self.remake(&recipe).await?;
                }
            }
            (RunState::Stopped, _) if self.is_app() => retired.extend(Box::pin(self.deploy(&recipe)).await?),
            (RunState::Stopped, _) => self.start(&recipe, other_env).await?,
            (_, _) if other_env => {
                if let Some(found) = self.found {
                    self.wake(found, false).await?;
                }
                let replaced = if self.is_app() {
                    Box::pin(self.deploy(&recipe)).await
                } else {
                    self.replace(&recipe).await.map(|()| None)
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
            // Another one than before, if it was made again.
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

    /// What another container of the service is made from: as the one that is there but for its environment; where none
    /// is there any more, from the stack's image.
    async fn recipe(&self, overrides: Overrides) -> Result<Recipe, EngineError> {
        if let Some(found) = self.found {
            return Ok(Recipe { overrides, ..Recipe::like(found) });
        }
        let silent: lab_core::engine::ProgressFn = std::sync::Arc::new(|_| {});
        let images = super::images::prepare(self.inner, self.client, &silent).await?;
        let image = images.found.get(&self.service.name).cloned().unwrap_or_default();
        self.inner.upload(self.client, &[self.service], &image.0, || {}).await?;
        Ok(Recipe { image, overrides, ports: std::collections::BTreeMap::new() })
    }

    /// A frozen process can neither finish its requests nor end by itself.
    async fn wake(&self, found: &Found, abrupt: bool) -> Result<(), EngineError> {
        if !abrupt && found.state() == RunState::Paused {
            self.client.unpause(found.id()).await.map_err(|fault| fault.service(&self.service.name))?;
        }
        Ok(())
    }

    async fn unpause(&self) -> Result<(), EngineError> {
        if let Some(found) = self.found {
            self.wake(found, false).await?;
        }
        self.after().await
    }

    /// What has to happen when a service runs again.
    pub(super) async fn after(&self) -> Result<(), EngineError> {
        if self.is_gateway() {
            // The app may have moved while nobody could tell the gateway.
            self.inner.lead(self.client).await?;
        }
        if self.is_database() {
            self.inner.settle(self.client, self.survey).await;
        }
        Ok(())
    }

    async fn stop(&self, found: &Found, abrupt: bool) -> Result<Option<Retired>, EngineError> {
        if self.is_app() {
            return self.withdraw(found, abrupt).await.map(Some);
        }
        let ended =
            if abrupt { self.client.kill(found.id()).await } else { self.client.stop(found.id(), self.grace()).await };
        ended.map_err(|fault| fault.service(&self.service.name))?;
        Ok(None)
    }

    /// A stopped container with another environment in the place of the one that is stopped.
    async fn remake(&self, recipe: &Recipe) -> Result<String, EngineError> {
        if let Some(found) = self.found {
            self.client.remove(found.id()).await.map_err(|fault| fault.service(&self.service.name))?;
        }
        let (launch, _) = self.launch_of(recipe);
        self.inner.create(self.client, &self.service.name, &launch).await
    }

    async fn start(&self, recipe: &Recipe, other_env: bool) -> Result<(), EngineError> {
        let container = match self.found {
            Some(found) if !other_env => found.id().to_owned(),
            _ => self.remake(recipe).await?,
        };
        self.begin(&container).await?;
        self.after().await
    }

    /// A container of the service on the lab's network, and its instance.
    pub(super) fn launch_of(&self, recipe: &Recipe) -> (Launch, String) {
        let network = self.survey.network_in_use(&self.inner.names);
        self.inner.launch(self.client, self.service, recipe, &network)
    }

    /// Starts a container, and waits until it is well.
    pub(super) async fn begin(&self, container: &str) -> Result<(), EngineError> {
        let (inner, client, service) = (self.inner, self.client, self.service);
        match client.start(container).await {
            Ok(()) => {}
            Err(fault) if fault.is(FaultKind::Port) => {
                return Err(inner.port_taken(client, service, container, fault).await);
            }
            Err(fault) => return Err(fault.service(&service.name)),
        }
        let address = inner.address_of(client, service, container).await?;
        inner.until_healthy(client, service, container, address.as_deref(), healthy_timeout(service)).await
    }

    /// Another container in the place of one that runs. They share a port or a volume, so the old one has to end first; it
    /// comes back where the new one is not well. Nobody has the service's name until one of them is: who is cut short in
    /// between leaves the old one to be taken back (see `tidy`).
    async fn replace(&self, recipe: &Recipe) -> Result<(), EngineError> {
        let (inner, client) = (self.inner, self.client);
        let service = &self.service.name;
        let failed = |fault: Fault| fault.service(service);
        let Some(old) = self.found else { return self.start(recipe, true).await };
        let (mut launch, instance) = self.launch_of(recipe);
        launch.name = inner.names.passing(service, "next", &instance);
        let new = client.create(&launch).await.map_err(failed)?;
        let swapped = async {
            client.rename(old.id(), &inner.names.passing(service, "old", old.instance())).await.map_err(failed)?;
            client.stop(old.id(), self.grace()).await.map_err(failed)?;
            self.begin(&new).await?;
            client.rename(&new, &inner.names.container(service)).await.map_err(failed)
        };
        if let Err(error) = swapped.await {
            let _ = client.remove(&new).await;
            let back = self.begin(old.id()).await;
            let _ = client.rename(old.id(), &inner.names.container(service)).await;
            let _ = self.after().await;
            return match back {
                Ok(()) => Err(error),
                Err(other) => Err(error.hint(format!("it did not come back either ({other}): lab up"))),
            };
        }
        client.remove(old.id()).await.map_err(failed)?;
        self.after().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_stacks_own_is_no_override() {
        let service = Service { environment: [("A".to_owned(), "1".to_owned())].into(), ..Service::default() };
        let changed = Inner::changed(&service, &Overrides::new(), &ServiceChange::env("A", "2"));
        assert_eq!(changed, Overrides::from([("A".to_owned(), Some("2".to_owned()))]));
        let back = Inner::changed(&service, &changed, &ServiceChange::env("A", "1"));
        assert!(back.is_empty());
        let gone = ServiceChange { env: [("A".to_owned(), None)].into(), ..ServiceChange::default() };
        assert_eq!(Inner::changed(&service, &back, &gone), Overrides::from([("A".to_owned(), None)]));
    }
}
