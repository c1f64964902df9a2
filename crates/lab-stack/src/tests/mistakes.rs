//! Typical mistakes: each is reported with its place and a hint, and all are reported at once.

use super::{SHORT, env, read};
use crate::Stack;
use lab_yaml::Diagnostic;

/// Line, column and message of each error in `all_mistakes_are_found_at_once`.
const ALL: [&str; 24] = [
    "2:1 `version` is not supported in a compose file",
    "6:5 `restart` is not supported in a service",
    "7:13 `ports` is `8080:80`",
    "7:45 port 9000 of the host is published twice",
    "8:16 `mem_limit` is `much`",
    "9:27 `test` is not a health check",
    "9:43 `interval` is `5`",
    "10:19 `api` must be healthy but has no health check",
    "10:56 unknown service `ap`",
    "11:3 the service has no `image`",
    "12:14 `command` is `run 'it`",
    "13:26 the variable `NONE` is not set",
    "14:16 `./nothing` cannot be mounted",
    "14:35 `./conf/app.conf` is a file",
    "14:60 `../other` is outside the stack's folder",
    "14:78 `./conf` is mounted writable",
    "14:91 unknown volume `date`",
    "14:107 `volumes` is `f`",
    "15:20 `driver` is not supported in a volume",
    "17:3 `app` has no `key_variable`",
    "17:19 `service` is `apo`",
    "17:30 `port` is `70000`",
    "18:34 port 81 of `web` is not published",
    "18:49 unknown key `rout` in `gateway`",
];

/// Errors of a stack that is valid apart from one change.
fn with(from: &str, to: &str) -> String {
    let text = SHORT.replacen(from, to, 1);
    assert_ne!(text, SHORT, "{from} is not there");
    read(&text).err().unwrap_or_else(|| panic!("{to} was accepted")).to_string()
}

#[track_caller]
fn assert_contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in:\n{message}");
    }
}

#[test]
fn an_unknown_key_has_its_place_and_a_suggestion() {
    let message = with("    tmpfs: /tmp", "    enviroment: {}");
    assert_contains(
        &message,
        &["unknown key `enviroment` in a service", "compose.yaml:14:5", "did you mean `environment`?"],
    );
    assert_contains(&message, &["14 |     enviroment: {}", "^^^^^^^^^^", "the keys of a service: `build`, `cap_add`"]);
    assert_eq!(message.matches("error:").count(), 1);
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"
version: "3"
services:
  web:
    image: web:1
    restart: always
    ports: ["8080:80", "127.0.0.1:9000:90", "127.0.0.1:9000:91"]
    mem_limit: much
    healthcheck: { test: [CMD], interval: 5 }
    depends_on: { api: { condition: service_healthy }, ap: { condition: service_started } }
  api:
    command: "run 'it"
    environment: { KEY: "${NONE}" }
    volumes: ["./nothing:/a:ro", "./conf/app.conf:/b:ro", "../other:/c:ro", "./conf:/d", "date:/e", "data:f"]
volumes: { data: { driver: local } }
x-lab:
  app: { service: apo, port: 70000 }
  gateway: { service: web, port: 81, reload: x, rout: y }
"#;
    let errors = read(text).unwrap_err();
    let line = |it: &Diagnostic| format!("{}:{} {}", it.line().unwrap(), it.column().unwrap(), it.message);
    let found: Vec<String> = errors.items().iter().map(line).collect();
    assert_eq!(found, ALL);
}

#[test]
fn a_cycle_is_reported_as_a_chain() {
    let message = with("    build: ./api", "    build: ./api\n    depends_on: [web]");
    assert_contains(&message, &["`depends_on` has a cycle", "web > api > web: none of them can start first"]);
    assert_eq!(message.matches("has a cycle").count(), 1);
    let own = with("    depends_on: [api]", "    depends_on: [web]");
    assert_contains(&own, &["web > web"]);
}

/// A chain of dependencies that would recurse deeply.
#[test]
fn more_services_than_a_lab_can_have_are_refused() {
    let service = |at: u32| format!("\n  s{at}: {{ image: x, depends_on: [s{}] }}", at + 1);
    let chain = (0..7_000).map(service).collect::<Vec<_>>().concat();
    let message = with("services:", &format!("services:{chain}"));
    assert_contains(&message, &["a stack can have at most 100 services", "compose.yaml:", "s100"]);
}

#[test]
fn the_settings_of_lab_are_required() {
    assert_contains(&with("x-lab:", "x-lap:"), &["unknown key `x-lap`", "did you mean `x-lab`?"]);
    let (without, _) = SHORT.split_once("x-lab:").unwrap();
    assert_contains(&read(without).unwrap_err().to_string(), &["`x-lab` is missing", "which service is the app"]);
    assert_contains(&with("  app: {", "  ape: {"), &["did you mean `app`?"]);
    assert_contains(
        &with("key_variable: API_KEY", "key_variable: API_KEI"),
        &["`API_KEI` is not in the environment", "`API_KEY`"],
    );
    assert_contains(&with("port: 9000 }", "port: 9001 }"), &["port 9001 of `api` is not published", "127.0.0.1::9001"]);
    assert_contains(
        &with("port: 9000 }", "port: 9000, awaits: [api] }"),
        &["`api` does not depend on `api`", "`depends_on`"],
    );
    assert_contains(&with(", reload: nginx -s reload", ""), &["`gateway` has no `reload`"]);
    assert_contains(&with("reload: nginx", "route: [a, b], reload: nginx"), &["`route` has no `{address}`"]);
    assert_contains(&with("x-lab:", "x-lab:\n  optional: { api: x }"), &["`api` is optional, but it is the `app`"]);
    assert_contains(&with("x-lab:", "x-lab:\n  optional: { api: x }"), &["`web` depends on `api`, which is optional"]);
    assert_contains(
        &with("x-lab:", "x-lab:\n  database: dbb"),
        &["`database` is `dbb`", "expected a service: `web`, `api`"],
    );
    assert_contains(
        &with("x-lab:", "x-lab:\n  folders: [beside, ..]"),
        &["`folders` is `beside`", "`folders` is `..`"],
    );
}

#[test]
fn an_impossible_port_is_reported_at_its_place() {
    let message = with("127.0.0.1::9000", "127.0.0.1:9000:9000");
    assert_contains(&message, &["a port of the `app` `api` is fixed", "compose.yaml:", "`127.0.0.1::9000`"]);
    let message = with("127.0.0.1:8080:80", r#"127.0.0.1:8080:80", "127.0.0.1:8081:80"#);
    assert_contains(&message, &["port 80 of `web` is published twice", "the first is at ", "compose.yaml:5:13"]);
}

#[test]
fn folders_outside_are_only_mounted_if_they_are_named() {
    for source in ["../conf", "/etc", "~/conf", "./conf/../../x"] {
        let message = with("./conf:/etc/api:ro", &format!("{source}:/etc/api:ro"));
        assert_contains(&message, &["is outside the stack's folder", "`x-lab.folders`"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stack");
    std::fs::create_dir_all(folder.path().join("beside/inner")).unwrap();
    std::fs::create_dir_all(&stack).unwrap();
    std::fs::write(folder.path().join("beside/inner/a"), "x").unwrap();
    let text = SHORT.replace("./conf:", "../beside/inner:").replace("x-lab:", "x-lab:\n  folders: [../beside]");
    std::fs::write(stack.join("docker-compose.yml"), text).unwrap();
    let read = Stack::read(&stack, &env(&[("KEY", "k")])).unwrap_or_else(|errors| panic!("{errors}"));
    let crate::Mount::Bind(bind) = &read.service("api").unwrap().mounts[0] else { panic!("no folder") };
    let paths: Vec<_> = bind.entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["", "a"]);
}

#[test]
fn a_variable_that_is_not_set_is_an_error_at_its_place() {
    let message = with("${KEY}", "${KEI}");
    assert_contains(&message, &["the variable `KEI` is not set", "compose.yaml:11:", "^^^^^^"]);
    assert_contains(&with("${KEY}", "${KEI:?name the key}"), &["name the key"]);
}

#[test]
fn a_folder_without_a_stack_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &std::path::Path| Stack::read(path, &env(&[])).unwrap_err().to_string();
    assert_contains(&error(folder.path()), &["no compose file in", "`compose.yaml`"]);
    assert_contains(&error(&folder.path().join("none")), &["does not exist"]);
    std::fs::write(folder.path().join("compose.yaml"), b"a: \xff").unwrap();
    assert_contains(&error(folder.path()), &["not UTF-8"]);
    for nonsense in
        ["", "[]", "services: []", "services: { a: }", "services: { a: { image: [] } }", "x-lab: 1", "a: b: c"]
    {
        assert!(read(nonsense).is_err(), "{nonsense}");
    }
}
