//! [`skeleton`]: the file written by `lab scenario new`. It runs and passes its proof unchanged.

use super::{Expected, value};

/// Name of the schema file, which the first line of the skeleton refers to.
pub const SCHEMA_FILE: &str = "scenario.schema.json";

/// Library scenario that the skeleton includes. A file with this name would include itself.
pub const PART: &str = "baseline";

const TEXT: &str = include_str!("skeleton.yaml");

/// Returns the text for a scenario called `name`; `typed` is its path on the command line.
///
/// # Errors
/// The name is invalid.
pub fn skeleton(name: &str, typed: &str) -> Result<String, Expected> {
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
