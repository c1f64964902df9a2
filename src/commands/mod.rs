//! One file a verb: picks the lab and the reporters, calls the core.

use crate::cli::{Cli, Command};
use crate::error::Exit;

/// Carries out what was asked for.
pub fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::App(args) => Ok(crate::app::run(args.tied)),
        Command::Gateway(args) => Ok(crate::gateway::run(args.tied)),
    }
}
