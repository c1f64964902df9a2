//! Authoring a scenario: template, validation, dry run, run and proof; and a run that first undoes the changes of an interrupted
//! run.

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::Desk;

#[test]
fn a_new_scenario_is_valid_and_its_proof_passes() {
    let desk = Desk::new();
    let result = desk.lab(&["scenario", "new", "slow-login"]).status(0);
    result.says("wrote slow-login.yaml").says("scenario.schema.json").says("next: lab scenario run slow-login.yaml");
    let text = std::fs::read_to_string(desk.path().join("slow-login.yaml")).expect("it was written");
    assert!(text.starts_with("# yaml-language-server: $schema=./scenario.schema.json\n"), "{text}");
    assert!(!text.contains("NAME") && !text.contains("FILE"), "{text}");
    desk.lab(&["scenario", "validate", "slow-login.yaml"]).status(0).says("ok  slow-login (5 steps)");
    let short = ["--set", "requests=10", "--set", "rate=100"];
    let run: Vec<&str> = ["scenario", "run", "./slow-login.yaml"].into_iter().chain(short).collect();
    desk.lab(&run).status(0).says("502 x10").says("passed · 5 steps");
    desk.lab(&["scenario", "prove", "slow-login.yaml"]).status(0).says("proven").says("1 wrong fix");
    desk.assert_clean();
}

#[test]
fn a_new_scenario_is_written_to_the_given_path_and_overwrites_nothing() {
    let desk = Desk::new();
    desk.lab(&["scenario", "new", "one", "--out", "incidents/"]).status(0).says("wrote incidents/one.yaml");
    desk.lab(&["scenario", "new", "two", "--out", "incidents"]).status(0).says("wrote incidents/two.yaml");
    desk.lab(&["scenario", "new", "three", "--out", "other.yml"]).status(0).says("wrote other.yml");
    let path = desk.path().join("incidents/one.yaml");
    std::fs::write(&path, "mine").expect("a writable path");
    desk.lab(&["scenario", "new", "one", "--out", "incidents"]).status(2).complains("exists already");
    assert_eq!(std::fs::read_to_string(&path).expect("it exists"), "mine");
    desk.lab(&["scenario", "new", "a/b"]).status(2).complains("invalid scenario name").complains("--out");
    desk.lab(&["scenario", "new", "x.yaml"]).status(2).complains("without extension: `x`");
    // A file named `baseline` would shadow the scenario that it includes.
    desk.lab(&["scenario", "new", "baseline"]).status(2).complains("would include itself").complains("my-baseline");
    desk.lab(&["scenario", "new", "x", "--out", "baseline.yaml"]).status(2).complains("would include itself");
    assert!(!desk.path().join("baseline.yaml").exists());
}

#[test]
fn folders_are_validated_with_mistakes_as_json() {
    let desk = Desk::new();
    desk.lab(&["scenario", "new", "good", "--out", "incidents/"]).status(0);
    desk.lab(&["scenario", "validate", "incidents"]).status(0).says("ok  good");
    std::fs::write(desk.path().join("incidents/bad.yaml"), "title: T\nsteps:\n  - stopp: app\n")
        .expect("a writable path");
    desk.lab(&["scenario", "validate", "incidents/"]).status(2).says("ok  good").complains("bad.yaml:3:5");
    let json = desk.lab(&["scenario", "validate", "incidents", "rotate-key", "--json"]).status(2).json();
    let json = json.as_array().expect("a list");
    let names: Vec<&str> = json.iter().filter_map(|one| one["scenario"].as_str()).collect();
    assert_eq!(names, ["incidents/bad.yaml", "incidents/good.yaml", "rotate-key"]);
    assert_eq!((&json[1]["valid"], &json[1]["steps"]), (&true.into(), &5.into()));
    let mistake = &json[0]["diagnostics"][0];
    let place = ["line", "column", "end_line", "end_column"].map(|key| mistake[key].as_u64());
    assert_eq!(place, [Some(3), Some(5), Some(3), Some(10)]);
    assert_eq!(mistake["file"], "incidents/bad.yaml");
    assert_eq!(mistake["message"], "unknown key `stopp` in a step");
    assert_eq!(mistake["expected"], "did you mean `stop`?");
    assert!(mistake["hint"].as_str().is_some_and(|hint| hint.contains("the keys of a step")), "{mistake}");
    desk.lab(&["scenario", "validate", "."]).status(2).complains("contains no scenario");
    // Values from the command line do not appear in the file.
    let set = desk.lab(&["scenario", "validate", "rotate-key", "--set", "x=1", "--json"]).status(2).json();
    assert_eq!(set[0]["diagnostics"][0]["line"], Value::Null);
}

#[test]
fn a_dry_run_describes_the_run_and_starts_nothing() {
    let desk = Desk::new();
    let args = ["scenario", "run", "rotate-key", "--dry-run", "--set", "requests=10"];
    let result = desk.lab(&args).status(0).says("would run in a temporary lab · embedded").says("new_key apikey-v2");
    let result =
        result.says("30 requests in 1.4s of traffic and waits").says("the temporary lab is removed after the run");
    assert!(result.stdout.lines().all(|line| line.chars().count() <= 80), "{}", result.stdout);
    assert!(
        !desk.state().join("runs").exists() || std::fs::read_dir(desk.state().join("runs")).expect("runs").count() == 0
    );
    desk.assert_clean();

    desk.lab(&["up", "--port", "0"]).status(0);
    let before = desk.status();
    let json =
        desk.lab(&["scenario", "run", "rotate-key", "--dry-run", "--json", "--until", "rotate-key"]).status(0).json();
    assert_eq!((&json["lab"], &json["engine"], &json["kept"]), (&"default".into(), &"embedded".into(), &true.into()));
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["steps"][1]["what"], "app redeployed, the server expects apikey-v2");
    let json = desk.lab(&["scenario", "run", "rotate-key", "--dry-run", "--json"]).status(0).json();
    let undo: Vec<&str> =
        json["undo"].as_array().expect("a list").iter().filter_map(|item| item["target"].as_str()).collect();
    assert_eq!(undo, ["caller", "app"]);
    assert_eq!(desk.status()["services"], before["services"]);
    desk.lab(&["scenario", "run", "db-down", "--dry-run"]).status(2).complains("cannot run on the embedded engine");
}

#[test]
fn a_dry_run_shows_commands_without_permission_and_masks_secrets() {
    let desk = Desk::new();
    let text = "title: T\nkind: part\nparameters: { token: { default: hush-hush, secret: true } }\nsteps:\n  \
                - { name: fix, run: { command: [echo, \"${token}\"] } }\n";
    let file = desk.write("commands.yaml", text);
    let result = desk.lab(&["scenario", "run", &file, "--dry-run"]).status(0);
    let result = result.says("on this machine: echo ***").says("add --allow-commands");
    assert!(!result.stdout.contains("hush"), "{}", result.stdout);
}

#[test]
fn a_pending_undo_refuses_a_run_or_is_done_first() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let short = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100"];
    let mut run = desk.start(&["scenario", "run", "rotate-key", "--set", "requests=10", "--format", "ndjson"]);
    let mut lines = run.lines();
    lines.find(|line| line.contains("step_finished") && line.contains("\"rotate-key\"")).expect("the key was rotated");
    run.signal(Signal::KILL);
    run.wait();
    desk.lab(&["status"]).says("apikey-v2");
    desk.lab(&short).status(3).complains("is pending").complains("--recover");
    desk.lab(&["scenario", "run", "rotate-key", "--dry-run"]).status(0).says("is pending").says("--recover");
    let with: Vec<&str> = short.into_iter().chain(["--recover", "--format", "json"]).collect();
    let result = desk.lab(&with).status(0).complains("undoing run").complains("is restored");
    // stdout contains only the output of the run.
    assert_eq!(result.json()["status"], "passed");
    // Without a pending undo, --recover has no effect.
    desk.lab(&with).status(0);
    desk.lab(&["recover"]).status(0).says("nothing to undo");
}
