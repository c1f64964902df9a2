//! Bringing a lab up: what of it is there, what has to be done to each service, and then all of that at once (see `bring`).

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::Inner;
use super::app_image::identity;
use super::bring::Up;
use super::client::Client;
use super::describe::Fresh;
use super::images::{self, Images};
use super::launch::Recipe;
use super::naming::definition;
use super::survey::{Found, Overrides, Survey};
use crate::engine::{Description, EngineError, EngineErrorKind, ProgressFn, RunState, UpRequest};
use crate::stack::Service;

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
        up.run(&tasks).await?;
        let mut now = self.describe_fresh(client, &Fresh { well: &up.path, missing: &images.missing }).await?;
        if !survey.network && !survey.serving.is_empty() {
            now.notices
                .push("its network was removed, and not by lab; it was made again, and every container".to_owned());
        }
        Ok(now)
    }

    /// What of the lab is there, once what changes left that were cut short is gone.
    async fn clear(&self, client: &Client) -> Result<Survey, EngineError> {
        let label = self.names.filter();
        let networks = async { Ok(client.networks(&label).await?) };
        let (mut survey, networks) = tokio::try_join!(Survey::of(client, &self.names), networks)?;
        survey.network = networks.contains(&self.names.network());
        survey.check_version(self.names.lab())?;
        let network = survey.network;
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
        // On another network than the one that is made now, it would find nobody.
        if !survey.network || found.definition() != definition(service, identity(&image)) {
            return Task::Make { recipe: Recipe { image, ..Recipe::like(found) }, old: Some(found) };
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
        let fixed = self.names.lab() == crate::engine::docker::DEFAULT_LAB && request.gateway_port != 0;
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
