//! Common code of `app` and `gateway`: configuration from environment variables, a log on standard output, an HTTP listener that
//! drains, and graceful shutdown. Part of the system under test, so it is independent of labs and engines.

pub(crate) mod config;
pub(crate) mod health;
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

/// Runs a service to completion. Background tasks, such as name lookups, are not waited for.
///
/// Uses a single thread: the services and their callers share few cores, and moving requests between threads costs the
/// gateway a fifth more.
pub(crate) fn run(service: impl Future<Output = Exit>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, format_args!("cannot start the runtime: {error}")),
    };
    let exit = runtime.block_on(service);
    runtime.shutdown_timeout(Duration::ZERO);
    exit
}

/// Prints an error on standard error in one line and returns the exit code.
pub(crate) fn fail(exit: Exit, error: impl Display) -> Exit {
    // Ignore a closed standard error.
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
    exit
}
