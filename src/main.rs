//! Parse, run, map the outcome to an exit code.

use std::process::ExitCode;

use lab::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let exit = lab::commands::run(&cli).unwrap_or_else(|error| lab::commands::report_error(&error));
    ExitCode::from(exit.code())
}
