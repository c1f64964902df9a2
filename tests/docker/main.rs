//! Tests with a Docker daemon and the stack's images (`stack/offline/build.sh` builds stand-ins without a registry). Runs with
//! `LAB_TEST_DOCKER=1`, which requires a daemon. Without it, each test is reported as ignored.

/// Lists asynchronous tests under the names of their functions.
macro_rules! trials {
    ($($test:ident),+ $(,)?) => { vec![$(crate::trial(stringify!($test), $test)),+] };
}

mod alerts;
mod broken_daemon;
mod cli;
#[path = "../shared/command.rs"]
mod command;
mod commands;
mod conditions;
#[path = "../shared/conformance.rs"]
mod conformance_suite;
mod daemon;
mod dashboard;
mod deploys;
#[path = "../shared/drill.rs"]
mod drill;
mod drill_blindness;
mod drill_plays;
mod edge;
mod engines;
mod faults;
mod gateway;
mod images;
#[path = "../shared/incident.rs"]
mod incident;
mod incidents;
mod interruptions;
mod kills;
mod lifecycle;
mod own_stack;
mod proofs;
mod pulls;
mod queries;
mod registry;
mod remote_daemon;
mod revisions;
#[path = "../shared/run_outcome.rs"]
mod run_outcome;
mod service_names;
mod shared_daemon;
#[path = "../shared/spoilers.rs"]
mod spoilers;
mod sshd;
#[path = "../shared/stack_copy.rs"]
mod stack_copy;
#[path = "../shared/stripped.rs"]
mod stripped;
mod support;
mod views;
mod waits;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    command::default_signals();
    let arguments = Arguments::from_args();
    let enabled = std::env::var("LAB_TEST_DOCKER").is_ok_and(|value| value == "1");
    let all = [
        lifecycle::trials(),
        service_names::trials(),
        shared_daemon::trials(),
        own_stack::trials(),
        faults::trials(),
        gateway::trials(),
        images::trials(),
        incidents::trials(),
        commands::trials(),
        dashboard::trials(),
        proofs::trials(),
        pulls::trials(),
        queries::trials(),
        interruptions::trials(),
        kills::trials(),
        broken_daemon::trials(),
        remote_daemon::trials(),
        engines::trials(),
        alerts::trials(),
        waits::trials(),
        deploys::trials(),
        drill_blindness::trials(),
        drill_plays::trials(),
        edge::trials(),
        conditions::trials(),
        views::trials(),
        revisions::trials(),
    ];
    let trials = all.into_iter().flatten().map(|trial| {
        let ignored = trial.has_ignored_flag() || !enabled;
        trial.with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    daemon::end();
    conclusion.exit_code()
}

/// An asynchronous test with its own runtime.
fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|error| Failed::from(error.to_string()))?.block_on(test());
        Ok(())
    })
}
