//! Forms of the command line: habitual spellings, several scenarios, `--json`, and completions.

use serde_json::Value;

use crate::desk::Desk;

#[test]
fn habitual_spellings_lead_to_the_right_command() {
    let desk = Desk::new();
    desk.lab(&["help"]).status(0).says("First steps:");
    desk.lab(&["help", "up"]).status(0).says("Usage: lab up");
    desk.lab(&["help", "run"]).status(0).says("Usage: lab scenario run");
    desk.lab(&["version"]).status(0).says(env!("CARGO_PKG_VERSION"));
    desk.lab(&["rm", "room-2"]).status(2).complains("unknown command \"rm\"").complains("lab down");
    desk.lab(&["list"]).status(2).complains("lab status --all").complains("lab scenario list");
    desk.lab(&["exec", "app", "sh"]).status(2).complains("lab db query");
    desk.lab(&["rotate-key"]).status(2).complains("lab scenario run rotate-key");
    desk.lab(&["ev\u{1b}[2Jil"]).status(2).complains("unrecognized subcommand");
    desk.lab(&["scenario", "rotate-key"]).status(0).says("rotate-key ·");
    desk.lab(&["scenarios"]).status(0).says("stale-caller");
    desk.lab(&["run"]).status(2).complains("lab scenario list shows the names");
    desk.lab(&["start"]).status(2).complains("lab up starts all that are stopped");
    desk.lab(&["key", "rotate"]).status(2).complains("next: lab key rotate apikey-v2");
    desk.lab(&["report"]).status(2).complains("there are no runs yet");
    desk.lab(&["up", "app"]).status(2).complains("app is a service").complains("lab start|stop|restart app");
    desk.lab(&["down", "--all", "room-2"]).status(2).complains("cannot be used with");
}

#[test]
fn a_lab_can_be_a_positional_argument() {
    let desk = Desk::new();
    desk.lab(&["up", "room-2"]).status(0).says("lab room-2 is up");
    desk.lab(&["status", "room-2"]).status(0).says("gateway");
    desk.lab(&["ps", "-a"]).status(0).says("room-2");
    desk.lab(&["--name", "room-2", "ps"]).status(0).says("gateway");
    desk.lab(&["status", "room-2", "--name", "room-2"]).status(2).complains("cannot be used with");
    desk.lab(&["up"]).status(0);
    desk.lab(&["logs", "room-2"]).status(2).complains("unknown service").complains("--name room-2");
    desk.lab(&["stop", "room-2"]).status(2).complains("room-2 is a lab: select it with --name room-2");
    desk.lab(&["key"]).status(0).says("they match");
    desk.lab(&["traffic", "-n", "3", "--rate", "100/s", "-H", "X-A: b"]).status(0).says("3 requests");
    desk.lab(&["reset", "room-2"]).status(0);
    desk.lab(&["--name", "room-2", "set", "app", "APP_RATE_LIMIT=5/s"]).status(0);
    desk.lab(&["--name", "room-2", "revisions", "app"]).status(0).says("APP_RATE_LIMIT unset > 5/s");
    desk.lab(&["fix"]).status(2).complains("lab scenario check");
    desk.lab(&["down", "room-2"]).status(0).says("lab room-2 is down");
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

#[test]
fn one_wrong_parameter_is_one_error() {
    let desk = Desk::new();
    let result = desk.lab(&["scenario", "run", "rotate-key", "--set", "rate=abc"]).status(2);
    assert_eq!(result.stderr.matches("error").count(), 1, "{}", result.stderr);
    let result = desk.lab(&["scenario", "validate", "rotate-key", "--set", "rate=abc", "--json"]).status(2).json();
    assert_eq!(result[0]["diagnostics"].as_array().map(Vec::len), Some(1), "{result}");
}

#[test]
fn json_is_one_document_everywhere() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["run", "drive-traffic", "--set", "requests=2", "--json"]).status(0).json();
    let documents: [&[&str]; 19] = [
        &["status", "--json"],
        &["status", "--all", "--json"],
        &["key", "--json"],
        &["scenario", "--json"],
        &["scenario", "show", "rotate-key", "--json"],
        &["scenario", "show", "rotate-key", "--json", "--hints", "--solution"],
        &["scenario", "validate", "rotate-key", "--json"],
        &["scenario", "run", "rotate-key", "--dry-run", "--json"],
        &["scenario", "run", "rotate-key", "stale-caller", "--dry-run", "--json"],
        &["scenario", "prove", "drive-traffic", "--json"],
        &["runs", "--json"],
        &["runs", "show", "last", "--json"],
        &["runs", "report", "--json"],
        &["runs", "diff", "last", "last", "--json"],
        &["traffic", "-n", "2", "--json"],
        &["request", "--json"],
        &["db", "query", "SELECT 1", "--json"],
        &["metrics", "--json"],
        &["open", "--json"],
    ];
    for args in documents {
        desk.lab(args).status(0).json();
    }
    let shown = desk.lab(&["scenario", "show", "stale-caller", "--json"]).status(0).json();
    assert!(shown["ticket"].is_string() && shown["hints"].is_null() && shown["solution"].is_null(), "{shown}");
    let doctor: Value = serde_json::from_str(&desk.lab(&["doctor", "--json"]).stdout).expect("a document");
    assert!(doctor["checks"].as_array().is_some_and(|checks| checks.len() > 3), "{doctor}");
    let id = desk.lab(&["runs", "list", "--json"]).status(0).json()[0]["id"].as_str().expect("an id").to_owned();
    let journal = desk.lab(&["report", "--json", &id[id.len() - 4..]]).status(0).json();
    assert_eq!(journal["id"], *id, "the argument after --json is an id");
    desk.lab(&["report"]).status(0).says("# ");
}

#[test]
fn commands_that_change_a_lab_print_documents_too() {
    let desk = Desk::new();
    let up = desk.lab(&["up", "--port", "0", "--json"]).status(0).json();
    assert_eq!((&up["lab"], &up["outcome"], &up["engine"]), (&"default".into(), &"created".into(), &"embedded".into()));
    assert_eq!((&up["server_key"], &up["caller_key"]), (&"apikey-v1".into(), &"apikey-v1".into()), "{up}");
    assert_eq!(up["gateway"], desk.status()["gateway"]);
    assert!(up["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{up}");
    desk.lab(&["stop", "app"]).status(0);
    let up = desk.lab(&["up", "--json"]).status(0).json();
    assert_eq!((&up["outcome"], &up["recreated"]), (&"restarted".into(), &serde_json::json!(["app"])), "{up}");
    assert_eq!(desk.lab(&["up", "--json"]).status(0).json()["outcome"], "unchanged");

    let lines = desk.lab(&["logs", "gateway", "app", "--json"]).status(0).json();
    let lines = lines.as_array().expect("a list");
    assert!(lines.iter().any(|line| line["service"] == "app"), "{lines:?}");
    assert!(lines.iter().all(|line| line["text"].is_string() && line["service"] != "db"), "{lines:?}");
    assert_eq!(desk.lab(&["logs", "--json", "--tail", "0"]).status(0).json(), serde_json::json!([]));
    desk.lab(&["logs", "--json", "-f"]).status(2).complains("cannot be used with");

    assert_eq!(desk.lab(&["recover", "--json"]).status(0).json(), serde_json::json!([]));
    let until = ["run", "rotate-key", "--until", "observe", "--set", "requests=4", "--set", "rate=200"];
    desk.lab(&until).status(0);
    let up = desk.lab(&["up", "--json"]).status(0).complains("kept fault").json();
    assert_eq!((&up["outcome"], up["kept_fault"].is_string()), (&"kept_fault".into(), true), "{up}");
    let recovered = desk.lab(&["recover", "--json"]).status(0).json();
    let one = &recovered[0];
    assert_eq!(
        (&one["scenario"], &one["complete"], &one["removed"]),
        (&"rotate-key".into(), &true.into(), &false.into())
    );
    assert_eq!((&one["items"][0]["status"], &one["error"]), (&"undone".into(), &Value::Null), "{one}");

    let down = desk.lab(&["down", "--json"]).status(0).json();
    assert_eq!((&down["lab"], &down["removed"]), (&"default".into(), &true.into()), "{down}");
    assert_eq!(desk.lab(&["down", "--json"]).status(0).json()["removed"], false);
    assert_eq!(desk.lab(&["down", "--all", "--json"]).status(0).json(), serde_json::json!([]));
}

#[test]
fn a_command_without_its_service_lists_them() {
    let desk = Desk::new();
    desk.lab(&["env"]).status(3).complains("lab default does not exist").complains("lab up");
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["env"]).status(2).complains("this lab has gateway, app, db)").complains("next: lab env gateway");
    desk.lab(&["rollback"]).status(2).complains("this lab has gateway, app, db, callers)");
    desk.lab(&["env", "set"]).status(2).complains("lab env app shows");
    desk.lab(&["history"]).status(0).says("gateway").says("callers");
}

#[test]
fn scenarios_run_one_after_the_other() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let quick = ["--set", "requests=2"];
    let result = desk.lab(&[&["run", "drive-traffic", "baseline"], &quick[..]].concat()).status(0);
    result.says("drive-traffic").says("2 of 2 scenarios passed");
    let journals = desk.lab(&[&["run", "drive-traffic", "baseline", "--json"], &quick[..]].concat()).status(0).json();
    let names: Vec<&str> =
        journals.as_array().expect("a list").iter().filter_map(|it| it["scenario"].as_str()).collect();
    assert_eq!(names, ["drive-traffic", "baseline"], "{journals}");
    assert!(journals.as_array().expect("a list").iter().all(|journal| journal["lab"] == "default"), "{journals}");
    desk.write("wrong.yaml", "title: Wrong\nkind: part\nsteps:\n  - check: { path: /health, status: 503 }\n");
    let result = desk.lab(&["run", "wrong.yaml", "drive-traffic", "--set", "requests=2"]).status(2);
    result.complains("no parameter `requests`");
    let result = desk.lab(&["run", "wrong.yaml", "drive-traffic"]).status(1);
    result.says("1 of 2 scenarios passed");
    desk.lab(&["run", "baseline", "no-such-scenario"]).status(2).complains("no-such-scenario");
    desk.lab(&["run", "baseline", "drive-traffic", "--keep"]).status(2).complains("--keep takes one scenario");
    desk.lab(&["run", "baseline", "drive-traffic", "--report", "x.md"]).status(2).complains("lab runs report ID");
}

#[test]
fn completions_know_the_names() {
    let desk = Desk::new();
    let complete = |words: &[&str]| desk.lab(&[&["complete", "--"], words].concat()).status(0).stdout;
    assert_eq!(complete(&["stop", ""]), "gateway\napp\ndb\n", "without a lab");
    assert_eq!(complete(&["stop", "app", "g"]), "gateway\n");
    assert!(complete(&["scenario", "run", "rot"]).contains("rotate-key\n"));
    assert!(complete(&["run", "stale"]).contains("stale-caller\n"));
    assert_eq!(complete(&["runs", "show", ""]), "");
    assert_eq!(complete(&["--nme", ""]), "");
    assert_eq!(complete(&[]), "");
    desk.lab(&["up", "room-2"]).status(0);
    desk.lab(&["run", "drive-traffic", "--set", "requests=1"]).status(0);
    assert_eq!(complete(&["down", "r"]), "room-2\tembedded\n");
    assert_eq!(complete(&["--name", "room-2", "logs", "-f", "d"]), "db\n");
    let runs = complete(&["runs", "show", ""]);
    assert!(runs.lines().count() == 2 && runs.contains("last\tthe latest run"), "{runs}");
    std::fs::write(desk.state().join("labs/room-2/lab.json"), "{").expect("a writable path");
    assert_eq!(complete(&["--name", "room-2", "stop", "a"]), "app\n", "a damaged record is ignored");
    for shell in ["bash", "zsh", "fish"] {
        desk.lab(&["completions", shell]).status(0).says("lab complete -- ");
    }
}
