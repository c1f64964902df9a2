//! Arguments of `lab drill start`.

use clap::Args;

use super::{NewLabArgs, NewStackArgs};

/// The incident of a drill.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct IncidentArgs {
    /// Scenario to practise; without it the incident is drawn and the drill is blind
    #[arg(value_name = "SCENARIO", conflicts_with_all = ["from", "tag", "difficulty"])]
    pub(crate) scenario: Option<String>,
    /// Draw from these scenarios only, separated by commas
    #[arg(long, value_name = "SCENARIO,...", value_delimiter = ',')]
    pub(crate) from: Vec<String>,
    /// Draw from scenarios with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Draw from scenarios of this difficulty: beginner, intermediate or advanced
    #[arg(long)]
    pub(crate) difficulty: Option<String>,
}

/// `lab drill start`.
#[derive(Debug, Args)]
pub(crate) struct StartDrillArgs {
    #[command(flatten)]
    pub(crate) incident: IncidentArgs,
    /// Draw everything from this number, so that the drill can be repeated; the result is not blind
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Time until the fault [default: 30s to 180s, drawn]; the result is not blind
    #[arg(long, value_name = "TIME")]
    pub(crate) quiet: Option<String>,
    /// Name wrong fixes and verdicts at once
    #[arg(long)]
    pub(crate) coach: bool,
    #[command(flatten)]
    pub(crate) new_lab: NewLabArgs,
    #[command(flatten)]
    pub(crate) new_stack: NewStackArgs,
}
