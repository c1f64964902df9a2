//! The scenarios that come with `lab`: one YAML file each in `scenarios/`, embedded in the binary.

/// One row a file; a test compares it with the folder.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/", $name, ".yaml")))),+]
    };
}

const SCENARIOS: &[(&str, &str)] = embedded!["rotate-key", "baseline", "drive-traffic", "realign"];

/// The names, the stories before their parts.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// The text of a scenario, with its comments.
pub fn get(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
