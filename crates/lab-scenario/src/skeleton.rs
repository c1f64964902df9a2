//! [`skeleton`]: a scenario to begin one of your own from. It runs, and proves itself, as it is.

use super::value;

/// The schema's file beside it, which its first line names.
pub const SCHEMA_FILE: &str = "scenario.schema.json";

/// The scenario of the library that it includes: a file of that name would include itself.
pub const PART: &str = "baseline";

const TEXT: &str = include_str!("skeleton.yaml");

/// The text of a file for a scenario of this name; `typed`: how the file is named on the command line.
///
/// # Errors
/// What is wrong with the name.
pub fn skeleton(name: &str, typed: &str) -> Result<String, String> {
    value::scenario_name(name)?;
    Ok(TEXT.replace("NAME", name).replace("FILE", typed))
}

#[cfg(test)]
mod tests {
    use super::{PART, TEXT};

    #[test]
    fn it_includes_one_scenario_alone() {
        let included: Vec<&str> = TEXT.lines().filter_map(|line| line.trim().strip_prefix("- scenario: ")).collect();
        assert_eq!(included, [PART, PART]);
    }
}
