//! An engine plus lab's own dashboard, for stacks without Grafana. The dashboard starts with `up`, ends with `down` and is an
//! endpoint in `describe`, as on the embedded engine.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::dashboard::{Dashboard, Order, PORT_VARIABLE};
use lab_containers::docker::Docker;
use lab_containers::swarm::Swarm;
use lab_core::engine::sql::Dialect;
use lab_core::engine::{
    DbError, DbQuery, DbResult, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, ProgressFn,
    Reconciliation, Roles, ServiceChange, ServiceSpec, UpRequest, port,
};
use lab_runner::lab::DEFAULT_NAME;
use lab_system::background::{self, Starting};
use lab_system::files::Folder;

/// Port if neither the environment nor the stack has one.
const USUAL_PORT: u16 = 3000;

/// Engine whose labs have no dashboard in their stack, or only as Grafana.
#[async_trait]
pub(super) trait WithoutDashboard: Engine {
    /// Returns true if Grafana runs in the lab.
    async fn has_grafana(&self) -> Result<bool, EngineError>;

    /// Port of Grafana in the stack.
    fn grafana_port(&self) -> Option<u16>;

    /// Describes the container that uses a port of this machine.
    async fn holder_of(&self, port: u16) -> Result<Option<String>, EngineError>;
}

#[async_trait]
impl WithoutDashboard for Docker {
    async fn has_grafana(&self) -> Result<bool, EngineError> {
        Self::has_grafana(self).await
    }

    fn grafana_port(&self) -> Option<u16> {
        Self::grafana_port(self)
    }

    async fn holder_of(&self, port: u16) -> Result<Option<String>, EngineError> {
        Self::holder_of(self, port).await
    }
}

#[async_trait]
impl WithoutDashboard for Swarm {
    async fn has_grafana(&self) -> Result<bool, EngineError> {
        Ok(false)
    }

    fn grafana_port(&self) -> Option<u16> {
        None
    }

    async fn holder_of(&self, _port: u16) -> Result<Option<String>, EngineError> {
        Ok(None)
    }
}

pub(super) struct WithDashboard<E> {
    lab: String,
    folder: Folder,
    engine: E,
    dashboard: Dashboard,
    /// Requested port; 0 picks a free one.
    requested: Option<u16>,
    /// Process of a dashboard that ends with this engine, kept for its standard input.
    tied: Mutex<Option<Child>>,
}

/// Port to serve on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PortChoice {
    /// 0 picks a free one.
    port: u16,
    /// The user asked for this port: no other will do.
    explicit: bool,
}

impl<E: WithoutDashboard> WithDashboard<E> {
    pub(super) fn new(lab: &str, folder: &Folder, engine: E, requested: Option<u16>) -> Self {
        let dashboard = Dashboard::new(folder);
        Self { lab: lab.to_owned(), folder: folder.clone(), engine, dashboard, requested, tied: Mutex::new(None) }
    }

    /// Resolves the port: requested, then previous, then the stack's default for the lab `default`.
    fn choose_port(&self, request: &UpRequest) -> PortChoice {
        if let Some(port) = self.requested {
            return PortChoice { port, explicit: port != 0 };
        }
        let fixed = self.lab == DEFAULT_NAME && request.gateway_port != 0;
        let usual = if fixed { self.engine.grafana_port().unwrap_or(USUAL_PORT) } else { 0 };
        PortChoice { port: self.dashboard.last().map_or(usual, |last| last.port), explicit: false }
    }

    /// Ends a running dashboard if Grafana runs, or if its port or version is wrong. Returns true if one keeps running.
    async fn keep_running(&self, choice: PortChoice, grafana: bool) -> Result<bool, EngineError> {
        let Some(serving) = self.dashboard.serving() else { return Ok(false) };
        let elsewhere = choice.explicit && serving.port != choice.port;
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
            error.hint(background::holder_hint(&self.dashboard.lock()))
        })?;
        if let Some(mut process) = self.tied().take() {
            let _ = process.wait();
        }
        Ok(())
    }

    fn tied(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.tied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts serving. Returns a notice on failure: a lab without a dashboard is still usable.
    async fn serve(&self, starting: Starting, choice: PortChoice, tied: bool) -> Option<String> {
        let folder = self.folder.root().to_owned();
        let order = Order { folder, port: choice.port, or_another: !choice.explicit, tied };
        match self.dashboard.serve(starting, &order).await {
            Ok((process, port)) => {
                if tied {
                    *self.tied() = Some(process);
                }
                if choice.port == 0 || choice.port == port {
                    return None;
                }
                Some(format!("{}; the dashboard uses port {port} instead", self.holder(choice.port).await))
            }
            Err(_) if choice.explicit && port::require_free(choice.port).is_err() => {
                let holder = self.holder(choice.port).await;
                let again = "no dashboard is served; free the port and run `lab up`";
                Some(format!("{holder}, and {PORT_VARIABLE} asks for it: {again}"))
            }
            Err(why) => Some(format!("the dashboard is not served: {why}")),
        }
    }

    fn with_dashboard(&self, mut now: Description) -> Description {
        now.endpoints.dashboard = self.dashboard.serving().map(|serving| serving.url());
        now
    }

    /// Describes the process that holds a port, as a sentence.
    async fn holder(&self, taken: u16) -> String {
        match self.engine.holder_of(taken).await {
            Ok(Some(holder)) => format!("127.0.0.1:{taken} is held by {holder}"),
            _ => match port::require_free(taken) {
                Err(error) => error.detail,
                Ok(()) => format!("127.0.0.1:{taken} was in use"),
            },
        }
    }
}

#[async_trait]
impl<E: WithoutDashboard> Engine for WithDashboard<E> {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn services(&self) -> Vec<ServiceSpec> {
        self.engine.services()
    }

    fn roles(&self) -> Roles {
        self.engine.roles()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let choice = self.choose_port(request);
        // If the daemon does not answer, the engine reports it below.
        let grafana = self.engine.has_grafana().await.unwrap_or(true);
        let running = self.keep_running(choice, grafana).await?;
        // Starts in parallel to the containers, which take longer; it ends if they fail.
        let starting = (!grafana && !running).then(|| self.dashboard.prepare());
        let mut now = self.engine.up(request, progress).await?;
        let notice = match starting {
            Some(Ok(starting)) => self.serve(starting, choice, request.tied).await,
            Some(Err(error)) => Some(format!("the dashboard is not served: {error}")),
            None => None,
        };
        now.notices.extend(notice);
        Ok(self.with_dashboard(now))
    }

    async fn down(&self) -> Result<(), EngineError> {
        let (down, ended) = tokio::join!(self.engine.down(), self.end());
        down.and(ended)
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        Ok(self.with_dashboard(self.engine.describe().await?))
    }

    async fn env(&self, service: &str) -> Result<BTreeMap<String, String>, EngineError> {
        self.engine.env(service).await
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        self.engine.reconcile(service, change).await
    }

    async fn reset_data(&self) -> Result<(), EngineError> {
        self.engine.reset_data().await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        self.engine.logs(request).await
    }

    fn dialect(&self) -> Option<Dialect> {
        self.engine.dialect()
    }

    async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        self.engine.query(query, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_containers::docker::DockerOptions;
    use lab_stack::Stack;

    fn place(lab: &str, gateway_port: u16, requested: Option<u16>, last: Option<&str>) -> (u16, bool) {
        let folder = tempfile::tempdir().unwrap();
        if let Some(last) = last {
            std::fs::write(folder.path().join(super::super::dashboard::FILE), last).unwrap();
        }
        let stack = Stack::embedded(&BTreeMap::new()).unwrap();
        let docker = Docker::new(lab, stack, DockerOptions::default());
        let engine = WithDashboard::new(lab, &Folder::new(folder.path().to_owned()), docker, requested);
        let request = UpRequest { gateway_port, env: BTreeMap::new(), tied: false };
        let choice = engine.choose_port(&request);
        (choice.port, choice.explicit)
    }

    #[test]
    fn the_port_is_the_stacks_a_free_one_or_the_previous_one() {
        assert_eq!(place("default", 8080, None, None), (3000, false));
        assert_eq!(place("default", 0, None, Some("not what lab wrote")), (0, false));
        assert_eq!(place("room-2", 0, None, None), (0, false));
        let last = r#"{"version":"0.1.0","pid":1,"port":41234}"#;
        assert_eq!(place("default", 8080, None, Some(last)), (41234, false));
    }

    #[test]
    fn a_requested_port_is_used() {
        assert_eq!(place("default", 8080, Some(3005), None), (3005, true));
        assert_eq!(place("room-2", 0, Some(3005), None), (3005, true));
        assert_eq!(place("room-2", 0, Some(0), None), (0, false));
    }
}
