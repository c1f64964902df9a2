//! `lab request`, `lab db query` and `lab open` on a lab of the embedded engine.

use std::process::Stdio;

use rustix::process::Signal;

use crate::desk::Desk;
use crate::support::until;

#[test]
fn a_request_shows_the_whole_response() {
    let desk = Desk::new();
    desk.lab(&["request"]).status(3).complains("lab up");
    desk.lab(&["up", "--port", "0"]).status(0);
    let result = desk.lab(&["request"]).status(0).says("HTTP/1.1 200 OK").says("content-type: application/json");
    assert!(result.stdout.contains("\n\n["), "no empty line before the body: {}", result.stdout);
    desk.lab(&["request", "health", "-i", "-s"]).status(0).says("HTTP/1.1 200 OK");
    desk.lab(&["request", "--key", "wrong"]).status(0).says("HTTP/1.1 401 Unauthorized");
    desk.lab(&["request", "--no-key"]).status(0).says("HTTP/1.1 401");
    desk.lab(&["request", "-H", "X-API-Key: wrong"]).status(0).says("HTTP/1.1 401");
    desk.lab(&["request", "/nothing"]).status(0).says("HTTP/1.1 404");
    desk.lab(&["request", "-X", "post", "-d", "{}", "/api/users"]).status(0).says("HTTP/1.1 405");
    let json = desk.lab(&["request", "--json", "--key", "wrong"]).status(0).json();
    assert_eq!((&json["status"], &json["reason"]), (&401.into(), &"Unauthorized".into()), "{json}");
    assert!(json["body"].as_str().is_some_and(|body| body.contains("error")), "{json}");

    desk.lab(&["stop", "app"]).status(0);
    desk.lab(&["request"]).status(0).says("HTTP/1.1 502 Bad Gateway");
    desk.lab(&["start", "app"]).status(0);
    desk.lab(&["pause", "gateway"]).status(0);
    desk.lab(&["request", "--timeout", "200ms"]).status(3).complains("timeout after 200ms");
    let result = desk.lab(&["request", "--timeout", "200ms", "--json"]).status(3);
    let json: serde_json::Value = serde_json::from_str(&result.stdout).expect("one document");
    assert_eq!((&json["status"], &json["error"]), (&serde_json::Value::Null, &"timeout after 200ms".into()), "{json}");
    desk.lab(&["unpause", "gateway"]).status(0);
    desk.lab(&["kill", "gateway"]).status(0);
    desk.lab(&["request"]).status(3).complains("connection refused");
}

#[test]
fn requests_that_cannot_be_sent_are_refused() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for (args, why) in [
        (&["http://example.com/"] as &[_], "is not an address of the lab's gateway"),
        (&["/a b"], "expected visible ASCII"),
        (&["-X", "BREW"], "--method: expected one of"),
        (&["-H", "no colon"], "has no colon"),
        (&["-H", "Content-Length: 5"], "lab sets this header itself"),
        (&["--key", "a b"], "--key: a key is"),
        (&["--key", "a", "--no-key"], "cannot be used with"),
        (&["-d", "@/no/such/file"], "--data: cannot read /no/such/file"),
        (&["--timeout", "soon"], "--timeout: expected a duration"),
    ] {
        desk.lab(&[&["request"], args].concat()).status(2).complains(why);
    }
}

#[test]
fn samples_of_bodies_show_why_requests_fail() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let result = desk.lab(&["traffic", "-n", "4", "--rate", "100", "--key", "apikey-v1", "--key", "wrong"]).status(0);
    result.says("sample body").says("{\"error\":");
    let json = desk.lab(&["traffic", "-n", "2", "--key", "wrong", "--json"]).status(0).json();
    let sample = &json["samples"]["401"];
    assert!(sample["body"].as_str().is_some_and(|body| body.contains("error")), "{json}");
    assert_eq!(sample["truncated"], false, "{json}");
}

#[test]
fn the_database_is_queried() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let query = |args: &[&str]| desk.lab(&[&["db", "query"], args].concat());
    query(&["SELECT id, name FROM users ORDER BY id"]).status(0).says("name").says("rows, ");
    let csv = query(&["SELECT 1 AS n, NULL AS missing, 'a,b' AS text", "--csv"]).status(0);
    assert_eq!(csv.stdout, "n,missing,text\n1,,\"a,b\"\n");
    let json = query(&["SELECT 1 AS n, NULL AS missing", "--json"]).status(0).json();
    assert_eq!((&json["rows"][0]["n"], json["rows"][0]["missing"].is_null()), (&"1".into(), true), "{json}");

    query(&["DELETE FROM users"]).status(2).complains("changes the database").complains("--write");
    query(&["WITH x AS (SELECT 1) DELETE FROM users"]).status(2).complains("--write");
    query(&["UPDATE users SET name = 'x' WHERE id = 1", "--write"]).status(0).says("1 row changed");
    query(&["UPDATE missing SET name = 'x'", "--write"]).status(2).complains("SQL: no such table");
    // Statements that change the data are recorded.
    let history = desk.lab(&["history", "db"]).status(0);
    let history = history.says("SQL: UPDATE users SET").says("failed: SQL: UPDATE missing");
    assert_eq!(history.stdout.matches("SQL: ").count(), 2, "{}", history.stdout);
    query(&["SELECT 1; SELECT 2"]).status(2).complains("expected one statement, got 2");
    query(&["/* nothing */"]).status(2).complains("there is no SQL statement");
    query(&["SELEC 1"]).status(2).complains("SQL: near \"SELEC\"");
    query(&["ATTACH '/tmp/x.db' AS x"]).status(2).complains("ATTACH is not allowed");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT";
    query(&[&format!("{endless} i FROM n"), "--rows", "3", "--csv"]).status(0).complains("only the first 3 rows");
    query(&[&format!("{endless} count(*) FROM n"), "--timeout", "200ms"]).status(3).complains("canceled after 0.2 s");

    let mut piped = desk.command(&["db", "query", "-", "--csv"]);
    std::fs::write(desk.path().join("query.sql"), "SELECT 2 AS n;\n").expect("a writable path");
    piped.stdin(Stdio::from(std::fs::File::open(desk.path().join("query.sql")).expect("it exists")));
    assert_eq!(Desk::run(&["db", "query", "-"], piped).status(0).stdout, "n\n2\n");

    desk.lab(&["pause", "db"]).status(0);
    query(&["SELECT 1 FROM users"]).status(3).complains("the database is locked").complains("lab unpause db");
    desk.lab(&["unpause", "db"]).status(0);
    query(&["SELECT 1 FROM users"]).status(0);
}

#[test]
fn ctrl_c_cancels_a_query() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let running = desk.start(&["db", "query", endless, "--timeout", "10m"]);
    until(|| running.catches(Signal::INT));
    running.signal(Signal::INT);
    running.wait().status(130);
}

#[test]
fn pages_are_opened_and_printed() {
    let desk = Desk::new();
    desk.lab(&["open"]).status(3).complains("does not exist");
    desk.lab(&["up", "--port", "0"]).status(0);
    let url = desk.lab(&["open", "--print"]).status(0).says("http://127.0.0.1:").stdout;
    let opened = desk.path().join("opened");
    let script =
        desk.write("browser", &format!("#!/bin/sh\necho \"$1\" > {0}.new && mv {0}.new {0}\n", opened.display()));
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a writable path");
    let mut open = desk.command(&["open"]);
    open.env("BROWSER", &script);
    assert_eq!(Desk::run(&["open"], open).status(0).stdout, url);
    until(|| opened.exists());
    assert_eq!(std::fs::read_to_string(&opened).expect("it was opened"), url);
    let mut broken = desk.command(&["open"]);
    broken.env("BROWSER", "/no/such/browser");
    Desk::run(&["open"], broken).status(0).says(url.trim()).complains("no browser was opened");
    desk.lab(&["open", "prometheus"]).status(3).complains("serves no Prometheus");
    desk.lab(&["open", "dashboard", "7f3a"]).status(2).complains("lab open report ID");
    desk.lab(&["run", "drive-traffic", "--set", "requests=1"]).status(0);
    let report = desk.lab(&["open", "report", "--print"]).status(0).stdout;
    let path = report.trim().strip_prefix("file://").expect("an address of a file");
    assert!(std::fs::read_to_string(path).expect("it is written").contains("<html"));
}
