//! Every incident is fixed by hand with its runbook, on Docker.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::incident::fix_by_hand;
use crate::support::write_small_stack;

/// Names of the tests and their incidents.
const ALL: [(&str, &str); 19] = [
    ("app_down_by_hand", "app-down"),
    ("app_slow_by_hand", "app-slow"),
    ("bad_deploy_by_hand", "bad-deploy"),
    ("blind_by_hand", "blind"),
    ("connection_pool_exhausted_by_hand", "connection-pool-exhausted"),
    ("db_down_by_hand", "db-down"),
    ("db_frozen_by_hand", "db-frozen"),
    ("expired_key_by_hand", "expired-key"),
    ("missing_header_by_hand", "missing-header"),
    ("missing_scope_by_hand", "missing-scope"),
    ("rate_limited_by_hand", "rate-limited"),
    ("report_cut_off_by_hand", "report-cut-off"),
    ("retry_storm_by_hand", "retry-storm"),
    ("rotate_key_by_hand", "rotate-key"),
    ("rotate_key_overlap_by_hand", "rotate-key-overlap"),
    ("stale_caller_by_hand", "stale-caller"),
    ("two_401s_by_hand", "two-401s"),
    ("wrong_client_secret_by_hand", "wrong-client-secret"),
    ("wrong_upstream_by_hand", "wrong-upstream"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(test, incident): (&'static str, &'static str)| {
        Trial::test(test, move || {
            fix(incident);
            Ok(())
        })
    };
    ALL.into_iter().map(trial).collect()
}

/// Injects, diagnoses and fixes one incident.
fn fix(incident: &str) {
    let user = Cli::new(incident);
    // Only the runbook of `blind` uses Prometheus. A lab without it starts in half the time.
    if incident == "blind" {
        user.lab(&["up"]).status(0);
    } else {
        let folder = user.path().join("stack");
        write_small_stack(&folder);
        user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    }
    fix_by_hand(incident, "docker", &|args| user.lab(args));
    user.finish();
}
