//! What the services of the system under test have in common: configuration from the environment, a log on standard
//! output, a listener that drains, an orderly end. Part of the patient as `app` and `gateway` are: it knows nothing of
//! the lab.

pub(crate) mod config;
pub(crate) mod log;
pub(crate) mod request_id;
pub(crate) mod serve;
pub(crate) mod stop;
mod stream;

use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use lab_core::error::Exit;

/// Runs a service to its end. What still runs in the background then (name look-ups, say) is not waited for.
///
/// On one thread: the services of a lab and whoever calls them share few cores, and a request that moves between threads
/// costs the gateway a fifth more.
pub(crate) fn run(service: impl Future<Output = Exit>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, format_args!("cannot start the runtime: {error}")),
    };
    let exit = runtime.block_on(service);
    runtime.shutdown_timeout(Duration::ZERO);
    exit
}

/// Says on standard error why the service does not run, in one line.
pub(crate) fn fail(exit: Exit, why: impl Display) -> Exit {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "error: {why}");
    exit
}
