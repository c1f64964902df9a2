//! What needs a Docker daemon. Where none answers, each test is shown as ignored; with `LAB_TEST_DOCKER=1` that is a failure.

mod faults;
mod life;
#[path = "../shared/conformance.rs"]
mod shared;
mod support;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let there = daemon_answers();
    let required = std::env::var("LAB_TEST_DOCKER").is_ok_and(|value| value == "1");
    let trials = life::trials().into_iter().chain(faults::trials());
    let trials = trials.map(|trial| if there || required { trial } else { trial.with_ignored_flag(true) }).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn daemon_answers() -> bool {
    let version = std::process::Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    version.is_ok_and(|output| output.status.success())
}

/// A test that is a future, on a runtime of its own.
fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|error| Failed::from(error.to_string()))?.block_on(test());
        Ok(())
    })
}
