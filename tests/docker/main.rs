//! What needs a Docker daemon and the stack's images (`stack/offline/build.sh` makes stand-ins without a registry). Runs with
//! `LAB_TEST_DOCKER=1`, and fails then where no daemon answers; otherwise each test is shown as ignored.

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
    let wanted = std::env::var("LAB_TEST_DOCKER").is_ok_and(|value| value == "1");
    let trials = life::trials().into_iter().chain(faults::trials());
    let trials = trials.map(|trial| trial.with_ignored_flag(!wanted)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that is a future, on a runtime of its own.
fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|error| Failed::from(error.to_string()))?.block_on(test());
        Ok(())
    })
}
