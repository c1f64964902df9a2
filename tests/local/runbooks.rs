//! The runbooks: each incident has a page, which the overview links to, with commands that `incidents` executes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::desk::Desk;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "docs", "runbooks"].iter().collect()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.md"))).unwrap_or_else(|error| panic!("{name}.md: {error}"))
}

/// Names of the incidents of the library: all scenarios that are not parts.
fn incidents(desk: &Desk) -> BTreeSet<String> {
    let rows = desk.lab(&["scenario", "list", "--json"]).status(0).json();
    let rows = rows.as_array().expect("a list");
    rows.iter()
        .filter(|row| row["kind"] != "part")
        .map(|row| row["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn every_incident_has_a_page_and_every_page_an_incident() {
    let incidents = incidents(&Desk::new());
    let files = std::fs::read_dir(folder()).expect("the folder is there").map(|file| file.expect("a file").file_name());
    let pages: BTreeSet<String> = files
        .filter_map(|file| file.to_str()?.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    assert_eq!(pages, incidents);
    let overview = page("README");
    for name in &incidents {
        let page = page(name);
        assert!(page.starts_with(&format!("# {name}: ")), "{name}");
        for section in ["\n## Diagnosis\n", "\n## Prevention\n"] {
            assert!(page.contains(section), "{name}: {section}");
        }
        assert!(page.contains("\n## Fix\n"), "{name}");
        assert!(overview.contains(&format!("[{name}]({name}.md)")), "{name} is not in the overview");
    }
}

#[test]
fn links_between_pages_are_valid() {
    for name in incidents(&Desk::new()).iter().map(String::as_str).chain(["README"]) {
        for link in page(name).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(folder().join(link).is_file(), "{name}.md refers to {link}");
        }
    }
}

#[test]
fn every_page_has_commands_that_diagnose_and_fix_its_incident() {
    for name in incidents(&Desk::new()) {
        let page = page(&name);
        for title in ["Diagnosis", "Fix"] {
            let section = page.split(&format!("\n## {title}\n")).nth(1).unwrap_or_default();
            let section = section.split("\n## ").next().unwrap_or_default();
            assert!(section.contains("\n    $ lab "), "{name}: {title}");
        }
        let steps = page.lines().filter(|line| line.starts_with("    - "));
        assert_eq!(steps.collect::<Vec<_>>(), [""; 0], "{name}: runbooks have commands, not steps of scenario files");
    }
}
