//! Reads a [`Service`] from the short and long forms of Compose.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Build, Condition, HealthCheck, HealthSetting, Limits, Port, Service};
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, did_you_mean, quote};

use super::reader::{self, Refused};
use super::refused::SERVICE;
use super::{Context, Placed, interpolate, rights, values};

const KEYS: [&str; 24] = [
    "build",
    "cap_add",
    "cap_drop",
    "command",
    "cpus",
    "depends_on",
    "deploy",
    "entrypoint",
    "environment",
    "healthcheck",
    "image",
    "init",
    "labels",
    "logging",
    "mem_limit",
    "pids_limit",
    "ports",
    "read_only",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "user",
];
/// Read by [`super::mounts`].
const VOLUMES: &str = "volumes";
impl Context<'_> {
    /// Reads a service. Reports a value that is not a mapping and returns `None`.
    pub(super) fn service(&mut self, name: &Text, node: &Node) -> Option<Placed> {
        let keys: Vec<&'static str> = KEYS.into_iter().chain([VOLUMES]).collect();
        let fields = reader::known(node, name, "a service", &keys, SERVICE, &mut self.out)?;
        let (ports, places): (Vec<Port>, Vec<Place>) = ports(&fields, &mut self.out).into_iter().unzip();
        let (depends_on, dependencies) = self.depends_on(&fields);
        let (mounts, tmpfs) = (self.mounts(&fields), tmpfs(&fields, &mut self.out));
        let environment = self.environment(&fields);
        let out = &mut self.out;
        let service = Service {
            name: name.text.clone(),
            image: reader::required(&fields, "image", (name, "the service"), values::text, out).unwrap_or_default(),
            build: build(&fields, out),
            entrypoint: reader::command(&fields, "entrypoint", out),
            command: reader::command(&fields, "command", out),
            environment,
            ports,
            mounts,
            tmpfs,
            health: health(&fields, out),
            depends_on,
            user: reader::value(&fields, "user", values::text, out),
            read_only: reader::value(&fields, "read_only", values::boolean, out).unwrap_or_default(),
            cap_drop: reader::list(&fields, "cap_drop", rights::known_capability, out),
            cap_add: reader::list(&fields, "cap_add", rights::capability, out),
            security_opt: reader::list(&fields, "security_opt", rights::security_option, out),
            limits: limits(&fields, out),
            logging: logging(&fields, out),
            stop_grace: reader::value(&fields, "stop_grace_period", values::duration, out),
            stop_signal: reader::value(&fields, "stop_signal", values::text, out),
            init: reader::value(&fields, "init", values::boolean, out).unwrap_or_default(),
            shm_size: reader::value(&fields, "shm_size", values::bytes, out),
            labels: labels(&fields, out),
        };
        Some(Placed { service, name: name.clone(), ports: places, depends_on: dependencies })
    }

    /// Variables without a value are taken from the stack's variables, or left out.
    fn environment(&mut self, fields: &Fields) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for (name, (value, text)) in reader::pairs(fields, "environment", &mut self.out) {
            let named = Text { text: name.clone(), place: text.place };
            if reader::parse(&named, "environment", values::variable, &mut self.out).is_none() {
                continue;
            }
            let value = match value {
                Some(value) => Ok(Some(value)),
                None => interpolate::variable(&name, self.env),
            };
            match value {
                Ok(value) => environment.extend(value.map(|value| (name, value))),
                Err(error) => self.out.push(error.at(&named.place)),
            }
        }
        environment
    }

    fn depends_on(&mut self, fields: &Fields) -> (BTreeMap<String, Condition>, Vec<(String, Place)>) {
        let mut found: Vec<(Text, Condition)> = Vec::new();
        match fields.get("depends_on") {
            None => {}
            Some(entry) if matches!(entry.value.kind, NodeKind::List(_)) => {
                let texts = reader::scalars("depends_on", &entry.value, &mut self.out);
                found.extend(texts.into_iter().map(|text| (text, Condition::Started)));
            }
            Some(entry) => {
                for entry in fields::entries(&entry.value, &entry.key, &mut self.out).unwrap_or_default() {
                    let what = "a dependency";
                    let fields = reader::known(&entry.value, &entry.key, what, &["condition"], &[], &mut self.out);
                    let Some(fields) = fields else { continue };
                    let condition =
                        reader::required(&fields, "condition", (&entry.key, what), values::condition, &mut self.out);
                    found.extend(condition.map(|condition| (entry.key.clone(), condition)));
                }
            }
        }
        let (mut conditions, mut places) = (BTreeMap::new(), Vec::new());
        for (name, condition) in found {
            if !self.services.contains(&name.text) {
                let label = did_you_mean(&name.text, self.services.iter().map(String::as_str), "expected a service");
                let message = format!("unknown service {}", quote(&name.text));
                self.out.push(Diagnostic::at(message, &name.place).label(label));
                continue;
            }
            conditions.insert(name.text.clone(), condition);
            places.push((name.text, name.place));
        }
        (conditions, places)
    }
}

fn build(fields: &Fields, out: &mut Diagnostics) -> Option<Build> {
    let entry = fields.get("build")?;
    let (context, dockerfile) = if let NodeKind::Scalar(context) = &entry.value.kind {
        (Some(context.clone()), None)
    } else {
        let fields = reader::known(&entry.value, &entry.key, "a build", &["context", "dockerfile"], &[], out)?;
        let context = reader::required(&fields, "context", (&entry.key, "the build"), values::text, out);
        (context, reader::value(&fields, "dockerfile", values::text, out))
    };
    let dockerfile = dockerfile.map_or_else(|| PathBuf::from("Dockerfile"), PathBuf::from);
    Some(Build { context: PathBuf::from(context?), dockerfile })
}

fn ports(fields: &Fields, out: &mut Diagnostics) -> Vec<(Port, Place)> {
    let Some(entry) = fields.get("ports") else { return Vec::new() };
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(fields::wrong_kind("ports", &entry.value, "a list: `[\"127.0.0.1:8080:80\"]`"));
        return Vec::new();
    };
    let mut ports: Vec<(Port, Place)> = Vec::new();
    for item in items {
        let port = if let NodeKind::Scalar(text) = &item.kind {
            let text = Text { text: text.clone(), place: item.place.clone() };
            reader::parse(&text, "ports", values::short_port, out)
        } else {
            long_port(item, &entry.key, out)
        };
        ports.extend(port.map(|port| (port, item.place.clone())));
    }
    ports
}

fn long_port(item: &Node, key: &Text, out: &mut Diagnostics) -> Option<Port> {
    let key = Text { text: key.text.clone(), place: item.place.clone() };
    let keys = ["target", "published", "host_ip", "protocol"];
    let fields = reader::known(item, &key, "a port", &keys, &[], out)?;
    reader::value(&fields, "protocol", values::protocol, out);
    let ip = reader::required(&fields, "host_ip", (&key, "the port"), values::host_ip, out);
    let target = reader::required(&fields, "target", (&key, "the port"), values::port, out);
    let published = reader::value(&fields, "published", values::published, out);
    ip.and(target).map(|target| Port { published: published.flatten(), target })
}

fn tmpfs(fields: &Fields, out: &mut Diagnostics) -> Vec<String> {
    match fields.get("tmpfs").map(|entry| &entry.value.kind) {
        Some(NodeKind::List(_)) => reader::list(fields, "tmpfs", rights::tmpfs, out),
        _ => reader::value(fields, "tmpfs", rights::tmpfs, out).into_iter().collect(),
    }
}

/// Uses the Engine's defaults. An invalid check is reported and then ignored.
fn health(fields: &Fields, out: &mut Diagnostics) -> HealthSetting {
    fields.get("healthcheck").and_then(|entry| health_of(entry, out)).unwrap_or_default()
}

fn health_of(entry: &Entry, out: &mut Diagnostics) -> Option<HealthSetting> {
    let what = "a health check";
    let refused: Refused = &[("start_interval", "it requires version 1.44 of the Engine's API")];
    let keys = ["test", "interval", "timeout", "retries", "start_period", "disable"];
    let fields = reader::known(&entry.value, &entry.key, what, &keys, refused, out)?;
    let span = |key: &str, default: u64, out: &mut Diagnostics| {
        reader::value(&fields, key, values::span, out).unwrap_or(Duration::from_secs(default))
    };
    let (interval, timeout) = (span("interval", 30, out), span("timeout", 30, out));
    let retries = reader::value(&fields, "retries", values::retries, out).unwrap_or(3);
    let start_period = reader::value(&fields, "start_period", values::duration, out).unwrap_or_default();
    if reader::value(&fields, "disable", values::boolean, out) == Some(true) {
        return Some(HealthSetting::Off);
    }
    if fields.lacks("test") {
        out.push(Diagnostic::at("the health check has no `test`", &entry.key.place).label("expected `test` here"));
    }
    let test = health_test(&fields.get("test")?.value, out)?;
    if test.is_empty() {
        return Some(HealthSetting::Off);
    }
    Some(HealthSetting::Own(HealthCheck { test, interval, timeout, retries, start_period }))
}

/// Returns the words of a health check, or none for `NONE`.
fn health_test(node: &Node, out: &mut Diagnostics) -> Option<Vec<String>> {
    let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    if let NodeKind::Scalar(line) = &node.kind {
        return Some(shell(line));
    }
    let words: Vec<String> = reader::scalars("test", node, out).into_iter().map(|word| word.text).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["NONE"] => Some(Vec::new()),
        ["CMD-SHELL", line] => Some(shell(line)),
        ["CMD", _, ..] => Some(words[1..].to_vec()),
        _ => {
            let expected = "expected `[CMD, command, …]`, `[CMD-SHELL, \"line\"]` or `[NONE]`";
            out.push(Diagnostic::at("`test` is not a health check", &node.place).label(expected));
            None
        }
    }
}

/// Reads limits from `deploy.resources.limits`, or from their older keys.
fn limits(fields: &Fields, out: &mut Diagnostics) -> Limits {
    const DEPLOY: Refused =
        &[("replicas", "each service is one container"), ("restart_policy", "services must not restart on their own")];
    const RESOURCES: Refused = &[("reservations", "lab does not reserve resources")];
    let old = Limits {
        memory: reader::value(fields, "mem_limit", values::bytes, out),
        cpus: reader::value(fields, "cpus", values::cpus, out),
        pids: reader::value(fields, "pids_limit", values::pids, out),
    };
    let within = reader::inner(fields, "deploy", &["resources"], DEPLOY, out)
        .and_then(|deploy| reader::inner(&deploy, "resources", &["limits"], RESOURCES, out))
        .and_then(|resources| reader::inner(&resources, "limits", &["cpus", "memory", "pids"], &[], out));
    let Some(within) = within else { return old };
    Limits {
        memory: reader::value(&within, "memory", values::bytes, out).or(old.memory),
        cpus: reader::value(&within, "cpus", values::cpus, out).or(old.cpus),
        pids: reader::value(&within, "pids", values::pids, out).or(old.pids),
    }
}

fn logging(fields: &Fields, out: &mut Diagnostics) -> Option<(String, BTreeMap<String, String>)> {
    let fields = reader::inner(fields, "logging", &["driver", "options"], &[], out)?;
    let driver = reader::value(&fields, "driver", rights::log_driver, out).unwrap_or_else(|| "json-file".to_owned());
    for (name, (_, text)) in reader::pairs(&fields, "options", &mut Diagnostics::default()) {
        reader::parse(&Text { text: name, place: text.place }, "options", rights::log_option, out);
    }
    Some((driver, reader::full_pairs(&fields, "options", out)))
}

fn labels(fields: &Fields, out: &mut Diagnostics) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, (value, text)) in reader::pairs(fields, "labels", out) {
        for (prefix, owner) in [("com.docker.compose.", "Compose"), ("lab.", "lab")] {
            if name.starts_with(prefix) {
                let message = format!("the label {} is reserved for {owner}", quote(&name));
                out.push(Diagnostic::at(message, &text.place).label("remove it: lab sets it"));
            }
        }
        labels.insert(name, value.unwrap_or_default());
    }
    labels
}
