//! The JSON schema and the reference of scenario files: they are current, the library conforms to them, and the schema refuses the
//! mistakes that a schema can express.

use std::fs;
use std::path::PathBuf;

use lab_scenario::{LoadOptions, Source, library, load};
use serde_json::Value;

use crate::desk::Desk;

/// The first line of every file in `scenarios/`.
const MODELINE: &str = "# yaml-language-server: $schema=../docs/scenario.schema.json";

/// Validator for the schema that `lab scenario schema` prints.
pub(crate) struct Checker(jsonschema::Validator);

impl Checker {
    pub(crate) fn new() -> Self {
        let schema = serde_json::from_str(&printed(&[])).expect("JSON");
        Self(jsonschema::draft7::new(&schema).expect("a schema"))
    }

    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let text = text.trim_start_matches('\u{feff}');
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        self.0.validate(&value).map_err(|error| format!("{}: {error}", error.instance_path()))
    }
}

fn printed(more: &[&str]) -> String {
    let args: Vec<&str> = ["scenario", "schema"].iter().chain(more).copied().collect();
    Desk::new().lab(&args).status(0).stdout
}

#[track_caller]
fn assert_current(path: &str, more: &[&str]) {
    let (committed, generated) = (fs::read_to_string(path).unwrap_or_default(), printed(more));
    assert!(committed == generated, "{path} is not current: lab scenario schema {} > {path}", more.join(" "));
}

#[test]
fn the_schema_and_the_reference_are_current() {
    assert_current("docs/scenario.schema.json", &[]);
    assert_current("docs/scenario-reference.md", &["--format", "markdown"]);
}

#[test]
fn every_file_of_the_library_names_and_matches_the_schema() {
    let checker = Checker::new();
    for name in library::names() {
        let text = library::get(name).expect("just listed");
        assert_eq!(text.lines().next(), Some(MODELINE), "{name}");
        checker.check(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Mistakes that involve parameters, included files or other steps can only be found by the loader.
#[test]
fn the_schema_refuses_what_it_can_see() {
    let checker = Checker::new();
    let folder = fs::read_dir("tests/local/wrong").expect("the folder").flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        folder.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    let verdict = |path: &PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned();
        let seen = if checker.check(&text).is_err() { "refused" } else { "not seen" };
        format!("{}: {seen}", path.file_stem().expect("a name").to_string_lossy())
    };
    let verdicts: Vec<String> = files.iter().map(verdict).collect();
    insta::assert_snapshot!(verdicts.join("\n"));
}

#[test]
fn the_examples_of_the_reference_load() {
    let page = printed(&["--format", "markdown"]);
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(blocks.len() > 8, "too few examples in the reference");
    for block in blocks {
        let text = format!("title: Example\nsteps:\n  {}\n", block.replace('\n', "\n  "));
        let source = Source::Text { name: "example.yaml".into(), text };
        if let Err(found) = load(&source, &LoadOptions::default()) {
            panic!("{block}\n\n{found}");
        }
    }
}
