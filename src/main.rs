//! Parse, run, map the outcome to an exit code.

use std::process::ExitCode;

use lab::cli::Cli;

fn main() -> ExitCode {
    let exit = match Cli::from_command_line() {
        Ok(cli) => lab::commands::run(&cli).unwrap_or_else(|error| lab::commands::report_error(&error)),
        Err(unread) => lab::commands::report_unread(&unread),
    };
    ExitCode::from(exit.code())
}
