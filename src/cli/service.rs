//! Arguments of the hidden commands that run the services of a lab.

use clap::Args;

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
