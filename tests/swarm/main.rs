//! Tests with a Docker Swarm of three daemons in namespaces of their own. They run with `LAB_TEST_DOCKER=1`, which requires root and
//! a Docker Engine. Without it, each test is reported as ignored. `LAB_TEST_SWARM=all` adds the slower failures.

mod cluster;
#[path = "../shared/command.rs"]
#[expect(dead_code, reason = "these tests signal daemons through the cluster")]
mod command;
#[path = "../shared/conformance.rs"]
mod conformance_suite;
mod failures;
mod labs;
mod nodes;
mod rooms;
#[path = "../shared/stripped.rs"]
mod stripped;
mod user;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one cluster.
    arguments.test_threads = Some(1);
    let enabled = std::env::var("LAB_TEST_DOCKER").is_ok_and(|value| value == "1");
    let trials = [nodes::trials(), labs::trials(), failures::trials(), rooms::trials()];
    let trials: Vec<Trial> = trials
        .into_iter()
        .flatten()
        .map(|trial| {
            let ignored = trial.has_ignored_flag() || !enabled;
            trial.with_ignored_flag(ignored)
        })
        .collect();
    if enabled && !arguments.list {
        // Before there are other threads, because only the current one changes its network.
        cluster::start();
    }
    command::default_signals();
    let conclusion = libtest_mimic::run(&arguments, trials);
    cluster::end();
    conclusion.exit_code()
}

/// A test without arguments.
fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Lists tests under the names of their functions.
macro_rules! trials {
    ($($test:ident),+ $(,)?) => { vec![$(crate::trial(stringify!($test), $test)),+] };
}
use trials;
