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

#[test]
fn a_lesson_that_would_spoil_a_drill_is_not_valid() {
    let desk = Desk::new();
    let steps = "steps: [{ stop: app }, { start: app }]\n";
    let lesson = "title: T\ndiagnosis: { where: app, what: does not run }\nticket: Is your app running?\n";
    let file = desk.write("spoiled.yaml", &format!("{lesson}{steps}"));
    let ran = desk.lab(&["scenario", "validate", &file]).status(2);
    ran.complains("the ticket gives the diagnosis away: it contains `app`").complains("spoiled.yaml:3:17");
    let told = desk.lab(&["scenario", "validate", &file, "--json"]).status(2).json();
    assert_eq!((&told[0]["valid"], &told[0]["diagnostics"][0]["line"]), (&false.into(), &3.into()));
    // A run needs no lesson.
    desk.lab(&["scenario", "run", &file, "--dry-run"]).status(0);
}

#[test]
fn every_value_that_a_drill_may_draw_is_checked() {
    let desk = Desk::new();
    let file = |vary: &str| {
        let parameter = format!("parameters: {{ n: {{ default: 4, vary: {vary} }} }}");
        desk.write("varied.yaml", &format!("title: T\n{parameter}\nsteps: [{{ traffic: {{ requests: '${{n}}' }} }}]\n"))
    };
    desk.lab(&["scenario", "validate", &file("[4, 5, 6]")]).status(0);
    let ran = desk.lab(&["scenario", "validate", &file("[4, 5, none]")]).status(2);
    ran.complains("`requests` is `none`").complains("drawn from the parameter's `vary`");
    desk.lab(&["scenario", "validate", &file("[4, 5, none]"), "--set", "n=3"]).status(0);
    desk.lab(&["scenario", "show", &file("[4, 5, 6]"), "--solution"])
        .status(0)
        .says("in a drill")
        .says("`4`, `5`, `6`");
}

#[test]
fn the_solution_has_the_diagnosis_and_every_fix() {
    let desk = Desk::new();
    let ran = desk.lab(&["scenario", "show", "rotate-key", "--solution", "--hints"]).status(0);
    ran.says("caller / credential out of date").says("accept-both-keys-for-a-while: app redeployed").says("(20 %)");
    let shown = desk.lab(&["scenario", "show", "rotate-key", "--solution", "--hints", "--json"]).status(0).json();
    let (hint, solution) = (&shown["hints"][0], &shown["solution"]);
    assert_eq!((&hint["about"], &hint["cost"]), (&"Up or down".into(), &10.into()));
    assert_eq!((shown["par"]["mitigate"].as_f64(), &solution["diagnosis"]["where"]), (Some(300.0), &"caller".into()));
    assert_eq!(solution["other_fixes"][0], "accept-both-keys-for-a-while");
    assert_eq!(solution["varied"]["new_key"], "a new key");
    let public = desk.lab(&["scenario", "show", "rotate-key", "--json"]).status(0).json();
    assert!(public["solution"].is_null() && public["hints"].is_null(), "{public:?}");
}
