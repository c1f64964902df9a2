//! Reads a compose file into a [`Stack`]: document, variables, merge keys, services ([`service`]), mounts ([`mounts`]),
//! dependencies ([`graph`]) and `x-lab` ([`lab`]). All mistakes are reported at once.

mod env_file;
mod graph;
mod interpolate;
mod lab;
mod merge;
mod mounts;
mod reader;
mod refused;
mod rights;
mod service;
mod value_error;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{self, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile, nearest, quote};

use super::StackErrors;
use super::folder::Folder;
use super::model::{Mount, Service, Stack};
use super::variables::Variables;

use reader::Refused;

/// Each service is a container. Also limits the depth of their dependencies.
const MAX_SERVICES: usize = 100;
/// Limit for all mounted folders together, because a lab stores their contents.
const MAX_BYTES: usize = 64 << 20;
const KEYS: [&str; 4] = ["name", "services", "volumes", "x-lab"];
const REFUSED: Refused = &[
    ("version", "it is obsolete: remove it"),
    ("networks", "all services share one network and are reachable by their names"),
    ("configs", "mount a folder of the stack instead"),
    ("secrets", "mount a folder of the stack instead"),
    ("include", "a stack is one file"),
];

/// Shared state of the reader.
struct Context<'c> {
    folder: &'c Folder,
    env: &'c Variables,
    /// Service names as written.
    services: BTreeSet<String>,
    volumes: BTreeSet<String>,
    /// Folders outside the stack's folder that the file names.
    folders: lab::Folders,
    out: Diagnostics,
}

/// A service with the places of its parts.
struct Placed {
    service: Service,
    name: Text,
    ports: Vec<Place>,
    depends_on: Vec<(String, Place)>,
}

/// Reads a stack. Adds the variables of the `.env` beside its file to `env`.
pub(super) fn load(folder: &Folder, env: &mut Variables) -> Result<Stack, StackErrors> {
    let file = folder.compose()?;
    let mut out = Diagnostics::default();
    if let Some(variables) = folder.env_file()? {
        env_file::read(&variables, env, &mut out);
    }
    let mut document = node::parse(&file)?;
    interpolate::document(&mut document, env, &mut out);
    merge::document(&mut document, &mut out);
    let mut context = Context {
        folder,
        env,
        services: BTreeSet::new(),
        volumes: BTreeSet::new(),
        folders: lab::Folders::default(),
        out,
    };
    let stack = context.document(&document, &file);
    context.out.sort();
    match stack {
        Some(stack) if context.out.is_empty() => Ok(stack),
        _ => Err(context.out),
    }
}

impl Context<'_> {
    fn document(&mut self, document: &Node, file: &Arc<SourceFile>) -> Option<Stack> {
        let NodeKind::Mapping(entries) = &document.kind else {
            self.out.push(
                Diagnostic::at(format!("the file contains {}", document.describe()), &document.place)
                    .label("expected a mapping with `services` and `x-lab`"),
            );
            return None;
        };
        // Like Compose, ignore extensions; they often define YAML anchors. A misspelled `x-lab` is reported, though.
        let known = entries.iter().filter(|entry| {
            let key = entry.key.text.as_str();
            !key.starts_with("x-") || key == "x-lab" || nearest(key, ["x-lab"]).is_some()
        });
        let top = Node { place: document.place.clone(), kind: NodeKind::Mapping(known.cloned().collect()) };
        let start = Text { text: "the file".to_owned(), place: Place::new(file, 0..0) };
        let fields = reader::known(&top, &start, "a compose file", &KEYS, REFUSED, &mut self.out)?;
        // Checked but not used: lab names its project after the lab.
        reader::value(&fields, "name", values::name, &mut self.out);
        self.names(&fields);
        self.folders = lab::folders(&fields, self.folder, &mut self.out);
        let services = self.services(&fields, &start);
        graph::check(&services, &mut self.out);
        check_ports(&services, &mut self.out);
        check_size(&services, &start, &mut self.out);
        let lab = lab::read(&fields, &services, &start, &mut self.out);
        Some(Stack {
            services: services.into_iter().map(|placed| placed.service).collect(),
            volumes: self.volumes.iter().cloned().collect(),
            lab: lab?,
        })
    }

    fn names(&mut self, fields: &Fields) {
        let names = |key: &str, out: &mut Diagnostics| {
            let Some(entry) = fields.get(key) else { return BTreeSet::new() };
            let NodeKind::Mapping(entries) = &entry.value.kind else { return BTreeSet::new() };
            let mut names = BTreeSet::new();
            for entry in entries {
                let what = if key == "services" { "service" } else { "volume" };
                if reader::parse(&entry.key, what, values::name, out).is_some() {
                    names.insert(entry.key.text.clone());
                }
            }
            names
        };
        self.services = names("services", &mut self.out);
        self.volumes = names("volumes", &mut self.out);
        let Some(entry) = fields.get("volumes") else { return };
        for volume in fields::entries(&entry.value, &entry.key, &mut self.out).unwrap_or_default() {
            if let NodeKind::Mapping(options) = &volume.value.kind
                && let Some(option) = options.first()
            {
                let message = format!("{} is not supported in a volume", quote(&option.key.text));
                self.out.push(Diagnostic::at(message, &option.key.place).label("write only the name: `data:`"));
            } else if !matches!(&volume.value.kind, NodeKind::Null | NodeKind::Mapping(_)) {
                self.out.push(fields::wrong_kind(
                    &volume.key.text,
                    &volume.value,
                    "nothing after the name of a volume",
                ));
            }
        }
    }

    fn services(&mut self, fields: &Fields, start: &Text) -> Vec<Placed> {
        let Some(entry) = fields.get("services") else {
            if fields.lacks("services") {
                self.out.push(Diagnostic::at("the file has no `services`", &start.place).label("expected them here"));
            }
            return Vec::new();
        };
        let mut entries = fields::entries(&entry.value, &entry.key, &mut self.out).unwrap_or_default();
        if let Some(extra) = entries.get(MAX_SERVICES) {
            let message = format!("a stack can have at most {MAX_SERVICES} services");
            self.out.push(Diagnostic::at(message, &extra.key.place).label("a lab is a small system"));
            entries.truncate(MAX_SERVICES);
        }
        entries.into_iter().filter_map(|entry| self.service(&entry.key, &entry.value)).collect()
    }
}

/// Checks that the stored contents fit in memory.
fn check_size(services: &[Placed], start: &Text, out: &mut Diagnostics) {
    let mounts = services.iter().flat_map(|placed| &placed.service.mounts);
    let bytes: usize = mounts.map(Mount::bytes).sum();
    if bytes > MAX_BYTES {
        let message = format!("the mounted folders contain more than {} MiB together", MAX_BYTES >> 20);
        out.push(Diagnostic::at(message, &start.place).label("a folder that is mounted twice counts twice"));
    }
}

/// Checks that no host port and no container port is published twice: a container port has one address on the host.
fn check_ports(services: &[Placed], out: &mut Diagnostics) {
    for placed in services {
        let mut seen: BTreeMap<u16, &Place> = BTreeMap::new();
        for (port, place) in placed.service.ports.iter().zip(&placed.ports) {
            if let Some(first) = seen.insert(port.target, place) {
                let (target, name) = (port.target, quote(&placed.name.text));
                out.push(
                    Diagnostic::at(format!("port {target} of {name} is published twice"), place)
                        .label("lab publishes a port of a container once")
                        .note(format!("the first is at {first}")),
                );
            }
        }
    }
    let mut seen: BTreeMap<u16, &Place> = BTreeMap::new();
    for (port, place) in services.iter().flat_map(|placed| placed.service.ports.iter().zip(&placed.ports)) {
        let Some(published) = port.published else { continue };
        if let Some(first) = seen.insert(published, place) {
            out.push(
                Diagnostic::at(format!("port {published} of the host is published twice"), place)
                    .label("expected another port")
                    .note(format!("the first is at {first}")),
            );
        }
    }
}
