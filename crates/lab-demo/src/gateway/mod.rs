//! Reverse proxy in front of the app, run by `lab gateway` as a replacement for nginx. [`proxy`] handles requests, [`upstream`]
//! manages connections to the app, [`body`] streams bodies, and [`memory`] is a variant without sockets. Independent of labs
//! and engines.

mod access;
mod body;
mod config;
mod headers;
pub mod memory;
mod proxy;
mod target;
mod upstream;
mod upstream_stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use tokio::net::TcpListener;

use crate::edge::metrics::{self, Metrics};
use crate::service::log::Log;
use crate::service::serve::Limits;
use crate::service::stop::Stop;
use crate::service::{self, serve};
use lab_core::error::Exit;

use self::config::Config;
use self::proxy::{Client, Gateway};

/// Maximum size of a request head in bytes. Larger heads are rejected with 431.
const HEADER_SIZE: usize = 32 << 10;

/// Serves until SIGTERM or, if `tied`, until standard input closes. Configured by environment variables only. Prints
/// `ready ADDRESS:PORT` on standard output once it listens, then its log, one JSON object per line. With a metrics page the
/// line is `ready ADDRESS:PORT metrics ADDRESS:PORT`.
///
/// If `tied`, lines on standard input set the address of an upstream name, `route NAME:PORT ADDRESS:PORT`, or mark it as
/// unreachable, `unroute NAME:PORT`. Requests in flight are not affected.
pub fn run(tied: bool) -> Exit {
    match Config::from_env(&|name| std::env::var_os(name)) {
        Ok(config) => service::run(host(config, tied)),
        Err(error) => service::fail(Exit::Usage, error),
    }
}

async fn host(config: Config, tied: bool) -> Exit {
    let listen = config.listen.clone();
    let limits = Limits { header_size: HEADER_SIZE, header_timeout: config.header_timeout };
    let bound = serve::listen(&listen, config.reuse_port).await.and_then(|it| Ok((it.local_addr()?, it)));
    let (address, listener) = match bound {
        Ok(bound) => bound,
        Err(error) => {
            return service::fail(Exit::Failed, format_args!("the gateway cannot listen on {listen}: {error}"));
        }
    };
    let metrics_listen = config.metrics_listen.clone();
    let page = match metrics_listener(metrics_listen.as_deref()).await {
        Ok(page) => page,
        Err(error) => {
            let address = metrics_listen.unwrap_or_default();
            let message = format_args!("the gateway cannot listen on {address} for its metrics page: {error}");
            return service::fail(Exit::Failed, message);
        }
    };
    let metrics = match Metrics::new() {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => return service::fail(Exit::Failed, format_args!("cannot set up the metrics: {error}")),
    };
    let log = Log::stdout().json();
    let gateway = Arc::new(Gateway::new(config, log.clone(), Arc::clone(&metrics)));
    let stop = Stop::new();
    let signals = stop.on_signals();
    log.ready(address, page.as_ref().map(|(address, _)| *address));
    let routes = Arc::clone(&gateway);
    let tie = if tied { stop.on_stdin_end(move |line| routes.command(line)) } else { Ok(()) };
    if let Err(error) = tie.and(signals) {
        return service::fail(Exit::Failed, format_args!("cannot install the shutdown handlers: {error}"));
    }
    if let Some((_, listener)) = page {
        // Ends with the process: a shutdown does not wait for scrapes.
        tokio::spawn(metrics::serve(listener, metrics, stop.clone(), log.clone()));
    }
    serve::serve(listener, limits, &stop, &log, |peer| {
        let (gateway, client) = (Arc::clone(&gateway), Client::new(peer));
        service_fn(move |request| Arc::clone(&gateway).handle(client.clone(), request))
    })
    .await;
    log.note(format_args!("stopped"));
    log.close();
    Exit::Passed
}

/// Listens for scrapes, if an address is configured.
async fn metrics_listener(address: Option<&str>) -> io::Result<Option<(SocketAddr, TcpListener)>> {
    let Some(address) = address else { return Ok(None) };
    let listener = serve::listen(address, false).await?;
    Ok(Some((listener.local_addr()?, listener)))
}
