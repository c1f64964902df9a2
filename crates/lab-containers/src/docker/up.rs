//! Bringing a lab up: what of it is there, what has to be done to each service, and then all of that at once (see `bring`).

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::Inner;
use super::app_image::identity;
use super::bring::Up;
use super::client::{Client, Named};
use super::describe::Fresh;
use super::images::{self, Images};
use super::launch::Recipe;
use super::naming::definition;
use super::survey::{Found, Overrides, Survey};
use lab_core::engine::{Description, EngineError, EngineErrorKind, ProgressFn, RunState, UpRequest};
use lab_stack::Service;

/// What has to be done to a service.
pub(super) enum Task<'a> {
    /// It runs, as it should.
    Keep(&'a Found),
    /// It is stopped.
    Start(&'a Found),
    /// It is frozen.
    Thaw(&'a Found),
    /// It is not there, or it was made from something else: then `old` goes first.
    Make { recipe: Recipe, old: Option<&'a Found> },
}

impl Task<'_> {
    fn starts(&self) -> bool {
        matches!(self, Task::Start(_) | Task::Make { .. })
    }

    /// Whether what is started now had ended by itself.
    pub(super) fn had_ended(&self) -> bool {
        match self {
            Task::Start(found) | Task::Make { old: Some(found), .. } => found.ended_by_itself(),
            Task::Make { old: None, .. } | Task::Keep(_) | Task::Thaw(_) => false,
        }
    }
}

/// The services that have to be healthy before others start.
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
        let (survey, images) = tokio::select! {
            both = async { tokio::try_join!(self.clear(client), images::prepare(self, client, progress)) } => both?,
            () = stop.cancelled() => return Err(interrupted()),
        };
        let wanted = self.stack.services.iter().filter(|service| images.found.contains_key(&service.name));
        let tasks: Vec<(&Service, Task<'_>)> =
            wanted.map(|service| (service, self.task(service, &survey, &images, request))).collect();
        let up = Up::new(self, client, progress, &images, &survey, &tasks, stop.child_token());
        Box::pin(up.run(&tasks)).await?;
        let mut now = self.describe_fresh(client, &Fresh { well: &up.well, missing: &images.missing }).await?;
        if survey.network.is_none() && !survey.serving.is_empty() {
            now.notices
                .push("its network was removed, and not by lab; it was made again, and every container".to_owned());
        }
        Ok(now)
    }

    /// What of the lab is there, once what changes left that were cut short is gone.
    async fn clear(&self, client: &Client) -> Result<Survey, EngineError> {
        let label = self.names.filter();
        let networks = async { Ok(client.networks(Some(&label)).await?) };
        let (mut survey, networks) = tokio::try_join!(Survey::of(client, &self.names), networks)?;
        survey = survey.whole()?;
        survey.stranger = survey.stranger.or_else(|| networks.iter().find_map(|n| self.names.stranger(&n.labels)));
        survey.check(self.names.lab())?;
        let is_ours = |network: &&Named| self.names.owns(&network.labels) && self.names.is_network(&network.name);
        let ours: Vec<&Named> = networks.iter().filter(is_ours).collect();
        // Of several, the one with containers on it.
        let is_used = |network: &&&Named| {
            let is_on = |found: &Found| [&network.id, &network.name].contains(&&found.network(&self.names));
            survey.serving.values().any(is_on)
        };
        let network = ours.iter().find(is_used).or_else(|| ours.first()).map(|network| network.id.clone());
        Ok(Survey { network, ..self.tidy(client, survey, false).await? })
    }

    fn task<'a>(&self, service: &Service, survey: &'a Survey, images: &Images, request: &UpRequest) -> Task<'a> {
        let image = images.found.get(&service.name).cloned().unwrap_or_default();
        let Some(found) = survey.get(&service.name) else {
            let asked = request.env.get(&service.name).cloned().unwrap_or_default();
            let overrides = asked.into_iter().map(|(name, value)| (name, Some(value))).collect::<Overrides>();
            return Task::Make {
                recipe: Recipe { image, overrides, ports: self.wanted_ports(service, request) },
                old: None,
            };
        };
        // On another network than the one that is made now, it would find nobody. A container of an older version has the name.
        let network = found.network(&self.names);
        let is_connected = survey.network.as_ref().is_some_and(|id| *id == network || self.names.network() == network);
        if !is_connected || found.definition() != definition(service, identity(&image)) {
            let mut recipe = Recipe { image, ..Recipe::like(found) };
            // The file may have other ports by now; a free one stays what it was.
            recipe.ports.extend(self.wanted_ports(service, request));
            return Task::Make { recipe, old: Some(found) };
        }
        match found.state() {
            RunState::Running => Task::Keep(found),
            RunState::Paused => Task::Thaw(found),
            // Its instance is another one then, as everywhere.
            RunState::Stopped if service.name == self.stack.lab.app.service => {
                Task::Make { recipe: Recipe { image, ..Recipe::like(found) }, old: Some(found) }
            }
            RunState::Stopped => Task::Start(found),
        }
    }

    /// The ports of the host that a service is to have. The lab `default` has those of the stack's file, others free ones.
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

    /// The services for which a new instance of the app speaks. Not what another service of the path needs healthy: the
    /// app may wait for that one, and would never come to speak.
    pub(super) fn awaited(&self, tasks: &[(&Service, Task<'_>)], path: &BTreeSet<String>) -> BTreeSet<String> {
        let app = &self.stack.lab.app;
        // An instance that runs already would speak for what was there before.
        let is_new =
            |(service, task): &(&Service, Task<'_>)| service.name == app.service && matches!(task, Task::Make { .. });
        if !tasks.iter().any(is_new) {
            return BTreeSet::new();
        }
        let others = tasks.iter().map(|(service, _)| *service).filter(|service| service.name != app.service);
        let others = others.filter(|service| path.contains(&service.name));
        let needed: BTreeSet<&str> = others.flat_map(Service::needs_healthy).collect();
        app.awaits.iter().filter(|name| !needed.contains(name.as_str())).cloned().collect()
    }

    /// The services that a request passes through, and all that those need.
    pub(super) fn request_path(&self) -> BTreeSet<String> {
        let lab = &self.stack.lab;
        let mut open: Vec<&str> = vec![&lab.gateway.service, &lab.app.service];
        open.extend(lab.database.as_deref());
        let mut path = BTreeSet::new();
        while let Some(name) = open.pop() {
            if path.insert(name.to_owned())
                && let Some(service) = self.service(name)
            {
                open.extend(service.depends_on.keys().map(String::as_str));
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
    use super::super::naming::SERVICE_LABEL;
    use super::super::{Docker, DockerOptions};
    use super::*;
    use lab_stack::Stack;

    fn found(service: &str, exit_code: i64, out_of_memory: bool) -> Found {
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
        Found { service: service.to_owned(), container }
    }

    #[test]
    fn a_container_is_made_anew_with_the_ports_that_its_file_has_now() {
        let mut stack = Stack::embedded(&BTreeMap::new()).unwrap();
        let prometheus = stack.services.iter_mut().find(|service| service.name == "prometheus").unwrap();
        prometheus.ports[0].published = Some(9999);
        let service = prometheus.clone();
        let survey = Survey {
            serving: BTreeMap::from([("prometheus".to_owned(), found("prometheus", 0, false))]),
            network: Some("lab-room-2_default".to_owned()),
            ..Survey::default()
        };
        let request = UpRequest { gateway_port: 8080, ..UpRequest::default() };
        for (lab, port) in [("default", 9999), ("room-2", 9090)] {
            let docker = Docker::new(lab, stack.clone(), DockerOptions::default());
            let Task::Make { recipe, old: Some(_) } =
                docker.inner.task(&service, &survey, &Images::default(), &request)
            else {
                panic!("it is made anew")
            };
            assert_eq!(recipe.ports, BTreeMap::from([(9090, port), (9091, 40_001)]), "{lab}");
        }
    }

    #[test]
    fn what_failed_ended_by_itself_and_what_was_ended_did_not() {
        for (exit_code, out_of_memory, by_itself) in [
            (0, false, false),
            (143, false, false),
            (137, false, false),
            (137, true, true),
            (143, true, false),
            (2, false, true),
        ] {
            assert_eq!(
                found("db", exit_code, out_of_memory).ended_by_itself(),
                by_itself,
                "{exit_code} {out_of_memory}"
            );
        }
    }
}
