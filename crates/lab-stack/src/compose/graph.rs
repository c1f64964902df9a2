//! Checks the dependencies of services: no cycles, and a health check for each service that must be healthy.

use std::collections::BTreeSet;

use crate::Condition;
use lab_yaml::{Diagnostic, Diagnostics, quote};

use super::Placed;

/// Reports invalid dependencies.
pub(super) fn check(services: &[Placed], out: &mut Diagnostics) {
    for placed in services {
        for (name, place) in &placed.depends_on {
            let healthy = placed.service.depends_on.get(name) == Some(&Condition::Healthy);
            let known = services.iter().find(|other| &other.service.name == name);
            if healthy && known.is_some_and(|other| other.service.health.own().is_none()) {
                let message = format!("{} must be healthy but has no health check", quote(name));
                out.push(
                    Diagnostic::at(message, place)
                        .label("add a `healthcheck` to it, or use `service_started`")
                        .note("lab runs health checks itself, so the image's own does not count"),
                );
            }
        }
    }
    cycles(services, out);
}

/// Reports each cycle once, starting at its first service in the file.
fn cycles(services: &[Placed], out: &mut Diagnostics) {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    for start in 0..services.len() {
        let mut path = vec![start];
        visit(services, &mut path, &mut done, out);
    }
}

fn visit(services: &[Placed], path: &mut Vec<usize>, done: &mut BTreeSet<usize>, out: &mut Diagnostics) {
    let Some(&last) = path.last() else { return };
    if done.contains(&last) {
        return;
    }
    for (name, place) in &services[last].depends_on {
        let Some(next) = services.iter().position(|other| &other.service.name == name) else { continue };
        if let Some(from) = path.iter().position(|known| *known == next) {
            let names: Vec<&str> =
                path[from..].iter().chain([&next]).map(|at| services[*at].service.name.as_str()).collect();
            out.push(
                Diagnostic::at("`depends_on` has a cycle", place)
                    .label(format!("{}: none of them can start first", names.join(" > "))),
            );
            continue;
        }
        path.push(next);
        visit(services, path, done, out);
        path.pop();
    }
    done.insert(last);
}
