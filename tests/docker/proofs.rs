//! Proofs of the scenarios whose faults need containers.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("what_the_database_and_the_metrics_claim_is_proved", proven)]
}

/// The embedded engine's proof of the whole library passes over `db-down`.
async fn proven() {
    let user = Cli::new("proved").nameless();
    let ran = user.lab(&["scenario", "prove", "db-down", "blind", "--jobs", "1", "--format", "json"]).status(0);
    let proofs = ran.json();
    let proofs: Vec<_> =
        proofs.as_array().expect("a list").iter().map(|proof| (&proof["scenario"], &proof["status"])).collect();
    let proven = Value::from("proven");
    assert_eq!(proofs, [(&Value::from("db-down"), &proven), (&Value::from("blind"), &proven)]);
    user.is_clean();
}
