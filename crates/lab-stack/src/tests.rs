//! Tests the reader with the embedded stack and with typical mistakes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{APP_IMAGE, Condition, Content, Limits, Mount, Port, Stack, StackErrors};

mod merge;
mod mistakes;
mod readings;
mod rights;

/// A map of variables from pairs.
pub(super) fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn embedded(pairs: &[(&str, &str)]) -> Stack {
    Stack::embedded(&env(pairs)).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Reads a compose file from a temporary folder that also has `conf/app.conf`.
pub(super) fn read(text: &str) -> Result<Stack, StackErrors> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    std::fs::write(folder.path().join("conf/app.conf"), "a").unwrap();
    std::fs::write(folder.path().join("compose.yaml"), text).unwrap();
    Stack::read(folder.path(), &env(&[("KEY", "k1")]))
}

#[test]
fn the_embedded_stack_is_the_one_of_the_folder() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("stack");
    let mut read = Stack::read(&dir, &env(&[])).unwrap_or_else(|errors| panic!("{errors}"));
    let mut embedded = embedded(&[]);
    // Permissions of a checkout depend on the user's umask.
    for stack in [&mut read, &mut embedded] {
        for mount in stack.services.iter_mut().flat_map(|service| &mut service.mounts) {
            if let Mount::Bind(bind) = mount {
                bind.entries.iter_mut().for_each(|entry| entry.mode &= 0o700);
            }
        }
    }
    assert_eq!(read, embedded);
}

#[test]
fn every_file_is_embedded() {
    fn walk(top: &Path, path: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, found);
            } else {
                found.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut found = Vec::new();
    walk(top, &top.join("stack"), &mut found);
    walk(top, &top.join("grafana"), &mut found);
    // These run on a machine that builds images, never in a lab.
    found.retain(|path| !path.starts_with("stack/offline/"));
    found.sort();
    let mut known: Vec<&str> = super::assets::FILES.iter().map(|(path, _)| *path).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn the_embedded_stack_has_the_documented_services() {
    let stack = embedded(&[]);
    let names: Vec<&str> = stack.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["gateway", "app", "db", "edge", "prometheus", "grafana"]);
    let app = stack.service("app").unwrap();
    assert_eq!((app.image.as_str(), app.environment["APP_API_KEY"].as_str()), (APP_IMAGE, "apikey-v1"));
    assert_eq!(app.ports, [Port { published: None, target: 8000 }]);
    assert_eq!(app.depends_on, BTreeMap::from([("db".to_owned(), Condition::Healthy)]));
    assert_eq!(app.health.own().unwrap().test, ["/lab", "app", "--health"]);
    let gateway = stack.service("gateway").unwrap();
    assert_eq!(gateway.ports, [Port { published: Some(8080), target: 8080 }]);
    assert_eq!(gateway.limits, Limits { memory: Some(128 << 20), cpus: None, pids: Some(64) });
    assert_eq!(gateway.stop_grace, Some(Duration::from_secs(10)));
    let lab = &stack.lab;
    assert_eq!((lab.app.port, lab.app.key_variable.as_str()), (8000, "APP_API_KEY"));
    assert_eq!(lab.prometheus, Some(("prometheus".to_owned(), 9090)));
    assert_eq!(lab.optional[0].service, "grafana");
    assert!(lab.gateway.route.as_ref().unwrap().contains(&"{address}".to_owned()));
}

#[test]
fn no_service_has_more_rights_than_it_needs() {
    for service in embedded(&[]).services {
        let name = &service.name;
        assert!(service.read_only, "{name} has a writable root file system");
        assert_eq!(service.cap_drop, ["ALL"], "{name}");
        assert_eq!(service.cap_add, Vec::<String>::new(), "{name}");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name}");
        let user = service.user.unwrap_or_else(|| panic!("{name} runs as its image's user"));
        assert!(user != "root" && !user.starts_with('0'), "{name} runs as {user}");
        assert!(service.limits.memory.is_some() && service.limits.pids.is_some(), "{name} has no limits");
        let (driver, options) = service.logging.unwrap_or_else(|| panic!("{name} logs without a limit"));
        assert_eq!((driver.as_str(), options["max-size"].as_str()), ("json-file", "10m"));
        assert!(service.health.own().is_some() && service.stop_grace.is_some(), "{name}");
    }
}

#[test]
fn the_environment_changes_ports_keys_and_passwords() {
    let stack = embedded(&[
        ("LAB_GATEWAY_PORT", "0"),
        ("APP_API_KEY", "k2"),
        ("POSTGRES_PASSWORD", "secret"),
        ("POSTGRES_SUPERUSER_PASSWORD", "admin"),
    ]);
    assert_eq!(stack.service("gateway").unwrap().ports, [Port { published: None, target: 8080 }]);
    let app = &stack.service("app").unwrap().environment;
    assert_eq!(app["APP_API_KEY"], "k2");
    assert_eq!(app["DATABASE_URL"], "postgres://lab:secret@db:5432/postgres");
    let db = &stack.service("db").unwrap().environment;
    assert_eq!(db["LAB_APP_PASSWORD"], "secret");
    assert_eq!(db["POSTGRES_PASSWORD"], "admin");
    assert_eq!(db["LAB_VIEWER_PASSWORD"], "viewer", "the default");
}

#[test]
fn the_gateways_variables_are_those_of_its_templates() {
    let stack = embedded(&[]);
    let gateway = stack.service("gateway").unwrap();
    let mounted = gateway.mounts.iter().flat_map(|mount| match mount {
        Mount::Bind(bind) => bind.entries.clone(),
        Mount::Volume(_) => Vec::new(),
    });
    let text = mounted.filter_map(|entry| match entry.content {
        Content::File(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Content::Folder | Content::Link(_) => None,
    });
    let text: String = text.collect();
    for name in gateway.environment.keys().filter(|name| name.starts_with("GATEWAY_")) {
        assert!(text.contains(name), "nothing reads {name}");
    }
    for used in text.split("${").skip(1).filter_map(|rest| rest.split(['}', ':', '%', '#']).next()) {
        if used.starts_with("GATEWAY_") && used.is_ascii() {
            assert!(gateway.environment.contains_key(used), "{used} has no value");
        }
    }
}

/// A minimal stack in Compose's short forms.
pub(super) const SHORT: &str = r#"
services:
  web:
    image: web:1
    ports: ["127.0.0.1:8080:80"]
    depends_on: [api]
  api:
    build: ./api
    image: api:1
    command: run --name 'a b' $$HOME
    environment: ["API_KEY=${KEY}", KEY, NOT_SET]
    ports: ["127.0.0.1::9000/tcp"]
    volumes: ["./conf:/etc/api:ro", "data:/data"]
    tmpfs: /tmp
    healthcheck: { test: curl -f localhost, interval: 1m30s }
    labels: [a=b, c]
volumes: { data: }
x-lab:
  app: { service: api, key_variable: API_KEY, port: 9000 }
  gateway: { service: web, port: 80, reload: nginx -s reload }
"#;

/// The same stack in the long forms.
const LONG: &str = r#"
x-anything: &key k1
services:
  web:
    image: web:1
    ports: [{ target: 80, published: "8080", host_ip: 127.0.0.1, protocol: tcp }]
    depends_on: { api: { condition: service_started } }
  api:
    build: { context: api, dockerfile: Dockerfile }
    image: api:1
    command: [run, --name, a b, "$$HOME"]
    environment: { API_KEY: *key, KEY: k1, NOT_SET: null }
    ports: [{ target: 9000, host_ip: 127.0.0.1 }]
    volumes:
      - { type: bind, source: ./conf, target: /etc/api, read_only: true }
      - { type: volume, source: data, target: /data }
    tmpfs: [/tmp]
    healthcheck: { test: [CMD-SHELL, curl -f localhost], interval: 90s, timeout: 30s, retries: 3 }
    labels: { a: b, c: "" }
volumes: { data: {} }
x-lab:
  app: { service: api, key_variable: API_KEY, port: 9000, metrics_path: /metrics, health_path: /health }
  gateway: { service: web, port: 80, reload: [nginx, -s, reload] }
"#;

#[test]
fn short_and_long_forms_mean_the_same() {
    let (mut short, long) = (read(SHORT).unwrap(), read(LONG).unwrap());
    // Compose keeps the dot as well.
    short.services[1].build.as_mut().unwrap().context = "api".into();
    assert_eq!(short, long);
    let api = long.service("api").unwrap();
    assert_eq!(api.command.as_ref().unwrap()[..], ["run", "--name", "a b", "$HOME"]);
    assert_eq!(api.environment, env(&[("API_KEY", "k1"), ("KEY", "k1")]));
    let Mount::Bind(bind) = &api.mounts[0] else { panic!("{:?}", api.mounts) };
    assert_eq!((bind.entries.len(), bind.source.as_path()), (2, Path::new("conf")));
}

#[test]
fn limits_are_read_from_both_places() {
    let limits = |text: &str| {
        let text = SHORT.replace("    tmpfs: /tmp\n", &format!("    tmpfs: /tmp\n    {text}\n"));
        read(&text).unwrap().service("api").unwrap().limits
    };
    let expected = Limits { memory: Some(64 << 20), cpus: Some(0.5), pids: Some(10) };
    assert_eq!(limits("deploy: { resources: { limits: { cpus: '0.5', memory: 64M, pids: 10 } } }"), expected);
    assert_eq!(
        limits(
            "{ mem_limit: 64m, cpus: 0.5, pids_limit: 10 }"
                .trim_matches(['{', '}', ' '])
                .replace(", ", "\n    ")
                .as_str()
        ),
        expected
    );
}
