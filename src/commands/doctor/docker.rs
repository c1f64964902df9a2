//! Docker checks of `lab doctor`: the daemon, its resources, the stack's images and the ports of a Docker lab. Docker is
//! optional, so no finding here is graded bad.

use crate::engines::Connect;
use futures_util::future::join_all;

use super::{Finding, Graphs, PATIENCE};
use lab_containers::docker::{Checkup, Docker, Origin, StackImage};
use lab_core::engine::port;
use lab_report::report::human;
use lab_runner::lab::{Containers, DEFAULT_NAME, StateFolder};
use lab_system::deadline;

/// Recommended memory. The stack uses less than half of it; its limits add up to somewhat more.
const MEMORY_RECOMMENDED: u64 = 1_500_000_000;
/// Recommended disk space for images, volumes and logs.
const DISK_RECOMMENDED: u64 = 3_000_000_000;
/// Ports of a Docker lab besides the gateway's, and check uses them.
const PORTS: [(u16, &str); 2] = [(9090, "Prometheus"), (3000, "the dashboard")];

pub(super) async fn findings(graphs: Option<&Graphs>) -> Vec<Finding> {
    let docker = match reach() {
        Ok(docker) => docker,
        Err(error) => return vec![Finding::note("docker", error.to_string())],
    };
    let checkup = match deadline::timeout(PATIENCE, docker.checkup()).await {
        Ok(Ok(checkup)) => checkup,
        Ok(Err(error)) => {
            let hint = error.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            return vec![Finding::note(
                "docker",
                format!("{}{hint}; labs use the embedded engine until then", error.detail),
            )];
        }
        Err(_) => {
            let text =
                "the daemon does not answer; restart it or Docker Desktop; labs use the embedded engine until then";
            return vec![Finding::note("docker", text.to_owned())];
        }
    };
    if checkup.is_remote {
        let place = format!("{} at {}", checkup.version, checkup.host);
        let text = format!(
            "{place}, on another machine: run lab there, or publish a lab's ports to everyone with lab up --bind 0.0.0.0"
        );
        return vec![Finding::note("docker", text)];
    }
    let mut findings = vec![
        Finding::good("docker", format!("{} at {}", checkup.version, checkup.host)),
        memory(&checkup),
        disk(&checkup),
    ];
    if let Some(nodes) = checkup.swarm_nodes {
        let text = format!("manager of {}; lab swarm status shows which can run labs", human::count(nodes, "node"));
        findings.push(Finding::good("swarm", text));
    }
    match docker.inventory().await {
        Ok(images) => findings.extend(join_all(images.iter().map(|image| about(&docker, image))).await),
        Err(error) => findings.push(Finding::note("images", error.to_string())),
    }
    for (port, user) in PORTS {
        findings.push(extra_port(&docker, port, user, graphs).await);
    }
    findings
}

fn reach() -> anyhow::Result<Docker> {
    let lab = StateFolder::open().and_then(|state| state.lab(DEFAULT_NAME));
    let lab = lab.map_err(|_| anyhow::anyhow!("not checked: no state folder"))?;
    lab.docker(&Containers::from_env()).map_err(|errors| anyhow::anyhow!("the built-in stack is invalid: {errors}"))
}

fn memory(checkup: &Checkup) -> Finding {
    let (memory, processors) = (human::bytes(checkup.memory), human::count(checkup.processors, "processor"));
    let text = format!("{memory}, {processors}");
    if checkup.memory > 0 && checkup.memory < MEMORY_RECOMMENDED {
        let wanted = human::bytes(MEMORY_RECOMMENDED);
        return Finding::note("docker memory", format!("{text}; {wanted} are recommended, or services may be killed"));
    }
    Finding::good("docker memory", text)
}

fn disk(checkup: &Checkup) -> Finding {
    let Some(free) = checkup.free else {
        let text = format!("{} is not on this machine; docker system df shows the usage", checkup.folder);
        return Finding::good("docker disk", text);
    };
    let text = format!("{} free at {}", human::bytes(free), checkup.folder);
    if free < DISK_RECOMMENDED {
        return Finding::note("docker disk", format!("{text}; docker system df shows the usage"));
    }
    Finding::good("docker disk", text)
}

async fn about(docker: &Docker, image: &StackImage) -> Finding {
    let check = format!("image {}", image.service);
    let name = &image.image;
    if let Some(stored) = &image.stored {
        let text = format!("{name}, {}", human::bytes(stored.size));
        return match stored.origin {
            Origin::StandIn => {
                Finding::good(&check, format!("{text}, a stand-in; lab images pull gets the official image"))
            }
            Origin::Official | Origin::Local => Finding::good(&check, text),
        };
    }
    if let Some(error) = &image.error {
        return Finding::note(&check, error.clone());
    }
    if image.made_here {
        return Finding::good(&check, "built from lab itself by lab up".to_owned());
    }
    let without = match image.optional.as_deref() {
        Some(benefit) if !benefit.is_empty() => format!(" (the lab comes up without {benefit})"),
        _ => String::new(),
    };
    let text = match docker.in_registry(name).await {
        Ok(()) => format!("{name} is missing{without}; get it with lab images pull"),
        Err(_) => format!("{name} is missing{without} and not in any reachable registry; use lab images load FILE"),
    };
    Finding::note(&check, text)
}

async fn extra_port(docker: &Docker, port: u16, user: &str, graphs: Option<&Graphs>) -> Finding {
    let check = format!("port {port}");
    let Err(error) = port::require_free(port) else { return Finding::good(&check, "free".to_owned()) };
    if let Some(graphs) = graphs.filter(|graphs| graphs.are_on(port)) {
        return Finding::good(&check, format!("held by the dashboard of lab {}", graphs.lab.name()));
    }
    match docker.holder_of(port).await.ok().flatten() {
        Some(holder) if holder.ends_with(&format!("of lab {DEFAULT_NAME}")) => {
            Finding::good(&check, format!("held by {holder}"))
        }
        Some(holder) => Finding::note(&check, format!("held by {holder}; {user} gets a free one instead")),
        None => Finding::note(&check, format!("{}; {user} gets a free one instead", error.detail)),
    }
}

/// Container that holds a port, described for people.
pub(super) async fn holder_of(port: u16) -> Option<String> {
    let docker = reach().ok()?;
    deadline::timeout(PATIENCE, docker.holder_of(port)).await.ok()?.ok()?
}
