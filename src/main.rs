//! Parse, run, map the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser;
use lab::cli::Cli;
use lab::error::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = lab::commands::run(&cli).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let failure = error.downcast_ref::<Failure>();
        if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
            eprintln!("  hint: {hint}");
        }
        failure.map_or(Exit::Failed, |failure| failure.exit)
    });
    ExitCode::from(exit.code())
}
