//! Untrusted files: a scenario without `--allow-commands` reaches nothing outside its lab, and no control character of a text
//! reaches a terminal.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::desk::Desk;
use crate::pty::Pty;

fn scenario(steps: &str) -> String {
    format!("title: Untrusted\nkind: part\nsteps:\n{steps}  - traffic: {{ requests: 3, rate: 200 }}\n")
}

/// Listens on a port outside the lab, and counts connections.
fn listen_outside() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, count)
}

#[test]
fn a_scenario_reaches_no_file_and_no_port_outside_its_lab() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let victim = desk.path().join("victim.db");
    let (port, connections) = listen_outside();
    let variables = [
        format!("app, env: {{ DATABASE_URL: \"sqlite:{}\" }}", victim.display()),
        format!("app, env: {{ DATABASE_URL: \"sqlite:{}?mode=rwc\" }}", victim.display()),
        "app, env: { DATABASE_URL: \"sqlite:users.db\" }".to_owned(),
        format!("app, env: {{ DATABASE_URL: \"postgres://lab:x@127.0.0.1:{port}/x\" }}"),
        "app, env: { DATABASE_URL: null }".to_owned(),
        format!("app, env: {{ LD_PRELOAD: {} }}", victim.display()),
        format!("app, env: {{ GLIBC_TUNABLES: \"glibc.malloc.check=3\", MALLOC_TRACE: {} }}", victim.display()),
        "app, env: { RUST_BACKTRACE: full }".to_owned(),
        format!("app, env: {{ SQLITE_TMPDIR: {} }}", desk.path().display()),
        format!("app, env: {{ HTTP_PROXY: \"http://127.0.0.1:{port}\" }}"),
        "app, env: { FEATURE_X: \"1\" }".to_owned(),
        format!("gateway, env: {{ GATEWAY_UPSTREAM: \"127.0.0.1:{port}\" }}"),
        format!("gateway, env: {{ GATEWAY_UPSTREAM: \"localhost:{port}\" }}"),
        format!("gateway, env: {{ GATEWAY_UPSTREAM: \"[::ffff:127.0.0.1]:{port}\" }}"),
        "gateway, env: { GATEWAY_UPSTREAM: \"db:5432\" }".to_owned(),
    ];
    for variable in &variables {
        let file = desk.write("strange.yaml", &scenario(&format!("  - set_env: {{ service: {variable} }}\n")));
        for more in [&["--dry-run"][..], &[]] {
            let args = [&["scenario", "run", &file], more].concat();
            let result = desk.lab(&args).status(2).complains("strange.yaml");
            assert!(
                result.stderr.contains("cannot be set") || result.stderr.contains("app:PORT"),
                "{variable}: {result:?}"
            );
        }
    }
    // A deferred value is checked during the run.
    let steps = format!(
        "  - {{ name: count, traffic: {{ requests: 1 }} }}\n  - set_env: {{ service: gateway, env: {{ GATEWAY_UPSTREAM: \
         \"127.0.0.${{steps.count.sent}}:{port}\" }} }}\n"
    );
    let file = desk.write("deferred.yaml", &scenario(&steps));
    desk.lab(&["scenario", "run", &file]).status(3).says("app:PORT");
    assert!(!victim.exists(), "a scenario has created a file");
    assert_eq!(connections.load(Ordering::SeqCst), 0, "a scenario has reached a port");
    // Allowed settings still work: another port of the app, and variables of the app.
    let steps = "  - set_env: { service: gateway, env: { GATEWAY_UPSTREAM: \"app:8001\" } }\n  \
                 - set_env: { service: app, env: { APP_DB_POOL: 2, APP_RATE_LIMIT: 100/s, APP_METRICS_PATH: /internal } }\n";
    let file = desk.write("own.yaml", &scenario(steps));
    desk.lab(&["scenario", "run", &file]).status(0).says("502");
}

#[test]
fn paths_headers_and_names_do_not_reach_outside_a_lab() {
    let desk = Desk::new();
    let (port, connections) = listen_outside();
    for (step, code) in [
        (format!("traffic: {{ requests: 1, path: \"//127.0.0.1:{port}/x\" }}"), 0),
        (format!("traffic: {{ requests: 1, path: \"/@127.0.0.1:{port}/x\" }}"), 0),
        (format!("traffic: {{ requests: 1, path: \"@127.0.0.1:{port}/x\" }}"), 2),
        (format!("traffic: {{ requests: 1, path: \"http://127.0.0.1:{port}/x\" }}"), 2),
        (format!("traffic: {{ requests: 1, headers: {{ Host: \"127.0.0.1:{port}\" }} }}"), 0),
        (format!("traffic: {{ requests: 1, headers: {{ X-Forwarded-Host: \"127.0.0.1:{port}\" }} }}"), 0),
        (format!("check: {{ path: \"//127.0.0.1:{port}/x\", status: 404 }}"), 0),
        (format!("check: {{ path: \"http://127.0.0.1:{port}/x\" }}"), 2),
        (format!("wait_for: {{ path: \"//127.0.0.1:{port}/x\", status: 404, timeout: 2s }}"), 0),
        ("scenario: ../outside".to_owned(), 2),
        ("scenario: /etc/passwd".to_owned(), 2),
        ("run: { command: [touch, victim] }".to_owned(), 2),
    ] {
        let file = desk.write("paths.yaml", &format!("title: T\nkind: part\nsteps:\n  - {step}\n"));
        desk.lab(&["scenario", "run", &file]).status(code);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert!(!desk.path().join("victim").exists());
}

/// Characters that a terminal interprets or hides: erase, title, link, colour, conceal, C1, text direction, zero width.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]8;;http://x\u{1b}\\\u{1b}[8m\u{1b}[31m\u{1b}[7m\u{9b}31m\u{9d}0;x\u{9c}\u{8}\
                    \u{202e}\u{2066}\u{200e}\u{200b}\u{feff}\u{7f}";

/// Asserts that the output contains nothing of [`EVIL`].
fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for mark in [
        '\u{7}', '\u{8}', '\u{7f}', '\u{9b}', '\u{9d}', '\u{9c}', '\u{202e}', '\u{2066}', '\u{200e}', '\u{200b}',
        '\u{feff}',
    ] {
        assert!(!text.contains(mark), "{what}: {mark:?} in {text:?}");
    }
    for sequence in ["\u{1b}[2J", "\u{1b}]", "\u{1b}\\", "\u{1b}[8m", "\u{1b}[7m", "\u{1b}[31m [7m"] {
        assert!(!text.contains(sequence), "{what}: {sequence:?} in {text:?}");
    }
}

/// Runs a command in a pipe and on a terminal, and asserts that the output is clean.
fn both(desk: &Desk, args: &[&str]) {
    let piped = desk.lab(args);
    assert_clean(&format!("{args:?} in a pipe"), format!("{}{}", piped.stdout, piped.stderr).as_bytes());
    on_a_terminal(desk, args);
}

fn on_a_terminal(desk: &Desk, args: &[&str]) {
    let mut pty = Pty::start(&desk.command(args), 200, 50);
    let bytes = pty.bytes();
    assert!(!bytes.is_empty(), "{args:?} has no output");
    assert_clean(&format!("{args:?} on a terminal"), &bytes);
}

/// Serves one page of metrics.
fn serve_page(text: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(text.as_bytes()));
        }
    });
    port
}

/// Writes an exported run with [`EVIL`] in all its texts, and returns its id.
fn exported(desk: &Desk) -> String {
    let other_desk = Desk::new();
    other_desk.lab(&["scenario", "run", "drive-traffic", "--set", "requests=5", "--set", "rate=200"]).status(0);
    let id = other_desk.lab(&["runs", "list", "--json"]).json()[0]["id"].as_str().expect("an id").to_owned();
    let events = other_desk.state().join("runs").join(&id).join("events.ndjson");
    let text = std::fs::read_to_string(events).expect("its events");
    let evil = serde_json::to_string(EVIL).expect("a text");
    let evil = evil.trim_matches('"');
    let body = [
        "\"title\":\"",
        "\"scenario\":\"",
        "\"lab\":\"",
        "\"detail\":\"",
        "\"name\":\"",
        "\"description\":\"",
        "\"ticket\":\"",
        "\"engine\":\"",
    ]
    .into_iter()
    .fold(text, |text, field| text.replace(field, &format!("{field}{evil}")));
    let head = format!("{{\"file\":\"lab run\",\"version\":1,\"id\":\"{id}\",\"bytes\":{}}}\n", body.len());
    desk.write("evil.run", &format!("{head}{body}"));
    id
}

#[test]
fn no_command_passes_on_terminal_control_characters() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let evil_file =
        desk.write(&format!("evil{}.yaml", EVIL.replace('/', "")), "title: T\nkind: part\nsteps:\n  - wait: soon\n");
    let good = desk.write(
        "good.yaml",
        "title: \"T\u{202e}\u{200b}\"\ndescription: \"a\u{202e}b\u{200b}\"\nkind: part\nsteps:\n  - { wait: 10ms }\n",
    );
    let wrong = desk.write(
        "wrong.yaml",
        &format!("title: T\nkind: part\nsteps:\n  - wait: \"{}\"\n", "x\u{202e}\u{200b}\u{9b}31m"),
    );
    let id = exported(&desk);
    let imported = desk.path().join("evil.run").display().to_string();
    let log = desk.state().join("labs/default/logs/app.log");
    let mut file = std::fs::OpenOptions::new().append(true).open(log).expect("the app's log");
    writeln!(file, "2100-01-01T00:00:00.000Z {EVIL}").expect("it can be written");
    let port = serve_page(format!("# HELP a {EVIL}\n# TYPE a counter\na{{b=\"x{}\"}} 1\n", EVIL.replace('\\', "")));
    let url = format!("http://127.0.0.1:{port}/metrics");
    let verbs: Vec<Vec<&str>> = vec![
        vec!["scenario", "validate", &evil_file],
        vec!["scenario", "validate", &good, &wrong],
        vec!["scenario", "show", &evil_file],
        vec!["scenario", "show", &good],
        vec!["scenario", "run", &evil_file],
        vec!["scenario", "run", &good],
        vec!["scenario", "run", &good, "--dry-run"],
        vec!["scenario", "run", &good, "--format", "json"],
        vec!["scenario", "run", &good, "--format", "ndjson"],
        vec!["scenario", "run", EVIL],
        vec!["scenario", "run", &good, "--set", EVIL],
        vec!["scenario", "run", &good, "--until", EVIL],
        vec!["scenario", "prove", &evil_file],
        vec!["runs", "import", &imported],
        vec!["runs", "import", &evil_file],
        vec!["runs", "show", &id],
        vec!["runs", "show", &id, "--format", "json"],
        vec!["runs", "show", &id, "--format", "ndjson"],
        vec!["runs", "list"],
        vec!["runs", "list", "--json"],
        vec!["runs", "diff", &id, &id],
        vec!["runs", "show", EVIL],
        vec!["runs", "report", &id, "--markdown", "-"],
        vec!["metrics", "--url", &url],
        vec!["logs", EVIL],
        vec!["logs", "--since", EVIL],
        vec!["key", "rotate", EVIL],
        vec!["key", "align", "--caller", EVIL],
        vec!["status", "--name", EVIL],
        vec!["status", EVIL],
        vec!["query", EVIL],
        vec!["traffic", "--requests", "1", "--path", EVIL],
        vec!["traffic", "--requests", EVIL],
        vec!["images", "load", EVIL],
        vec!["status"],
        vec!["doctor"],
        vec![EVIL],
    ];
    for verb in &verbs {
        both(&desk, verb);
    }
    // Commands that print data: a pipe gets it unchanged, a terminal does not.
    for verb in
        [vec!["logs", "app"], vec!["metrics", "--raw", "--url", &url], vec!["scenario", "show", &good, "--source"]]
    {
        let piped = desk.lab(&verb).status(0).stdout;
        assert!(piped.contains('\u{202e}') && piped.contains('\u{200b}'), "{verb:?}: {piped:?}");
        on_a_terminal(&desk, &verb);
    }
    assert!(Path::new(&evil_file).exists());
}
