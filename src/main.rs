//! The `lab` binary: parses the command line, runs the command and maps the outcome to an exit code. Everything of
//! substance is a crate under `crates/`.

mod cli;
mod commands;
mod engines;
mod watch;

use std::process::ExitCode;

use cli::Cli;

fn main() -> ExitCode {
    let exit = match Cli::from_command_line() {
        Ok(cli) => commands::run(&cli).unwrap_or_else(|error| commands::report_error(&error)),
        Err(error) => commands::report_cli_error(error),
    };
    ExitCode::from(exit.code())
}
