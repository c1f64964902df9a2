//! `lab dashboard`: serves the live dashboard of any lab until Ctrl-C, for labs without Grafana and for sharing with a room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::signals;
use crate::cli::DashboardArgs;
use crate::engines::observed_lab::ObservedLab;
use lab_core::engine::RunState;
use lab_core::error::{Exit, Failure};
use lab_dashboard::Snapshot;
use lab_report::term::Tone;
use lab_runner::lab::{DEFAULT_NAME, Lab};
use lab_runner::runner::Signal;

pub(super) mod host;

/// Data source of the dashboard: a lab through its engine.
struct EngineSource(Mutex<ObservedLab>);

#[async_trait]
impl lab_dashboard::Source for EngineSource {
    async fn snapshot(&self) -> Snapshot {
        let Ok((_, now)) = self.0.lock().await.describe().await else { return Snapshot::default() };
        let runs = now.app().is_some_and(|app| app.state == RunState::Running);
        let endpoint = now.endpoints.metrics.into_iter().next().filter(|_| runs);
        let services = now.services.into_iter().map(|service| (service.name, service.state.name().to_owned()));
        Snapshot {
            services: services.collect(),
            roles: now.roles,
            metrics: endpoint.map(|endpoint| (endpoint.instance, endpoint.url)),
            edge: now.endpoints.edge.map(|edge| (edge.instance, edge.url)),
            prometheus: now.endpoints.prometheus.map(|url| url.trim_end_matches('/').to_owned()),
            gateway: now.endpoints.gateway,
        }
    }
}

pub(super) async fn run(session: &Session, args: &DashboardArgs) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let interrupt = signals::install()?;
    let lab = &connected.lab;
    let bind = args.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let listener = listen(bind, args.port, lab.name()).await?;
    let address = listener.local_addr()?;
    if !bind.is_loopback() {
        let warning = "everyone who can reach this machine can read this page; it shows no keys and changes nothing";
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, warning));
    }
    session.line(&format!("dashboard of lab {} at {} until Ctrl-C", lab.name(), url(address)))?;
    serve_lab(lab, listener, interrupt.stop().clone()).await;
    Ok(interrupt.signal().map_or(Exit::Failed, Signal::exit))
}

/// Serves the dashboard of a lab until `end`.
async fn serve_lab(lab: &Lab, listener: TcpListener, end: CancellationToken) {
    let source = Arc::new(EngineSource(Mutex::new(ObservedLab::new(lab))));
    lab_dashboard::serve(listener, lab.folder().root(), source, end).await;
}

/// Binds the requested port only; without one, the default port if this is the lab `default`, else a free port.
async fn listen(bind: IpAddr, port: Option<u16>, lab: &str) -> anyhow::Result<TcpListener> {
    if let Some(port) = port {
        return TcpListener::bind((bind, port)).await.map_err(|error| {
            let message = format!("the dashboard cannot use port {port} on {bind}: {error}");
            Failure::failed(message).hint("choose another port with --port 3001, or a free one with --port 0").into()
        });
    }
    let usual = if lab == DEFAULT_NAME { lab_dashboard::USUAL.1 } else { 0 };
    match TcpListener::bind((bind, usual)).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(TcpListener::bind((bind, 0)).await.map_err(|error| {
            Failure::failed(format!("the dashboard cannot listen on {bind}: {error}"))
                .hint("use an address of this machine for --bind")
        })?),
    }
}

/// URL for a browser on this machine. The unspecified address becomes the loopback address.
fn url(address: SocketAddr) -> String {
    let own = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}/", SocketAddr::new(own, address.port()))
}
