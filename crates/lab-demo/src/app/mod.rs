//! Service under test, run by `lab app`: users from a database, behind an API key. [`server`] has the HTTP routes, [`auth`] the
//! authentication, [`limit`] the rate limit, [`store`] and [`pool`] the database access, and [`metrics`] the metrics.
//! [`memory`] is a variant without sockets. Independent of labs and engines.

mod auth;
mod config;
mod health;
mod limit;
pub mod memory;
mod metrics;
mod pool;
mod probes;
mod secret;
mod server;
mod store;

use std::sync::Arc;

use crate::service::log::Log;
use crate::service::stop::Stop;
use crate::service::{self, serve};
use lab_core::error::Exit;

pub use self::health::health;

use self::config::Config;
use self::server::App;

/// Serves until SIGTERM or, if `tied`, until standard input closes. Configured by environment variables only. Prints
/// `ready ADDRESS:PORT` on standard output once it listens, then its log.
pub fn run(tied: bool) -> Exit {
    match Config::from_env(&|name| std::env::var_os(name)) {
        Ok(config) => service::run(host(config, tied)),
        Err(error) => service::fail(Exit::Usage, error),
    }
}

async fn host(config: Config, tied: bool) -> Exit {
    let stop = Stop::new();
    let tie = if tied { stop.on_stdin_end(|_| {}) } else { Ok(()) };
    if let Err(error) = tie.and_then(|()| stop.on_signals()) {
        return service::fail(Exit::Failed, format_args!("cannot install the shutdown handlers: {error}"));
    }
    let bound = serve::listen(&config.listen, false).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = match bound {
        Ok(bound) => bound,
        Err(error) => {
            let listen = &config.listen;
            return service::fail(Exit::Failed, format_args!("the app cannot listen on {listen}: {error}"));
        }
    };
    let log = Log::stdout();
    log.ready(address, None);

    let app = match App::new(config, log.clone()) {
        Ok(app) => Arc::new(app),
        Err(error) => return service::fail(Exit::Failed, format_args!("cannot set up the metrics: {error}")),
    };
    let mut migration = tokio::spawn({
        let (app, log) = (Arc::clone(&app), log.clone());
        async move { app.store.migrate(&log).await }
    });
    let failed = async {
        match (&mut migration).await {
            Ok(Err(error)) => error,
            // Migration has succeeded; only the server can end now.
            _ => std::future::pending().await,
        }
    };
    let failed = tokio::select! {
        () = app.serve(listener, &stop) => None,
        error = failed => Some(error),
    };
    migration.abort();
    if let Some(error) = failed {
        log.close();
        return service::fail(Exit::Failed, format_args!("the database cannot be used: {error}"));
    }
    log.note(format_args!("stopped"));
    log.close();
    Exit::Passed
}
