//! Scenario files: invalid files with snapshots of their messages, and the examples in the documentation.

use std::fs;
use std::path::{Path, PathBuf};

use lab_scenario::{LoadOptions, Source, load};

/// The messages of each file are a snapshot, so that changes of a message are reviewed.
#[test]
fn every_mistake_has_its_place() {
    let folder = "tests/local/wrong";
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() > 20, "too few files in {folder}");
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let path = Path::new(folder).join(path.file_name().unwrap());
        let found = load(&Source::Path(path), &LoadOptions::default()).expect_err(&name);
        for item in found.items() {
            assert!(item.place.is_some(), "{name}: {item:?} has no place");
        }
        insta::with_settings!({ snapshot_path => "wrong/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, found.render(false));
        });
    }
}

/// Every YAML example in the documentation loads: whole scenarios as they are, steps within a scenario.
#[test]
fn the_examples_in_the_documentation_load() {
    let text = fs::read_to_string("docs/scenarios.md").unwrap();
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() > 8, "too few examples in docs/scenarios.md");
    for block in blocks {
        let steps = || format!("  {}", block.replace('\n', "\n  "));
        let text =
            if block.starts_with("- ") { format!("title: Example\nsteps:\n{}", steps()) } else { block.to_owned() };
        let source = Source::Text { name: "example.yaml".into(), text };
        if let Err(found) = load(&source, &LoadOptions::default()) {
            panic!("docs/scenarios.md:\n{block}\n\n{found}");
        }
    }
}

#[test]
fn the_documentation_describes_every_action() {
    let text = fs::read_to_string("docs/scenarios.md").unwrap();
    let wrong = "title: x\nsteps:\n  - trafficc: {}\n";
    let source = Source::Text { name: "x.yaml".into(), text: wrong.into() };
    let found = load(&source, &LoadOptions::default()).unwrap_err();
    let help = found.items()[0].help.join(" ");
    let keys: Vec<&str> = help.split('`').skip(1).step_by(2).collect();
    assert!(keys.contains(&"unpause"), "{help}");
    for key in keys {
        assert!(text.contains(&format!("{key}:")) || text.contains(&format!("`{key}`")), "`{key}` is not described");
    }
}
