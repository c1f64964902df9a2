//! Tests with a Docker daemon and the stack's images (`stack/offline/build.sh` builds stand-ins without a registry). Runs with
//! `LAB_TEST_DOCKER=1`, which requires a daemon. Without it, each test is reported as ignored.

mod alerts;
mod broken_daemon;
mod cli;
mod commands;
mod conditions;
#[path = "../shared/copied.rs"]
mod copied;
mod daemon;
mod dashboard;
mod deploys;
mod edge;
mod elsewhere;
mod engines;
mod faults;
mod gateway;
mod images;
#[path = "../shared/incident.rs"]
mod incident;
mod incidents;
mod interruptions;
mod kills;
mod life;
mod names;
mod neighbours;
mod own_stack;
mod proofs;
mod pulls;
mod queries;
#[path = "../shared/ran.rs"]
mod ran;
mod registry;
mod revisions;
#[path = "../shared/same.rs"]
mod same;
#[path = "../shared/conformance.rs"]
mod shared;
mod sshd;
mod support;
mod views;
mod waits;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    ran::default_signals();
    let arguments = Arguments::from_args();
    let wanted = std::env::var("LAB_TEST_DOCKER").is_ok_and(|value| value == "1");
    let all = [
        life::trials(),
        names::trials(),
        neighbours::trials(),
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
        elsewhere::trials(),
        engines::trials(),
        alerts::trials(),
        waits::trials(),
        deploys::trials(),
        edge::trials(),
        conditions::trials(),
        views::trials(),
        revisions::trials(),
    ];
    let trials = all.into_iter().flatten().map(|trial| {
        let ignored = trial.has_ignored_flag() || !wanted;
        trial.with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    daemon::end();
    conclusion.exit_code()
}

/// A test that is a future, on a runtime of its own.
fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|error| Failed::from(error.to_string()))?.block_on(test());
        Ok(())
    })
}
