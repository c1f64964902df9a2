//! Every scenario gives the same deltas on Docker, on the embedded engine and on the mock engine.

use lab_scenario::library;
use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::run_outcome::{assert_same_outcome, outcome_of, outcome_on_mock, short_run};
use crate::support::write_small_stack;

pub(crate) fn trials() -> Vec<Trial> {
    trials![every_scenario_gives_the_same_deltas_on_docker_embedded_and_the_mock]
}

async fn every_scenario_gives_the_same_deltas_on_docker_embedded_and_the_mock() {
    let (docker, embedded) = (Cli::new("same"), Cli::new("same-embedded").embedded());
    let folder = docker.path().join("stack");
    write_small_stack(&folder);
    docker.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    embedded.lab(&["up", "--port", "0"]).status(0);
    for name in library::names() {
        let args = short_run(name, "json");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (on_docker, on_embedded) = std::thread::scope(|scope| {
            let other = scope.spawn(|| embedded.lab(&args));
            (docker.lab(&args), other.join().expect("it does not panic"))
        });
        let expected = outcome_of(&on_docker.status(0));
        assert_same_outcome(&expected, &outcome_on_mock(name), &format!("{name} on Docker and on the mock"));
        // A scenario that the embedded engine does not support is refused before anything changes.
        if on_embedded.code() == Some(2) {
            on_embedded.complains("embedded");
        } else {
            assert_same_outcome(&expected, &outcome_of(&on_embedded), &format!("{name} on Docker and embedded"));
        }
    }
    embedded.lab(&["down"]).status(0);
    docker.finish();
}
