//! Built-in scenarios: one YAML file each in `scenarios/`, embedded in the binary.

/// One row per file; a test compares the rows with the folder.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/", $name, ".yaml")))),+]
    };
}

const SCENARIOS: &[(&str, &str)] = embedded![
    "rotate-key",
    "rotate-key-overlap",
    "stale-caller",
    "wrong-client-secret",
    "missing-header",
    "two-401s",
    "expired-key",
    "missing-scope",
    "rate-limited",
    "app-down",
    "app-slow",
    "report-cut-off",
    "bad-deploy",
    "wrong-upstream",
    "db-down",
    "db-frozen",
    "connection-pool-exhausted",
    "retry-storm",
    "blind",
    "baseline",
    "drive-traffic",
    "realign",
];

/// Names of all built-in scenarios; parts come last.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// Text of a scenario for a user's own folder. Its schema reference points to the file that `lab scenario new` writes
/// next to it.
pub fn file(name: &str) -> Option<String> {
    Some(get(name)?.replacen("$schema=../docs/", "$schema=./", 1))
}

/// Text of a scenario, with comments.
pub fn get(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
