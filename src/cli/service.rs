//! How the engine starts the services of a lab.

use clap::Args;

/// `lab app`.
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    /// How it is started
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Ask the app that runs under the same environment whether it is well, and exit 0 or 1; needs no shell
    #[arg(long)]
    pub(crate) health: bool,
}

/// How a service of the embedded engine is started. All else comes from its environment.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// End when standard input ends
    #[arg(long)]
    pub(crate) tied: bool,
}
