//! The scenarios that come with `lab`: one YAML file each in `scenarios/`, embedded in the binary.

/// One row a file; a test compares it with the folder.
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
    "expired-key",
    "missing-scope",
    "rate-limited",
    "app-down",
    "app-slow",
    "bad-deploy",
    "wrong-upstream",
    "db-down",
    "db-frozen",
    "connection-pool-exhausted",
    "blind",
    "baseline",
    "drive-traffic",
    "realign",
];

/// The names, the stories before their parts.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// The text of a scenario as a file of one's own: its first line names the schema where `lab scenario new` puts it, beside it.
pub fn file(name: &str) -> Option<String> {
    Some(get(name)?.replacen("$schema=../docs/", "$schema=./", 1))
}

/// The text of a scenario, with its comments.
pub fn get(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
