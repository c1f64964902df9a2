//! Arguments of `lab callers`.

use clap::{Args, Subcommand};

/// `lab callers`.
#[derive(Debug, Subcommand)]
pub(crate) enum CallersCommand {
    /// Send the callers' requests in the background until `lab callers stop`, `lab down` or a time limit
    #[command(after_help = "Examples:\n  lab callers start\n  lab callers start --rate 30 --duration 20m\n  \
        lab callers start --scenario stale-caller\n\n\
        Without --scenario: the callers of the kept run in the lab, else the lab's caller at 20 requests per second. \
        Callers send their current keys: \
        `lab key align` takes effect within a second.")]
    Start(StartCallersArgs),
    /// Stop the callers
    #[command(after_help = "Examples:\n  lab callers stop")]
    Stop,
    /// Show what the callers send and what they get
    #[command(after_help = "Examples:\n  lab callers status\n  lab callers status --json")]
    Status {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// `lab callers start`.
#[derive(Debug, Args)]
pub(crate) struct StartCallersArgs {
    /// Scenario whose callers send, at its rates
    #[arg(long, value_name = "SCENARIO")]
    pub(crate) scenario: Option<String>,
    /// Set a parameter of the scenario; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "scenario")]
    pub(crate) set: Vec<String>,
    /// Requests per second, over all callers [default: the scenario's rates]
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<String>,
    /// Time limit: 90s, 20m, 2h; at most 24h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) duration: String,
}
