//! Every incident is fixed by hand with its runbook, on the embedded engine.

use crate::desk::Desk;
use crate::incident::fix_by_hand;

/// Injects, diagnoses and fixes one incident.
fn fix(incident: &str) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    fix_by_hand(incident, "embedded", &|args| desk.lab(args));
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

macro_rules! incidents {
    ($($test:ident $name:literal)*) => {
        /// Names of the incidents below.
        const ALL: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                fix($name);
            }
        )*
    };
}

incidents! {
    app_down "app-down"
    app_slow "app-slow"
    bad_deploy "bad-deploy"
    blind "blind"
    connection_pool_exhausted "connection-pool-exhausted"
    db_frozen "db-frozen"
    expired_key "expired-key"
    missing_header "missing-header"
    missing_scope "missing-scope"
    rate_limited "rate-limited"
    report_cut_off "report-cut-off"
    retry_storm "retry-storm"
    rotate_key "rotate-key"
    rotate_key_overlap "rotate-key-overlap"
    stale_caller "stale-caller"
    two_401s "two-401s"
    wrong_client_secret "wrong-client-secret"
    wrong_upstream "wrong-upstream"
}

#[test]
fn every_incident_has_a_test() {
    let rows = Desk::new().lab(&["scenario", "list", "--json"]).status(0).json();
    let rows = rows.as_array().expect("a list").iter().filter(|row| row["kind"] != "part");
    let names: Vec<&str> = rows.map(|row| row["name"].as_str().expect("a name")).collect();
    for name in &names {
        // `db-down` requires Docker.
        assert!(ALL.contains(name) || *name == "db-down", "{name} has no test");
    }
    assert_eq!(names.len(), ALL.len() + 1);
}
