//! `lab db query` and `lab request` on a lab of containers, and the rights of the database's roles.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::command::CommandOutput;
use crate::support::{docker, write_small_stack};

/// Time for a session to appear in, or to leave, `pg_stat_activity`.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_database_is_queried_and_not_changed,
        an_endless_statement_is_canceled_in_the_database,
        a_database_of_an_earlier_version_serves_the_app_but_no_queries,
    ]
}

fn up(test: &str) -> Cli {
    let user = Cli::new(test);
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0);
    user
}

fn query(user: &Cli, args: &[&str]) -> CommandOutput {
    user.lab(&[&["db", "query"], args].concat())
}

/// `psql` in the database's container as a role. Returns whether it succeeded, and its output.
fn psql(user: &Cli, role: &str, sql: &str) -> (bool, String) {
    let container = format!("lab-{}-db-1", user.name);
    let args = ["exec", &container, "psql", "-X", "-A", "-t", "-U", role, "-d", "postgres", "-c", sql];
    let output = std::process::Command::new("docker").args(args).output().expect("docker runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

async fn the_database_is_queried_and_not_changed() {
    let user = up("query");
    query(&user, &["SELECT id, name FROM users ORDER BY id"]).status(0).says("name").says("rows, ");
    let csv = query(&user, &["SELECT 1 AS n, NULL AS nothing, '' AS empty, E'a,\"b\"\\nc' AS text -- all", "--csv"]);
    assert_eq!(csv.status(0).stdout, "n,nothing,empty,text\n1,,\"\",\"a,\"\"b\"\"\nc\"\n");
    let json = query(&user, &["SHOW work_mem", "--json"]).status(0).json();
    assert!(json["rows"][0]["work_mem"].is_string(), "{json}");
    query(&user, &["EXPLAIN SELECT * FROM users"]).status(0).says("QUERY PLAN");
    query(&user, &["SELECT count(*) FROM pg_stat_activity WHERE usename = 'lab'", "--csv"]).status(0).says("count");

    for sql in [
        "DELETE FROM users",
        "WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone",
        "CREATE TABLE t (i int)",
    ] {
        query(&user, &[sql]).status(2).complains("--write");
    }
    query(&user, &["SET TRANSACTION READ WRITE"]).status(0);
    query(&user, &["COPY users TO PROGRAM 'id'"]).status(2).complains("COPY is not supported");
    query(&user, &["COPY users TO PROGRAM 'id'", "--write"]).status(2).complains("COPY is not supported");
    query(&user, &["\\! id"]).status(2).complains("psql's own commands are not supported");
    query(&user, &["SELECT 1; DELETE FROM users"]).status(2).complains("expected one statement, got 2");
    query(&user, &["SELECT pg_read_file('/etc/passwd')"]).status(2).complains("permission denied");
    query(&user, &["SELEC 1"]).status(2).complains("SQL: syntax error at or near \"SELEC\"");
    query(&user, &["UPDATE users SET name = 'x' WHERE id = 1", "--write"]).status(0).says("1 row changed");
    query(&user, &["UPDATE users SET name = 'y' WHERE id = 1 RETURNING name", "--write", "--csv"])
        .status(0)
        .says("name\ny");
    query(&user, &["SELECT name FROM users WHERE id = 1", "--csv"]).status(0).says("name\ny");

    // "Read-only" is enforced by the rights of the roles, not by settings of the session.
    let program = "COPY (SELECT 1) TO PROGRAM 'cat'";
    for role in ["viewer", "lab"] {
        let (done, text) = psql(&user, role, program);
        assert!(!done && text.contains("permission denied"), "{role}: {text}");
        let (done, text) = psql(&user, role, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
        assert_eq!((done, text.as_str()), (true, "f"), "{role}");
    }
    let write = "SET default_transaction_read_only = off; SET TRANSACTION READ WRITE; DELETE FROM users";
    let (done, text) = psql(&user, "viewer", write);
    assert!(!done && text.contains("permission denied for table users"), "{text}");

    user.lab(&["pause", "db"]).status(0);
    query(&user, &["SELECT 1"]).status(3).complains("it is paused").complains("lab unpause db");
    user.lab(&["unpause", "db"]).status(0);
    user.lab(&["stop", "db"]).status(0);
    query(&user, &["SELECT 1"]).status(3).complains("it is stopped").complains("lab start db");
    user.lab(&["start", "db"]).status(0);
    user.lab(&["request", "/health"]).status(0).says("HTTP/1.1 200 OK").says("content-type: application/json");
    user.finish();
}

/// Waits until the number of sessions with a running `pg_sleep` is as expected.
fn until_sleeping(user: &Cli, expected: &str) {
    let begun = Instant::now();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    loop {
        let (_, text) = psql(user, "postgres", sql);
        if text == expected {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "{text} sessions sleep, not {expected}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn an_endless_statement_is_canceled_in_the_database() {
    let user = up("endless");
    query(&user, &["SELECT pg_sleep(1000)", "--timeout", "500ms"]).status(3).complains("canceled after 0.5 s");
    until_sleeping(&user, "0");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT";
    query(&user, &[&format!("{endless} i FROM n"), "--rows", "3", "--csv"])
        .status(0)
        .complains("only the first 3 rows");
    query(&user, &[&format!("{endless} count(*) FROM n"), "--timeout", "500ms"]).status(3).complains("canceled");
    let unlimited = "SELECT set_config('statement_timeout', '0', false), pg_sleep(1000)";
    query(&user, &[unlimited, "--timeout", "500ms"]).status(3).complains("canceled");

    let running = user.start(&["db", "query", "SELECT pg_sleep(1000)", "--timeout", "10m"]);
    until_sleeping(&user, "1");
    running.signal(Signal::INT);
    running.wait().status(130).says("the statement was canceled");
    until_sleeping(&user, "0");

    let running = user.start(&["db", "query", "SELECT pg_sleep(1000)", "--timeout", "10m"]);
    until_sleeping(&user, "1");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    query(&user, &[end, "--csv"]).status(0).says("pg_terminate_backend\nt");
    running.wait().status(3).says("the session of the statement was ended");
    // Only what changes the lab is recorded.
    let history = user.lab(&["history", "db", "--json"]).status(0).json();
    let statements = history.as_array().expect("a list").iter().filter_map(|entry| entry["statement"].as_str());
    assert_eq!(statements.collect::<Vec<_>>(), [end]);
    user.finish();
}

async fn a_database_of_an_earlier_version_serves_the_app_but_no_queries() {
    let user = Cli::new("earlier");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let new = std::fs::read_to_string(&file).expect("it was written");
    // Like the previous version: with a single role, which is a superuser.
    let old = new
        .replace("POSTGRES_USER: postgres", "POSTGRES_USER: lab")
        .replace("${POSTGRES_SUPERUSER_PASSWORD:-postgres}", "${POSTGRES_PASSWORD:-lab}")
        .replace("      - ./postgres:/docker-entrypoint-initdb.d:ro\n", "");
    assert_ne!(old, new);
    std::fs::write(&file, old).expect("a writable path");
    let path = folder.display().to_string();
    user.lab(&["up", "--stack", &path, "--port", "0"]).status(0);
    std::fs::write(&file, new).expect("a writable path");
    user.lab(&["stop", "db"]).status(0);
    docker(&["rm", &format!("lab-{}-db-1", user.name)]);
    user.lab(&["up", "--stack", &path]).status(0);
    user.lab(&["traffic", "-n", "3", "--rate", "50", "--expect", "status.200: \"== 3\""]).status(0);
    query(&user, &["SELECT 1"]).status(3).complains("role \"viewer\" does not exist").complains("earlier version");
    user.finish();
}
