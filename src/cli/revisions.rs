//! Arguments of the commands for the environment and the revisions of a service: env, history, rollback, reset.

use clap::{Args, Subcommand};

/// `lab env`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EnvArgs {
    #[command(subcommand)]
    pub(crate) command: Option<EnvCommand>,
    /// Service to show, such as gateway, app or db
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Show passwords and other secrets
    #[arg(long)]
    pub(crate) reveal: bool,
}

/// `lab env set` and `lab env unset`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Set variables: the service is redeployed without losing a request
    #[command(after_help = "Examples:\n  lab env set app APP_RATE_LIMIT=50/s APP_RATE_BURST=20")]
    Set {
        /// Service to change
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Variables with their new values
        #[arg(value_name = "NAME=VALUE", required = true)]
        variables: Vec<String>,
    },
    /// Remove variables: the service is redeployed without losing a request
    #[command(after_help = "Examples:\n  lab env unset app APP_RATE_LIMIT")]
    Unset {
        /// Service to change
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Names of the variables
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// `lab history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Service, or `callers` for the callers' keys [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Show passwords and other secrets
    #[arg(long)]
    pub(crate) reveal: bool,
}

/// `lab rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Service, or `callers` for the callers' keys
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Revision to return to, see `lab history` [default: the latest that differs and in which the service runs]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,
}
