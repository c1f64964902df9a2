//! [`WithDashboard`]: a lab on containers with lab's own dashboard beside it, where no Grafana runs. It comes with `up`, goes with
//! `down`, and is told of by `describe`, as on the embedded engine.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::dashboard::{Dashboard, Order, PORT_VARIABLE};
use lab_containers::docker::Docker;
use lab_core::engine::{
    Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, ProgressFn, Reconciliation, Roles,
    ServiceChange, ServiceSpec, UpRequest, port,
};
use lab_runner::lab::DEFAULT_NAME;
use lab_system::background::{self, Starting};
use lab_system::files::Folder;

/// The port where neither that nor the stack's file has one.
const USUAL_PORT: u16 = 3000;

pub(super) struct WithDashboard {
    lab: String,
    folder: Folder,
    docker: Docker,
    dashboard: Dashboard,
    /// The port that was asked for; 0: a free one.
    asked: Option<u16>,
    /// One that ends when this engine goes, and its standard input.
    tied: Mutex<Option<Child>>,
}

/// Where it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// 0: on a free port.
    port: u16,
    /// Somebody asked for that port, and for no other.
    asked: bool,
}

impl WithDashboard {
    pub(super) fn new(lab: &str, folder: &Folder, docker: Docker, asked: Option<u16>) -> Self {
        let dashboard = Dashboard::of(folder);
        Self { lab: lab.to_owned(), folder: folder.clone(), docker, dashboard, asked, tied: Mutex::new(None) }
    }

    /// The port that was asked for; else the one that it had; else that of the stack's file, for the lab that has those.
    fn place(&self, request: &UpRequest) -> Place {
        if let Some(port) = self.asked {
            return Place { port, asked: port != 0 };
        }
        let fixed = self.lab == DEFAULT_NAME && request.gateway_port != 0;
        let usual = if fixed { self.docker.grafana_port().unwrap_or(USUAL_PORT) } else { 0 };
        Place { port: self.dashboard.last().map_or(usual, |last| last.port), asked: false }
    }

    /// Ends one that is in the way of Grafana, not where it was asked for, or another version's. True where one stays.
    async fn stays(&self, place: Place, grafana: bool) -> Result<bool, EngineError> {
        let Some(serving) = self.dashboard.serving() else { return Ok(false) };
        let elsewhere = place.asked && serving.port != place.port;
        if grafana || elsewhere || serving.version != env!("CARGO_PKG_VERSION") {
            self.end().await?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn end(&self) -> Result<(), EngineError> {
        self.dashboard.end().await.map_err(|error| {
            let error =
                EngineError::new(EngineErrorKind::System, error.to_string()).for_service("the dashboard's process");
            error.hint(background::who_holds(&self.dashboard.lock()))
        })?;
        if let Some(mut process) = self.tied().take() {
            let _ = process.wait();
        }
        Ok(())
    }

    fn tied(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.tied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it serve. A lab without one is a lab all the same: what is wrong with it is for people, and no error.
    async fn serve(&self, starting: Starting, place: Place, tied: bool) -> Option<String> {
        let folder = self.folder.root().to_owned();
        let order = Order { folder, port: place.port, or_another: !place.asked, tied };
        match self.dashboard.serve(starting, &order).await {
            Ok((process, port)) => {
                if tied {
                    *self.tied() = Some(process);
                }
                if place.port == 0 || place.port == port {
                    return None;
                }
                Some(format!("{}; the dashboard is on port {port} instead", self.holder(place.port).await))
            }
            Err(_) if place.asked && port::require_free(place.port).is_err() => {
                let holder = self.holder(place.port).await;
                let again = "no dashboard is served; once it is free, lab up serves one there";
                Some(format!("{holder}, and {PORT_VARIABLE} asks for it: {again}"))
            }
            Err(why) => Some(format!("the dashboard is not served: {why}")),
        }
    }

    fn with_dashboard(&self, mut now: Description) -> Description {
        now.endpoints.dashboard = self.dashboard.serving().map(|serving| serving.url());
        now
    }

    /// Who has a port, as a sentence.
    async fn holder(&self, taken: u16) -> String {
        match self.docker.holder_of(taken).await {
            Ok(Some(holder)) => format!("127.0.0.1:{taken} is held by {holder}"),
            _ => match port::require_free(taken) {
                Err(error) => error.detail,
                Ok(()) => format!("127.0.0.1:{taken} was in use"),
            },
        }
    }
}

#[async_trait]
impl Engine for WithDashboard {
    fn name(&self) -> &'static str {
        self.docker.name()
    }

    fn services(&self) -> Vec<ServiceSpec> {
        self.docker.services()
    }

    fn roles(&self) -> Roles {
        self.docker.roles()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let place = self.place(request);
        // Of a daemon that does not answer the engine tells in its own words.
        let grafana = self.docker.has_grafana().await.unwrap_or(true);
        let stays = self.stays(place, grafana).await?;
        // Beside the containers, which take longer; it is ended where they do not come.
        let starting = (!grafana && !stays).then(|| self.dashboard.prepare());
        let mut now = self.docker.up(request, progress).await?;
        let notice = match starting {
            Some(Ok(starting)) => self.serve(starting, place, request.tied).await,
            Some(Err(error)) => Some(format!("the dashboard is not served: {error}")),
            None => None,
        };
        now.notices.extend(notice);
        Ok(self.with_dashboard(now))
    }

    async fn down(&self) -> Result<(), EngineError> {
        let (down, ended) = tokio::join!(self.docker.down(), self.end());
        down.and(ended)
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        Ok(self.with_dashboard(self.docker.describe().await?))
    }

    async fn env(&self, service: &str) -> Result<BTreeMap<String, String>, EngineError> {
        self.docker.env(service).await
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.docker.reconcile(service, change).await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        self.docker.logs(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_containers::docker::DockerOptions;
    use lab_stack::Stack;

    fn place(lab: &str, gateway_port: u16, asked: Option<u16>, last: Option<&str>) -> (u16, bool) {
        let folder = tempfile::tempdir().unwrap();
        if let Some(last) = last {
            std::fs::write(folder.path().join(super::super::dashboard::FILE), last).unwrap();
        }
        let stack = Stack::embedded(&BTreeMap::new()).unwrap();
        let docker = Docker::new(lab, stack, DockerOptions::default());
        let shown = WithDashboard::new(lab, &Folder::new(folder.path().to_owned()), docker, asked);
        let request = UpRequest { gateway_port, env: BTreeMap::new(), tied: false };
        let place = shown.place(&request);
        (place.port, place.asked)
    }

    #[test]
    fn it_is_on_the_stacks_port_or_a_free_one_or_where_it_was() {
        assert_eq!(place("default", 8080, None, None), (3000, false));
        assert_eq!(place("default", 0, None, Some("not what lab wrote")), (0, false));
        assert_eq!(place("room-2", 0, None, None), (0, false));
        let last = r#"{"version":"0.1.0","pid":1,"port":41234}"#;
        assert_eq!(place("default", 8080, None, Some(last)), (41234, false));
    }

    #[test]
    fn a_port_that_was_asked_for_is_that_one() {
        assert_eq!(place("default", 8080, Some(3005), None), (3005, true));
        assert_eq!(place("room-2", 0, Some(3005), None), (3005, true));
        assert_eq!(place("room-2", 0, Some(0), None), (0, false));
    }
}
