//! Reads `x-lab`, lab's own settings for a stack. Every service in it must exist and every port must be published, so that lab
//! can reach it.

use std::path::{Path, PathBuf};

use crate::folder::{Folder, normalize};
use crate::{Optional, XLab, XLabApp, XLabGateway};
use lab_yaml::fields::{Fields, missing_value};
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Diagnostics, Place, did_you_mean, quote, quote_list};

use super::value_error::ValueError;
use super::{Placed, reader, values};

const KEYS: [&str; 8] = ["app", "database", "edge", "folders", "gateway", "grafana", "optional", "prometheus"];
const APP: [&str; 6] = ["awaits", "health_path", "key_variable", "metrics_path", "port", "service"];
const GATEWAY: [&str; 4] = ["port", "reload", "route", "service"];
const SERVER: [&str; 2] = ["port", "service"];
/// Placeholder for the address in `route`.
const ADDRESS: &str = "{address}";

/// Folders outside the stack's folder that the file names.
#[derive(Default)]
pub(super) struct Folders {
    /// Folders that it may read.
    pub(super) readable: Vec<PathBuf>,
    /// Other folders, which were reported.
    pub(super) refused: Vec<PathBuf>,
}

/// Reads the folders outside the stack's folder that the file names. They are needed before the mounts are read. Other
/// mistakes in `x-lab` are reported by [`read`].
pub(super) fn folders(fields: &Fields, folder: &Folder, out: &mut Diagnostics) -> Folders {
    let mut folders = Folders::default();
    let Some(entry) = fields.get("x-lab") else { return folders };
    let quiet = &mut Diagnostics::default();
    let Some(lab) = reader::known(&entry.value, &entry.key, "`x-lab`", &KEYS, &[], quiet) else { return folders };
    let outside = |text: &str| {
        let path = normalize(Path::new(text));
        // `..` would include everything beside the stack, and `../..` even more.
        let is_named = (path.starts_with("..") || path.is_absolute()) && path.file_name().is_some();
        if is_named { Ok(path) } else { Err(ValueError::Folder) }
    };
    let Some(entry) = lab.get("folders") else { return folders };
    for text in reader::scalars("folders", &entry.value, out) {
        let Some(path) = reader::parse(&text, "folders", outside, out) else { continue };
        if folder.may_read(&path) {
            folders.readable.push(path);
        } else {
            out.push(not_allowed(&quote(&text.text), &path, folder, &text.place));
            folders.refused.push(path);
        }
    }
    folders
}

/// Error for a folder that only the user can allow.
fn not_allowed(name: &str, path: &Path, folder: &Folder, place: &Place) -> Diagnostic {
    Diagnostic::at(format!("the stack may not read {name}"), place)
        .label("it may read its own folder and visible folders beside it")
        .help(format!("if you trust this file, allow it with --allow-folder {}", folder.full(path).display()))
}

/// Reads `x-lab` against the services. `start` is the place for an error if it is missing.
pub(super) fn read(fields: &Fields, services: &[Placed], start: &Text, out: &mut Diagnostics) -> Option<XLab> {
    let Some(entry) = fields.get("x-lab") else {
        if fields.lacks("x-lab") {
            out.push(
                Diagnostic::at("`x-lab` is missing", &start.place)
                    .label("expected it here")
                    .help("it defines which service is the app, which one is the gateway, and their ports"),
            );
        }
        return None;
    };
    let lab = reader::known(&entry.value, &entry.key, "`x-lab`", &KEYS, &[], out)?;
    for (key, what) in [("app", "the service under test"), ("gateway", "the service that requests go through")] {
        if lab.lacks(key) {
            let message = format!("`x-lab` has no `{key}`");
            out.push(Diagnostic::at(message, &entry.key.place).label(format!("expected {what} here")));
        }
    }
    let of = Services(services);
    let (app, gateway) = (of.app(&lab, out), of.gateway(&lab, out));
    let edge = of.server(&lab, "edge", out);
    let (prometheus, grafana) = (of.server(&lab, "prometheus", out), of.server(&lab, "grafana", out));
    let database = reader::value(&lab, "database", |name| of.known(name), out);
    let optional = of.optional(&lab, out);
    let (app, gateway) = (app?, gateway?);
    for (service, what) in
        [(Some(&app.service), "app"), (Some(&gateway.service), "gateway"), (database.as_ref(), "database")]
    {
        if let Some(service) = service {
            Services::needed(&lab, service, what, &optional, out);
        }
    }
    Some(XLab { app, gateway, optional, edge, prometheus, grafana, database })
}

struct Services<'p>(&'p [Placed]);

impl Services<'_> {
    fn find(&self, name: &str) -> Option<&Placed> {
        self.0.iter().find(|placed| placed.service.name == name)
    }

    fn known(&self, name: &str) -> Result<String, ValueError> {
        let names = || self.0.iter().map(|placed| placed.service.name.as_str());
        let found = self.find(name).map(|_| name.to_owned());
        found.ok_or_else(|| {
            let known = format!("expected a service: {}", quote_list(names()));
            ValueError::Service(did_you_mean(name, names(), &known))
        })
    }

    /// Reads `service` and `port` of a part of `x-lab`. The port must be published.
    fn service_and_port(&self, fields: &Fields, key: &Text, out: &mut Diagnostics) -> Option<(String, u16)> {
        let of = (key, &*format!("`{}`", key.text));
        let service = reader::required(fields, "service", of, |name| self.known(name), out);
        let port = reader::required(fields, "port", of, values::port, out);
        let (service, port) = (service?, port?);
        if let Some(placed) = self.find(&service)
            && !placed.service.ports.iter().any(|it| it.target == port)
        {
            let message = format!("port {port} of {} is not published", quote(&service));
            let place = fields.get("port").map_or(&key.place, |entry| &entry.value.place);
            out.push(
                Diagnostic::at(message, place)
                    .label("lab cannot reach it")
                    .help(format!("add to the service: `ports: [\"127.0.0.1::{port}\"]`")),
            );
        }
        Some((service, port))
    }

    fn app(&self, lab: &Fields, out: &mut Diagnostics) -> Option<XLabApp> {
        let entry = lab.get("app")?;
        let fields = reader::inner(lab, "app", &APP, &[], out)?;
        let both = self.service_and_port(&fields, &entry.key, out);
        let variable = reader::required(&fields, "key_variable", (&entry.key, "`app`"), values::variable, out);
        let path = |key: &str, default: &str, out: &mut Diagnostics| {
            reader::value(&fields, key, values::http_path, out).unwrap_or_else(|| default.to_owned())
        };
        let (metrics_path, health_path) = (path("metrics_path", "/metrics", out), path("health_path", "/health", out));
        let awaits = reader::list(&fields, "awaits", |name| self.known(name), out);
        if let Some((service, _)) = &both {
            self.depends(service, &awaits, &fields, out);
            self.free_ports(service, out);
        }
        let ((service, port), key_variable) = (both?, variable?);
        if let Some(placed) = self.find(&service)
            && !placed.service.environment.contains_key(&key_variable)
        {
            let message = format!("{} is not in the environment of {}", quote(&key_variable), quote(&service));
            let place = fields.get("key_variable").map_or(&entry.key.place, |entry| &entry.value.place);
            let names = placed.service.environment.keys().map(String::as_str);
            out.push(Diagnostic::at(message, place).label(did_you_mean(
                &key_variable,
                names,
                "expected the variable with the key",
            )));
        }
        Some(XLabApp { service, key_variable, port, metrics_path, health_path, awaits })
    }

    /// Checks that an app depends on the services that it waits for, because it starts after they have started.
    fn depends(&self, app: &str, awaits: &[String], fields: &Fields, out: &mut Diagnostics) {
        let (Some(placed), Some(entry)) = (self.find(app), fields.get("awaits")) else { return };
        for other in awaits.iter().filter(|other| !placed.depends_on.iter().any(|(name, _)| name == *other)) {
            let message = format!("{} does not depend on {}", quote(app), quote(other));
            out.push(
                Diagnostic::at(message, &entry.key.place).label("services in `awaits` must also be in `depends_on`"),
            );
        }
    }

    /// Checks that the app has no fixed host port, because its next instance starts beside the active one.
    fn free_ports(&self, app: &str, out: &mut Diagnostics) {
        let Some(placed) = self.find(app) else { return };
        for (port, place) in placed.service.ports.iter().zip(&placed.ports).filter(|(port, _)| port.published.is_some())
        {
            out.push(
                Diagnostic::at(format!("a port of the `app` {} is fixed", quote(app)), place)
                    .label(format!("expected a free one: `127.0.0.1::{}`", port.target))
                    .note("its next instance starts beside the active one; lab status shows the port"),
            );
        }
    }

    fn gateway(&self, lab: &Fields, out: &mut Diagnostics) -> Option<XLabGateway> {
        let entry = lab.get("gateway")?;
        let fields = reader::inner(lab, "gateway", &GATEWAY, &[], out)?;
        let both = self.service_and_port(&fields, &entry.key, out);
        if fields.lacks("reload") {
            let message = "`gateway` has no `reload`";
            out.push(
                Diagnostic::at(message, &entry.key.place)
                    .label("expected a command that makes it resolve the app's name again"),
            );
        }
        let reload = reader::command(&fields, "reload", out);
        let route = reader::command(&fields, "route", out);
        if let (Some(words), Some(written)) = (&route, fields.get("route"))
            && !words.iter().any(|word| word.contains(ADDRESS))
        {
            let message = format!("`route` has no `{ADDRESS}`");
            out.push(Diagnostic::at(message, &written.key.place).label("expected it in place of the app's address"));
        }
        let (service, port) = both?;
        Some(XLabGateway { service, port, reload: reload?, route })
    }

    fn server(&self, lab: &Fields, key: &str, out: &mut Diagnostics) -> Option<(String, u16)> {
        let entry = lab.get(key)?;
        let fields = reader::inner(lab, key, &SERVER, &[], out)?;
        self.service_and_port(&fields, &entry.key, out)
    }

    fn optional(&self, lab: &Fields, out: &mut Diagnostics) -> Vec<Optional> {
        let mut optional = Vec::new();
        for (service, (gives, text)) in reader::pairs(lab, "optional", out) {
            let named = Text { text: service.clone(), place: text.place.clone() };
            let known = reader::parse(&named, "optional", |name| self.known(name), out);
            match (known, gives) {
                (Some(_), Some(gives)) => optional.push(Optional { service, gives }),
                (Some(_), None) => out.push(missing_value(&text, "what is missing without it: `dashboards`")),
                (None, _) => {}
            }
        }
        for (name, place, placed) in
            self.0.iter().flat_map(|placed| placed.depends_on.iter().map(move |(name, place)| (name, place, placed)))
        {
            let is_optional = |name: &str| optional.iter().any(|it: &Optional| it.service == name);
            if is_optional(name) && !is_optional(&placed.service.name) {
                let message = format!("{} depends on {}, which is optional", quote(&placed.name.text), quote(name));
                out.push(Diagnostic::at(message, place).label("make both optional, or neither"));
            }
        }
        optional
    }

    /// Reports a required service that is optional.
    fn needed(lab: &Fields, service: &str, what: &str, optional: &[Optional], out: &mut Diagnostics) {
        if optional.iter().any(|it| it.service == service)
            && let Some(entry) = lab.get("optional")
        {
            let message = format!("{} is optional, but it is the `{what}`", quote(service));
            out.push(Diagnostic::at(message, &entry.key.place).label("every lab needs it"));
        }
    }
}
