//! Proofs of scenarios that need containers.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;

pub(crate) fn trials() -> Vec<Trial> {
    trials![scenarios_of_the_database_and_the_metrics_are_proven]
}

/// The proof of the library on the embedded engine skips `db-down`.
async fn scenarios_of_the_database_and_the_metrics_are_proven() {
    let user = Cli::new("proved").nameless();
    let result = user.lab(&["scenario", "prove", "db-down", "blind", "--jobs", "1", "--format", "json"]).status(0);
    let proofs = result.json();
    let proofs: Vec<_> =
        proofs.as_array().expect("a list").iter().map(|proof| (&proof["scenario"], &proof["status"])).collect();
    let proven = Value::from("proven");
    assert_eq!(proofs, [(&Value::from("db-down"), &proven), (&Value::from("blind"), &proven)]);
    user.assert_clean();
}
