//! `lab scenario list` and `lab scenario show`.

use crate::desk::Desk;

#[test]
fn the_list_fits_a_narrow_terminal() {
    let desk = Desk::new();
    let mut command = desk.command(&["scenario", "list"]);
    command.env("COLUMNS", "80");
    let result = Desk::run(&["scenario", "list"], command).status(0).says("incident · beginner").says("  rotate-key ");
    for line in result.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    // The longest name is not truncated.
    result.says("\n  connection-pool-exhausted ");
    let rows = desk.lab(&["scenario", "list", "--json"]).status(0).json();
    let rows = rows.as_array().expect("a list");
    let rotate_key = rows.iter().find(|row| row["name"] == "rotate-key").expect("it exists");
    assert_eq!((&rotate_key["kind"], &rotate_key["difficulty"]), (&"incident".into(), &"beginner".into()));
    assert!(rows.iter().any(|row| row["kind"] == "part" && row["difficulty"].is_null()), "{rows:?}");
}

#[test]
fn the_ticket_does_not_reveal_the_cause() {
    let desk = Desk::new();
    let result = desk.lab(&["scenario", "show", "rotate-key"]).status(0).says("ticket").says("symptom");
    for spoiler in ["rotated", "lab key", "apikey-v2", "rotate_key", "put-the-old-key-back"] {
        assert!(!result.stdout.contains(spoiler), "{spoiler}:\n{}", result.stdout);
    }
    let result = desk.lab(&["scenario", "show", "rotate-key", "--hints"]).status(0).says("  1. ").says("lab key show");
    assert!(!result.stdout.contains("lab key align"), "{}", result.stdout);
    let result = desk.lab(&["scenario", "show", "rotate-key", "--solution"]).status(0);
    result.says("lab key align").says("put-the-old-key-back").says("new_key").says("rotate_key").says("auth_failures");
}

#[test]
fn a_printed_source_refers_to_a_schema_in_the_same_folder() {
    let desk = Desk::new();
    for name in ["rotate-key", "baseline"] {
        let result = desk.lab(&["scenario", "show", name, "--source"]).status(0);
        let line = "# yaml-language-server: $schema=./scenario.schema.json\n";
        assert!(result.stdout.starts_with(line), "{}", result.stdout);
        assert!(!result.stdout.contains("../docs"), "{}", result.stdout);
        let result = result.complains("lab scenario schema > scenario.schema.json");
        desk.write("mine.yaml", &result.stdout);
        desk.lab(&["scenario", "validate", "mine.yaml"]).status(0);
        // A file is printed unchanged.
        desk.write("other.yaml", "# yaml-language-server: $schema=../docs/scenario.schema.json\n");
        let result = desk.lab(&["scenario", "show", "./other.yaml", "--source"]).status(0).says("../docs");
        assert_eq!(result.stderr, "");
    }
}

#[test]
fn a_part_is_shown_completely() {
    let desk = Desk::new();
    desk.lab(&["scenario", "show", "baseline"]).status(0).says("status.200 == 100%").says("requests   40");
}

#[test]
fn a_short_value_is_checked_like_a_default() {
    let desk = Desk::new();
    let text = "title: T\nparameters: { n: { default: 4, short: none } }\nsteps: [{ traffic: { requests: '${n}' } }]\n";
    let file = desk.write("short.yaml", text);
    desk.lab(&["scenario", "validate", &file]).status(2).complains("`requests` is `none`").complains("short.yaml:2:39");
}
