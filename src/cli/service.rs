//! Hidden commands: processes that lab starts itself, such as the services of a lab.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A process that lab starts itself.
#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// Run the service under test (started by the engine)
    #[command(hide = true)]
    App(AppArgs),
    /// Run the reverse proxy (started by the engine)
    #[command(hide = true)]
    Gateway(ServiceArgs),
    /// Count what callers get at nginx and serve it as metrics (started in a container)
    #[command(hide = true)]
    Edge(EdgeArgs),
    /// Run the host process of a lab (started by the engine)
    #[command(hide = true)]
    Host {
        /// Read the request from this file instead of standard input, and serve a network
        #[arg(long, value_name = "FILE")]
        request: Option<PathBuf>,
    },
    /// Run the process that sends the callers' requests (started by `lab callers start`)
    #[command(hide = true)]
    CallersHost,
    /// Run the referee of a drill (started by `lab drill start`)
    #[command(hide = true)]
    DrillHost,
    /// Run the server of a room (started by `lab room up`)
    #[command(hide = true)]
    RoomHost,
    /// Run the dashboard process of a Docker lab (started by `lab up`)
    #[command(hide = true)]
    DashboardHost,
}

/// `lab app`.
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Exit 0 if the app with the same environment is healthy, else 1; needs no shell
    #[arg(long)]
    pub(crate) health: bool,
}

/// Service of the embedded engine. All other settings come from its environment.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Exit at the end of standard input
    #[arg(long)]
    pub(crate) tied: bool,
}

/// `lab edge`. All other settings come from its environment.
#[derive(Debug, Args)]
pub(crate) struct EdgeArgs {
    /// Exit 0 if the exporter with the same environment answers, else 1; needs no shell
    #[arg(long)]
    pub(crate) health: bool,
}
