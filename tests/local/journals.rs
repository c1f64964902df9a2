//! Documents about recorded runs: reports, comparisons, and exports.

use crate::desk::Desk;
use crate::runs::quick;

/// Id of the latest run, and its last four characters, which commands accept.
fn newest(desk: &Desk) -> (String, String) {
    let id = desk.lab(&["runs", "list", "--json"]).json()[0]["id"].as_str().expect("an id").to_owned();
    let end = id[id.len() - 4..].to_owned();
    (id, end)
}

#[test]
fn reports_are_written_by_the_run_and_afterwards() {
    let desk = Desk::new();
    let reports =
        ["--report", "review.html", "--report", "ticket.md", "--report", "results.xml", "--report", "run.json"];
    let args = [&["rotate-key"][..], &reports].concat();
    desk.lab(&quick(&args)).status(0).complains("wrote review.html").complains("wrote run.json");
    let file =
        |name: &str| std::fs::read_to_string(desk.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let page = file("review.html");
    for part in [
        "API key mismatch (401 on every request)",
        "What customers saw",
        "<svg",
        "401 x5",
        "lab scenario run rotate-key",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(file("ticket.md").contains("5 of 15 requests failed"));
    assert!(file("results.xml").contains("<testcase name=\"drive-traffic\" classname=\"lab.rotate-key\""));
    let journal: serde_json::Value = serde_json::from_str(&file("run.json")).expect("a document");
    assert_eq!(journal["steps"][2]["samples"][0]["codes"]["401"], 5);
    let (_, end) = newest(&desk);
    let forms = ["--html", "again.html", "--markdown", "again.md", "--junit", "again.xml", "--json", "-"];
    let result = desk.lab(&[&["runs", "report", &end][..], &forms].concat()).status(0);
    for (first, again) in [("review.html", "again.html"), ("ticket.md", "again.md"), ("results.xml", "again.xml")] {
        assert_eq!(file(first), file(again), "{first}");
    }
    assert_eq!(result.stdout, file("run.json"));
    desk.lab(&["runs", "report", &end]).status(2).complains("--html");
    desk.lab(&["runs", "report", &end, "--html", "no/such/folder.html"]).status(3).complains("no/such/folder.html");
    desk.lab(&["runs", "report", &end, "--html", "-", "--json", "-"]).status(2).complains("only one");
}

#[test]
fn a_run_does_not_start_if_its_report_cannot_be_written() {
    let desk = Desk::new();
    desk.lab(&quick(&["rotate-key", "--report", "run.pdf"])).status(2).complains("run.pdf").complains(".html");
    desk.lab(&quick(&["rotate-key", "--report", "no/such/run.html"])).status(3).complains("no/such/run.html");
    desk.lab(&["runs", "list"]).status(0).says("there are no runs yet");
}

#[test]
fn two_runs_are_compared() {
    let desk = Desk::new();
    desk.lab(&quick(&["rotate-key"])).status(0);
    let (_, one) = newest(&desk);
    desk.lab(&["scenario", "run", "rotate-key", "--set", "requests=8", "--set", "rate=200"]).status(0);
    let (id, other) = newest(&desk);
    let result =
        desk.lab(&["runs", "diff", &one, &other]).status(0).says("401 x5").says("401 x8").says("--set requests");
    assert!(result.stdout.lines().all(|line| line.chars().count() <= 80), "{}", result.stdout);
    let json = desk.lab(&["runs", "diff", &one, &other, "--json"]).status(0).json();
    assert_eq!(json["runs"][1]["id"], id.as_str());
    assert_eq!(json["steps"][2]["runs"][1]["failed_requests"], 8);
    desk.lab(&["runs", "diff", &one, "zzzz"]).status(2).complains("zzzz");
}

#[test]
fn a_run_is_exported_and_imported() {
    let (desk, other) = (Desk::new(), Desk::new());
    desk.lab(&quick(&["rotate-key"])).status(0);
    let (id, end) = newest(&desk);
    let file = other.path().join("room.run").display().to_string();
    desk.lab(&["runs", "export", &end, &file]).status(0).complains("room.run");
    other.lab(&["runs", "import", "room.run"]).status(0).says(&format!("run {end} · rotate-key"));
    let show = ["runs", "show", &end];
    assert_eq!(other.lab(&show).status(0).stdout, desk.lab(&show).status(0).stdout);
    let journal =
        |desk: &Desk| std::fs::read(desk.state().join("runs").join(&id).join("journal.json")).expect("it exists");
    assert_eq!(journal(&other), journal(&desk));
    let run = other.state().join("runs").join(&id);
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).expect("it exists")) & 0o777
    };
    assert_eq!(mode(&run), 0o700);
    for file in ["events.ndjson", "journal.json"] {
        assert_eq!(mode(&run.join(file)), 0o600, "{file}");
    }
    other.lab(&["runs", "import", "room.run"]).status(0).complains("already");
    // An import never overwrites another run.
    let text = std::fs::read_to_string(&file).expect("it exists");
    let body = text.split_once('\n').expect("it has a head").1.replace("API key mismatch", "API key mistaken");
    let head =
        |id: &str, bytes: usize| format!("{{\"file\":\"lab run\",\"version\":1,\"id\":\"{id}\",\"bytes\":{bytes}}}\n");
    let refused = |text: String, code: i32, why: &str| {
        let file = other.write("odd.run", &text);
        other.lab(&["runs", "import", &file]).status(code).complains(why);
        assert_eq!(other.lab(&show).status(0).stdout, desk.lab(&show).status(0).stdout, "{why}");
    };
    refused(head(&id, body.len()) + &body, 2, "another run");
    refused(text[..text.len() - 20].to_owned(), 2, "damaged");
    refused(head("../../evil", body.len()) + &body, 2, "not a run id");
    refused(head("20260101T000000Z-beef", body.len()) + &body, 2, "its header names");
    refused(head(&id, 3) + "{}\n", 2, "not those of one complete run");
    refused("{\"file\":\"lab run\",\"version\":99,\"id\":\"x\",\"bytes\":0}\n".to_owned(), 2, "newer version");
    refused(String::new(), 2, "not a run");
    assert_eq!(other.path().read_dir().expect("readable").count(), 3, "the state folder and two files");
    let left: Vec<_> = other.state().read_dir().expect("readable").flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "labs" || name == "runs"), "{left:?}");
}
