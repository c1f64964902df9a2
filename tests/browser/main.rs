//! The dashboard in a real browser: Debian's `chromium` and `chromium-driver`, through fantoccini. Runs with
//! `LAB_TEST_BROWSER=1`, which requires a browser. Without it, each test is reported as ignored.

mod browser;
#[path = "../shared/command.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod command;
mod dashboard;
#[path = "../local/desk.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod desk;
#[path = "../local/support.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    command::default_signals();
    let mut arguments = Arguments::from_args();
    // Two browsers at the same time are too much for a small machine.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let enabled = std::env::var("LAB_TEST_BROWSER").is_ok_and(|value| value == "1");
    let trials: Vec<Trial> = dashboard::trials().into_iter().map(|trial| trial.with_ignored_flag(!enabled)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
