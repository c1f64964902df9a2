//! `lab dashboard`: the live dashboard of any lab, served for as long as somebody lets it: where no Grafana runs, and for
//! those in a room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::signals;
use crate::cli::DashboardArgs;
use crate::engines::present::Present;
use lab_core::engine::RunState;
use lab_core::error::{Exit, Failure};
use lab_dashboard::Look;
use lab_report::term::Tone;
use lab_runner::lab::{DEFAULT_NAME, Lab};
use lab_runner::runner::Signal;

pub(super) mod host;

/// A lab through its engine.
struct Through(Mutex<Present>);

#[async_trait]
impl lab_dashboard::Source for Through {
    async fn look(&self) -> Look {
        let Ok((_, now)) = self.0.lock().await.describe().await else { return Look::default() };
        let runs = now.app().is_some_and(|app| app.state == RunState::Running);
        let endpoint = now.endpoints.metrics.into_iter().next().filter(|_| runs);
        let services = now.services.into_iter().map(|service| (service.name, service.state.name().to_owned()));
        Look {
            services: services.collect(),
            metrics: endpoint.map(|endpoint| (endpoint.instance, endpoint.url)),
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
        let warning = "whoever reaches this machine can read this page; it shows no keys, and changes nothing";
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, warning));
    }
    session.line(&format!("dashboard of lab {} at {} until Ctrl-C", lab.name(), url(address)))?;
    board_of(lab, listener, interrupt.stop().clone()).await;
    Ok(interrupt.signal().map_or(Exit::Failed, Signal::exit))
}

/// Serves the dashboard of a lab until the end.
async fn board_of(lab: &Lab, listener: TcpListener, end: CancellationToken) {
    let source = Arc::new(Through(Mutex::new(Present::new(lab))));
    lab_dashboard::serve(listener, lab.folder().root(), source, end).await;
}

/// The port that was asked for, and no other; else the usual one for the lab that has the usual ones; else a free one.
async fn listen(bind: IpAddr, port: Option<u16>, lab: &str) -> anyhow::Result<TcpListener> {
    if let Some(port) = port {
        return TcpListener::bind((bind, port)).await.map_err(|error| {
            let message = format!("the dashboard cannot have port {port} of {bind}: {error}");
            Failure::failed(message).hint("another port: --port 3001, or --port 0 for a free one").into()
        });
    }
    let usual = if lab == DEFAULT_NAME { lab_dashboard::USUAL.1 } else { 0 };
    match TcpListener::bind((bind, usual)).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(TcpListener::bind((bind, 0)).await.map_err(|error| {
            Failure::failed(format!("the dashboard cannot listen on {bind}: {error}"))
                .hint("--bind takes an address of this machine")
        })?),
    }
}

/// What to type into a browser. An address that stands for all of them is reached on this machine as its own.
fn url(address: SocketAddr) -> String {
    let own = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}/", SocketAddr::new(own, address.port()))
}
