//! The dashboard and the pages of a room in a real browser: Debian's `chromium` and `chromium-driver`, through fantoccini. Runs with
//! `LAB_TEST_BROWSER=1`, which requires a browser. Without it, each test is reported as ignored.

mod browser;
#[path = "../shared/command.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod command;
mod dashboard;
#[path = "../local/desk.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod desk;
#[path = "../local/participants.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod participants;
mod pictures;
mod room;
#[path = "../local/support.rs"]
#[expect(dead_code, reason = "these tests use only a part of it")]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    command::default_signals();
    let mut arguments = Arguments::from_args();
    // Two browsers at the same time are too much for a small machine.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let enabled = std::env::var("LAB_TEST_BROWSER").is_ok_and(|value| value == "1");
    let trials = dashboard::trials().into_iter().chain(room::trials());
    let trials = trials.map(|trial| trial.with_ignored_flag(!enabled)).chain(pictures::trials());
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|error| Failed::from(error.to_string()))?.block_on(test());
        Ok(())
    })
}
