//! What `lab doctor` says of Docker: the daemon, what it has to work with, the images and the ports of a lab on it. Docker is
//! worth having, and nothing that lab needs: nothing here is bad.

use crate::engines::Connect;
use futures_util::future::join_all;

use super::{Finding, Graphs, PATIENCE};
use lab_containers::docker::{Checkup, Docker, Origin, StackImage};
use lab_core::engine::port;
use lab_report::report::human;
use lab_runner::lab::{Containers, DEFAULT_NAME, StateFolder};
use lab_system::deadline;

/// The stack takes less than half of it; its limits add up to somewhat more.
const MEMORY_WANTED: u64 = 1_500_000_000;
/// For the images, the volumes and the logs.
const DISK_WANTED: u64 = 3_000_000_000;
/// Those of a lab on Docker beside the gateway's, and whose they are.
const PORTS: [(u16, &str); 2] = [(9090, "Prometheus"), (3000, "the dashboard")];

pub(super) async fn look(graphs: Option<&Graphs>) -> Vec<Finding> {
    let docker = match reach() {
        Ok(docker) => docker,
        Err(why) => return vec![Finding::note("docker", why)],
    };
    let checkup = match deadline::timeout(PATIENCE, docker.checkup()).await {
        Ok(Ok(checkup)) => checkup,
        Ok(Err(error)) => {
            let hint = error.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            return vec![Finding::note("docker", format!("{}{hint}; labs run embedded until then", error.detail))];
        }
        Err(_) => {
            let says = "the daemon does not answer; restart it, or Docker Desktop; labs run embedded until then";
            return vec![Finding::note("docker", says.to_owned())];
        }
    };
    if checkup.elsewhere {
        let place = format!("{} at {}", checkup.version, checkup.host);
        let says =
            format!("{place}, on another machine: run lab there, or open a lab's ports to all: lab up --bind 0.0.0.0");
        return vec![Finding::note("docker", says)];
    }
    let mut findings = vec![
        Finding::good("docker", format!("{} at {}", checkup.version, checkup.host)),
        memory(&checkup),
        disk(&checkup),
    ];
    match docker.inventory().await {
        Ok(images) => findings.extend(join_all(images.iter().map(|image| about(&docker, image))).await),
        Err(error) => findings.push(Finding::note("images", error.to_string())),
    }
    for (port, whose) in PORTS {
        findings.push(extra_port(&docker, port, whose, graphs).await);
    }
    findings
}

fn reach() -> Result<Docker, String> {
    let lab =
        StateFolder::open().and_then(|state| state.lab(DEFAULT_NAME)).map_err(|_| "not looked at: no state folder")?;
    lab.docker(&Containers::from_env()).map_err(|errors| format!("the stack that comes with lab is wrong: {errors}"))
}

fn memory(checkup: &Checkup) -> Finding {
    let (memory, processors) = (human::bytes(checkup.memory), human::count(checkup.processors, "processor"));
    let says = format!("{memory}, {processors}");
    if checkup.memory > 0 && checkup.memory < MEMORY_WANTED {
        let wanted = human::bytes(MEMORY_WANTED);
        return Finding::note("docker memory", format!("{says}; give it {wanted}, else services may be killed"));
    }
    Finding::good("docker memory", says)
}

fn disk(checkup: &Checkup) -> Finding {
    let Some(free) = checkup.free else {
        let says = format!("{} is not on this machine; docker system df shows what is used", checkup.folder);
        return Finding::good("docker disk", says);
    };
    let says = format!("{} free at {}", human::bytes(free), checkup.folder);
    if free < DISK_WANTED {
        return Finding::note("docker disk", format!("{says}; docker system df shows what takes the space"));
    }
    Finding::good("docker disk", says)
}

async fn about(docker: &Docker, image: &StackImage) -> Finding {
    let what = format!("image {}", image.service);
    let name = &image.image;
    if let Some(stored) = &image.stored {
        let says = format!("{name}, {}", human::bytes(stored.size));
        return match stored.origin {
            Origin::StandIn => {
                Finding::good(&what, format!("{says}, a stand-in; lab images pull fetches the official one"))
            }
            Origin::Official | Origin::Local => Finding::good(&what, says),
        };
    }
    if let Some(error) = &image.error {
        return Finding::note(&what, error.clone());
    }
    if image.made_here {
        return Finding::good(&what, "made from lab itself when a lab comes up".to_owned());
    }
    let without = match image.optional.as_deref() {
        Some(gives) if !gives.is_empty() => format!(" (without it: no {gives})"),
        _ => String::new(),
    };
    let says = match docker.in_registry(name).await {
        Ok(()) => format!("{name} is missing{without}; lab images pull fetches it"),
        Err(_) => format!("{name} is missing{without}, and no registry in reach has it; lab images load FILE"),
    };
    Finding::note(&what, says)
}

async fn extra_port(docker: &Docker, port: u16, whose: &str, graphs: Option<&Graphs>) -> Finding {
    let what = format!("port {port}");
    let Err(error) = port::require_free(port) else { return Finding::good(&what, "free".to_owned()) };
    if let Some(graphs) = graphs.filter(|graphs| graphs.are_on(port)) {
        return Finding::good(&what, format!("held by the dashboard of lab {}", graphs.lab.name()));
    }
    match docker.holder_of(port).await.ok().flatten() {
        Some(holder) if holder.ends_with(&format!("of lab {DEFAULT_NAME}")) => {
            Finding::good(&what, format!("held by {holder}"))
        }
        Some(holder) => Finding::note(&what, format!("held by {holder}; {whose} gets a free one instead")),
        None => Finding::note(&what, format!("{}; {whose} gets a free one instead", error.detail)),
    }
}

/// The holder of a port among the containers, as people name it.
pub(super) async fn holder_of(port: u16) -> Option<String> {
    let docker = reach().ok()?;
    deadline::timeout(PATIENCE, docker.holder_of(port)).await.ok()?.ok()?
}
