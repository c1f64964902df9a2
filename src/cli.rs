//! Every clap type, and what was typed turned into options. The only place that imports clap.

use clap::{Args, Parser, Subcommand};

/// Rehearse incidents: bring up a small real system, break it on purpose, and see what the outage did.
#[derive(Debug, Parser)]
#[command(name = "lab", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The service under test (started by the engine)
    #[command(hide = true)]
    App(ServiceArgs),
    /// The reverse proxy in front of it (started by the engine)
    #[command(hide = true)]
    Gateway(ServiceArgs),
}

/// How a service of the embedded engine is started. All else comes from its environment.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// End when standard input ends
    #[arg(long)]
    pub tied: bool,
}
