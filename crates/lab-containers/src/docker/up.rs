//! Brings a lab up: observes it, decides what to do with each service, and starts them concurrently (see `startup`).

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::Inner;
use super::app_image::identity;
use super::client::{Client, Named};
use super::describe::StartupResult;
use super::hash::definition;
use super::images::{self, Images};
use super::launch::Recipe;
use super::observed_state::{ObservedState, Overrides, ServiceContainer};
use super::startup::Startup;
use lab_core::engine::{
    Description, Desired, EngineError, EngineErrorKind, Operation, ProgressFn, RunState, UpRequest, plan,
};
use lab_stack::Service;

/// Work to do on one service.
pub(super) enum Task<'a> {
    /// It already is in the desired state.
    Keep(&'a ServiceContainer),
    /// It is stopped.
    Start(&'a ServiceContainer),
    /// It is paused.
    Unpause(&'a ServiceContainer),
    /// It does not exist, or its definition has changed, in which case `old` is removed first.
    Create { recipe: Recipe, old: Option<&'a ServiceContainer> },
}

impl Task<'_> {
    fn starts(&self) -> bool {
        matches!(self, Task::Start(_) | Task::Create { .. })
    }

    /// Returns true if a service that is started now had failed by itself.
    pub(super) fn had_failed(&self) -> bool {
        match self {
            Task::Start(found) | Task::Create { old: Some(found), .. } => found.has_failed(),
            Task::Create { old: None, .. } | Task::Keep(_) | Task::Unpause(_) => false,
        }
    }
}

/// Services that have to be healthy before others start.
pub(super) fn needed(tasks: &[(&Service, Task<'_>)]) -> impl Iterator<Item = String> {
    tasks.iter().filter(|(_, task)| task.starts()).flat_map(|(service, _)| service.needs_healthy().map(str::to_owned))
}

impl Inner {
    pub(super) async fn up(
        &self,
        request: &UpRequest,
        progress: &ProgressFn,
        stop: &CancellationToken,
    ) -> Result<Description, EngineError> {
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        let client = self.client().await?;
        let (observed, images) = tokio::select! {
            both = async { tokio::try_join!(self.observe_and_clean(client), images::prepare(self, client, progress)) } => both?,
            () = stop.cancelled() => return Err(interrupted()),
        };
        let available = self.stack.services.iter().filter(|service| images.found.contains_key(&service.name));
        let tasks: Vec<(&Service, Task<'_>)> =
            available.map(|service| (service, self.task(service, &observed, &images, request))).collect();
        let up = Startup::new(self, client, progress, &images, &observed, &tasks, stop.child_token());
        Box::pin(up.run(&tasks)).await?;
        let mut now =
            self.describe_started(client, &StartupResult { healthy: &up.required, missing: &images.missing }).await?;
        if observed.network.is_none() && !observed.active.is_empty() {
            now.notices.push(
                "its network was removed outside of lab; the network and every container were recreated".to_owned(),
            );
        }
        Ok(now)
    }

    /// Observes the lab and removes the leftovers of interrupted changes.
    async fn observe_and_clean(&self, client: &Client) -> Result<ObservedState, EngineError> {
        let label = self.names.filter();
        let networks = async { Ok(client.networks(Some(&label)).await?) };
        let (mut observed, networks) = tokio::try_join!(ObservedState::inspect(client, &self.names), networks)?;
        observed = observed.require_complete()?;
        observed.foreign_owner =
            observed.foreign_owner.or_else(|| networks.iter().find_map(|n| self.names.foreign_owner(&n.labels)));
        observed.check(self.names.lab())?;
        let is_ours = |network: &&Named| self.names.owns(&network.labels) && self.names.is_network(&network.name);
        let ours: Vec<&Named> = networks.iter().filter(is_ours).collect();
        // If there are several, use the one with containers on it.
        let is_used = |network: &&&Named| {
            let is_on = |found: &ServiceContainer| [&network.id, &network.name].contains(&&found.network(&self.names));
            observed.active.values().any(is_on)
        };
        let network = ours.iter().find(is_used).or_else(|| ours.first()).map(|network| network.id.clone());
        Ok(ObservedState { network, ..self.remove_leftovers(client, observed, false).await? })
    }

    fn task<'a>(
        &self,
        service: &Service,
        observed: &'a ObservedState,
        images: &Images,
        request: &UpRequest,
    ) -> Task<'a> {
        let image = images.found.get(&service.name).cloned().unwrap_or_default();
        let Some(found) = observed.get(&service.name) else {
            let asked = request.env.get(&service.name).cloned().unwrap_or_default();
            let overrides = asked.into_iter().map(|(name, value)| (name, Some(value))).collect::<Overrides>();
            return Task::Create {
                recipe: Recipe { image, overrides, ports: self.wanted_ports(service, request) },
                old: None,
            };
        };
        // On another network it could not resolve the other services. Containers of an older version have the name as their label.
        let network = found.network(&self.names);
        let is_connected =
            observed.network.as_ref().is_some_and(|id| *id == network || self.names.network() == network);
        let is_outdated = !is_connected || found.definition() != definition(service, identity(&image));
        // A restarted app is a new instance, as in every engine.
        let is_new_app = service.name == self.stack.lab.app.service && found.state() == RunState::Stopped;
        let desired = Desired { run: Some(RunState::Running), abrupt: false, new_env: is_outdated || is_new_app };
        let operations = plan(found.observed(), desired).operations;
        if operations.iter().any(|operation| matches!(operation, Operation::Create | Operation::Replace)) {
            let mut recipe = Recipe { image, ..Recipe::from_container(found) };
            if is_outdated {
                // The file may publish other ports by now; ports that were chosen freely are kept.
                recipe.ports.extend(self.wanted_ports(service, request));
            }
            return Task::Create { recipe, old: Some(found) };
        }
        match operations.first() {
            None => Task::Keep(found),
            Some(Operation::Unpause) => Task::Unpause(found),
            Some(_) => Task::Start(found),
        }
    }

    /// Host ports for a service. The lab `default` uses those of the stack file, other labs use free ones.
    fn wanted_ports(&self, service: &Service, request: &UpRequest) -> BTreeMap<u16, u16> {
        let gateway = &self.stack.lab.gateway;
        let fixed = self.names.lab() == crate::docker::DEFAULT_LAB && request.gateway_port != 0;
        let published = service.ports.iter().filter(|_| fixed).filter_map(|port| Some((port.target, port.published?)));
        let mut ports: BTreeMap<u16, u16> = published.collect();
        if service.name == gateway.service {
            ports.remove(&gateway.port);
            if request.gateway_port != 0 {
                ports.insert(gateway.port, request.gateway_port);
            }
        }
        ports
    }

    /// Services that a new instance of the app vouches for. Excludes those that another service on the path needs healthy: the app
    /// may wait for that service, which would be a deadlock.
    pub(super) fn awaited(&self, tasks: &[(&Service, Task<'_>)], path: &BTreeSet<String>) -> BTreeSet<String> {
        let app = &self.stack.lab.app;
        // An instance that runs already would vouch for the previous containers.
        let is_new =
            |(service, task): &(&Service, Task<'_>)| service.name == app.service && matches!(task, Task::Create { .. });
        if !tasks.iter().any(is_new) {
            return BTreeSet::new();
        }
        let others = tasks.iter().map(|(service, _)| *service).filter(|service| service.name != app.service);
        let others = others.filter(|service| path.contains(&service.name));
        let needed: BTreeSet<&str> = others.flat_map(Service::needs_healthy).collect();
        app.awaits.iter().filter(|name| !needed.contains(name.as_str())).cloned().collect()
    }

    /// Services on the request path and all of their dependencies.
    pub(super) fn request_path(&self) -> BTreeSet<String> {
        let lab = &self.stack.lab;
        let mut open: Vec<&str> = vec![&lab.gateway.service, &lab.app.service];
        open.extend(lab.database.as_deref());
        let mut path = BTreeSet::new();
        while let Some(name) = open.pop() {
            if path.insert(name.to_owned())
                && let Some(service) = self.service(name)
            {
                // Requests do not wait for the exporter that counts them.
                let is_edge = |name: &str| lab.edge.as_ref().is_some_and(|(edge, _)| edge == name);
                open.extend(service.depends_on.keys().map(String::as_str).filter(|name| !is_edge(name)));
            }
        }
        path
    }
}

pub(super) fn interrupted() -> EngineError {
    EngineError::new(EngineErrorKind::System, "it was interrupted")
}

#[cfg(test)]
mod tests {
    use super::super::client::{Health, Inspected, State};
    use super::super::names::SERVICE_LABEL;
    use super::super::{Docker, DockerOptions};
    use super::*;
    use lab_stack::Stack;

    fn found(service: &str, exit_code: i64, out_of_memory: bool) -> ServiceContainer {
        let container = Inspected {
            id: "1".to_owned(),
            name: service.to_owned(),
            labels: BTreeMap::from([(SERVICE_LABEL.to_owned(), service.to_owned())]),
            image: "image:1".to_owned(),
            image_id: "sha256:1".to_owned(),
            state: State::Exited,
            health: Health::Unchecked,
            exit_code,
            error: String::new(),
            out_of_memory,
            started: None,
            restarts: 0,
            ports: BTreeMap::from([(9090, 9090), (9091, 40_001)]),
            addresses: BTreeMap::new(),
        };
        ServiceContainer { service: service.to_owned(), container }
    }

    #[test]
    fn a_container_is_recreated_with_the_current_ports_of_its_file() {
        let mut stack = Stack::embedded(&BTreeMap::new()).unwrap();
        let prometheus = stack.services.iter_mut().find(|service| service.name == "prometheus").unwrap();
        prometheus.ports[0].published = Some(9999);
        let service = prometheus.clone();
        let observed = ObservedState {
            active: BTreeMap::from([("prometheus".to_owned(), found("prometheus", 0, false))]),
            network: Some("lab-room-2_default".to_owned()),
            ..ObservedState::default()
        };
        let request = UpRequest { gateway_port: 8080, ..UpRequest::default() };
        for (lab, port) in [("default", 9999), ("room-2", 9090)] {
            let docker = Docker::new(lab, stack.clone(), DockerOptions::default());
            let Task::Create { recipe, old: Some(_) } =
                docker.inner.task(&service, &observed, &Images::default(), &request)
            else {
                panic!("it is recreated")
            };
            assert_eq!(recipe.ports, BTreeMap::from([(9090, port), (9091, 40_001)]), "{lab}");
        }
    }

    #[test]
    fn only_failures_count_as_ended_by_itself() {
        for (exit_code, out_of_memory, by_itself) in [
            (0, false, false),
            (143, false, false),
            (137, false, false),
            (137, true, true),
            (143, true, false),
            (2, false, true),
        ] {
            assert_eq!(found("db", exit_code, out_of_memory).has_failed(), by_itself, "{exit_code} {out_of_memory}");
        }
    }
}
