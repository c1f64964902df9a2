//! The command line of `lab`: parses it, runs the verb, maps the outcome to an exit code. Everything with a life of its own
//! is a crate under `crates/`.

mod cli;
mod commands;
mod engines;
mod watch;

use std::process::ExitCode;

use cli::Cli;

fn main() -> ExitCode {
    let exit = match Cli::from_command_line() {
        Ok(cli) => commands::run(&cli).unwrap_or_else(|error| commands::report_error(&error)),
        Err(unread) => commands::report_unread(&unread),
    };
    ExitCode::from(exit.code())
}
