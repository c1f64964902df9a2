//! `lab swarm`: the nodes of a Docker Swarm for labs, and lab's image on them.

use serde::Serialize;

use super::session::Session;
use crate::cli::SwarmCommand;
use lab_containers::swarm::{Cluster, ClusterStatus, NodeStatus};
use lab_core::engine::host_from_env;
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;

pub(super) async fn run(session: &Session, command: &SwarmCommand) -> anyhow::Result<Exit> {
    let host = host_from_env();
    match command {
        SwarmCommand::Status { image, json } => {
            let cluster = Cluster::connect(host.as_deref()).await?;
            let status = cluster.status(image.as_deref()).await?;
            if *json {
                return session.json(&Document::from(&status));
            }
            show(session, &status)
        }
        SwarmCommand::Init { advertise_addr } => {
            let join = Cluster::init(host.as_deref(), advertise_addr.as_deref()).await?;
            let (id, _) = Cluster::load_image(host.as_deref()).await?;
            session.line("this Docker daemon is the manager of a new Swarm")?;
            session.line(&format!("it has lab's image {}", short(&id)))?;
            session.line(&format!("a machine joins with: {join}"))?;
            session.line("and gets the image with: DOCKER_HOST=ssh://MACHINE lab swarm load")
        }
        SwarmCommand::Save { file } => {
            let id = Cluster::save_image(file).await.map_err(|error| Failure::failed(error.to_string()))?;
            session.line(&format!("{} contains lab's image {}", file.display(), short(&id)))?;
            session.line(&format!("on a node: docker load --input {}", file.display()))
        }
        SwarmCommand::Load => {
            let (id, loaded) = Cluster::load_image(host.as_deref()).await?;
            let what = if loaded { "loaded" } else { "the daemon already has" };
            session.line(&format!("{what} lab's image {}", short(&id)))
        }
    }
}

/// First digits of an image's id.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// Output of `lab swarm status --json`.
#[derive(Serialize)]
struct Document<'a> {
    host: &'a str,
    image: Option<&'a str>,
    nodes: Vec<NodeDocument<'a>>,
    /// Labs without a node.
    pending: Vec<PendingDocument<'a>>,
}

#[derive(Serialize)]
struct NodeDocument<'a> {
    name: &'a str,
    address: Option<&'a str>,
    ready: bool,
    /// Accepts labs: not drained and not paused.
    active: bool,
    manager: bool,
    memory: u64,
    processors: u64,
    version: &'a str,
    /// Null if the node did not answer.
    has_image: Option<bool>,
    labs: Vec<&'a str>,
    /// Number of further labs by memory.
    capacity: u64,
}

#[derive(Serialize)]
struct PendingDocument<'a> {
    lab: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a ClusterStatus> for Document<'a> {
    fn from(status: &'a ClusterStatus) -> Self {
        let node = |node: &'a NodeStatus| NodeDocument {
            name: &node.name,
            address: node.address.as_deref(),
            ready: node.is_ready,
            active: node.is_active,
            manager: node.is_manager,
            memory: node.memory,
            processors: node.processors,
            version: &node.version,
            has_image: node.has_image,
            labs: node.labs.iter().map(|placed| placed.lab.as_str()).collect(),
            capacity: node.capacity(),
        };
        Self {
            host: &status.host,
            image: status.image.as_deref(),
            nodes: status.nodes.iter().map(node).collect(),
            pending: status.pending.iter().map(|(lab, reason)| PendingDocument { lab, reason }).collect(),
        }
    }
}

fn show(session: &Session, status: &ClusterStatus) -> anyhow::Result<Exit> {
    let columns = ["node", "state", "address", "memory", "image", "labs", "room for"];
    let mut table = Table::new(&columns.map(|name| (name, Side::Left)));
    for node in &status.nodes {
        let state = match (node.is_ready, node.is_active) {
            (false, _) => "down",
            (true, false) => "drained",
            (true, true) if node.is_manager => "ready, manager",
            (true, true) => "ready",
        };
        let image = match node.has_image {
            Some(true) => "yes",
            Some(false) => "missing",
            None => "unknown",
        };
        let labs: Vec<&str> = node.labs.iter().map(|placed| placed.lab.as_str()).collect();
        let labs = match labs.as_slice() {
            [] => "none".to_owned(),
            [first, second, _, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second} and {} more", labs.len() - 2)
            }
            few => few.join(", "),
        };
        let address = node.address.clone().unwrap_or_else(|| "unknown".to_owned());
        let cells = [
            node.name.clone(),
            state.to_owned(),
            address,
            human::bytes(node.memory),
            image.to_owned(),
            labs,
            human::count(node.capacity(), "lab"),
        ];
        table.row(cells.into_iter().map(Cell::from));
    }
    let mut out = session.term.out();
    table.write(&mut out, session.term.width(), session.term.painter())?;
    drop(out);
    for (lab, reason) in &status.pending {
        session.line(&format!("lab {lab} waits for a node: {reason}"))?;
    }
    let missing: Vec<&str> =
        status.nodes.iter().filter(|node| node.has_image == Some(false)).map(|node| node.name.as_str()).collect();
    if !missing.is_empty() {
        let note = format!("lab's image is missing on {}", missing.join(", "));
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &note));
        session
            .term
            .note("next: DOCKER_HOST=ssh://NODE lab swarm load, or lab swarm save FILE and docker load on the node");
    }
    Ok(Exit::Passed)
}
