//! Decisions about the place of a lab: its ports, the state of its task, and why it has no node.

use serde::{Deserialize, Serialize};

use crate::docker::client::swarm::{SwarmNode, SwarmTask, TaskStage};
use lab_core::engine::{EngineError, EngineErrorKind};

/// Ports of labs: below the range from which the daemons choose, and unlikely to be used by others.
const FIRST_PORT: u16 = 30_000;
const LAST_PORT: u16 = 32_000;
/// Node label with the address for clients, for nodes that are reached at another address than Swarm knows.
const ADDRESS_LABEL: &str = "lab.address";

/// Ports of a lab on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) gateway: u16,
    pub(super) control: u16,
    pub(super) metrics: u16,
}

impl Ports {
    /// Chooses ports that no service of the Swarm publishes. `gateway` is the requested port, 0 for a free one. `start` is any
    /// number: labs that start at once should not choose the same ports.
    pub(super) fn choose(used: &[u16], gateway: u16, start: u16) -> Result<Self, EngineError> {
        if gateway != 0 && used.contains(&gateway) {
            let detail = format!("a service of the Swarm publishes port {gateway} already");
            return Err(EngineError::new(EngineErrorKind::PortTaken, detail)
                .hint("give the lab another port: --port 8081, or --port 0 for a free one"));
        }
        let range = LAST_PORT - FIRST_PORT;
        let mut free = (0..range)
            .map(|offset| FIRST_PORT + (start % range + offset) % range)
            .filter(|port| !used.contains(port) && *port != gateway);
        let mut next = || {
            free.next().ok_or_else(|| {
                let detail = format!("no port from {FIRST_PORT} to {LAST_PORT} is free in the Swarm");
                EngineError::new(EngineErrorKind::PortTaken, detail).hint("lab swarm status shows the labs")
            })
        };
        let gateway = if gateway == 0 { next()? } else { gateway };
        Ok(Self { gateway, control: next()?, metrics: next()? })
    }
}

/// The task that Swarm wants to run now.
pub(super) fn current(tasks: &[SwarmTask]) -> Option<&SwarmTask> {
    tasks.iter().filter(|task| task.is_desired).max_by_key(|task| task.created)
}

/// The last task that failed, with its reason.
pub(super) fn last_failure(tasks: &[SwarmTask]) -> Option<(&SwarmTask, &str)> {
    let failed = tasks.iter().filter(|task| task.state == TaskStage::Failed);
    let last = failed.max_by_key(|task| task.created)?;
    Some((last, last.error.as_deref().unwrap_or("no reason given")))
}

/// Returns true if a node refused a task because it does not have the image.
pub(super) fn lacks_image(reason: &str) -> bool {
    reason.contains("No such image") || reason.contains("no such image")
}

/// Error of a lab that got no node in time.
pub(super) fn no_node(reason: Option<&str>) -> EngineError {
    let reason = reason.unwrap_or("Swarm gives no reason");
    let hint = if reason.contains("insufficient resources") {
        "take labs down or add a node; lab swarm status shows what each node can carry"
    } else if reason.contains("host-mode port") {
        "choose another --port, or --port 0 for a free one"
    } else {
        "lab swarm status shows the nodes"
    };
    EngineError::new(EngineErrorKind::StartupTimeout, format!("no node of the Swarm takes it: {reason}")).hint(hint)
}

/// Address of a node for clients.
pub(super) fn address(node: &SwarmNode) -> Result<String, EngineError> {
    let label = node.labels.get(ADDRESS_LABEL).cloned();
    label.or_else(|| node.address.clone()).ok_or_else(|| {
        let detail = format!("Swarm knows no address of node {}", node.name);
        EngineError::new(EngineErrorKind::Unreachable, detail)
            .hint(format!("docker node update --label-add {ADDRESS_LABEL}=ADDRESS {}", node.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_unique_in_the_swarm() {
        let first = Ports::choose(&[], 0, 7).unwrap();
        assert_eq!(first, Ports { gateway: 30_007, control: 30_008, metrics: 30_009 });
        let used = [30_007, 30_008, 30_009];
        assert_eq!(Ports::choose(&used, 0, 7).unwrap(), Ports { gateway: 30_010, control: 30_011, metrics: 30_012 });
        let chosen = Ports::choose(&used, 8080, LAST_PORT - FIRST_PORT - 1).unwrap();
        assert_eq!(chosen, Ports { gateway: 8080, control: 31_999, metrics: 30_000 });
        assert_eq!(Ports::choose(&[8080], 8080, 0).unwrap_err().kind, EngineErrorKind::PortTaken);
        let all: Vec<u16> = (FIRST_PORT..LAST_PORT).collect();
        assert!(Ports::choose(&all, 0, 0).unwrap_err().detail.contains("no port from 30000"));
    }

    fn task(id: &str, second: u32, is_desired: bool, state: TaskStage, error: Option<&str>) -> SwarmTask {
        let created = chrono::DateTime::from_timestamp(i64::from(second), 0);
        let (id, service, error) = (id.to_owned(), "s".to_owned(), error.map(str::to_owned));
        SwarmTask { id, service, node: None, state, is_desired, error, created }
    }

    #[test]
    fn the_current_task_is_the_newest_that_swarm_wants() {
        let tasks = [
            // A lost node: still running as far as the manager knows.
            task("lost", 1, false, TaskStage::Running, None),
            task("failed", 2, false, TaskStage::Failed, Some("task: non-zero exit (137)")),
            task("new", 3, true, TaskStage::Starting, None),
        ];
        assert_eq!(current(&tasks).map(|task| task.id.as_str()), Some("new"));
        assert_eq!(last_failure(&tasks).map(|(_, reason)| reason), Some("task: non-zero exit (137)"));
        assert!(current(&tasks[..2]).is_none());
        assert!(last_failure(&tasks[..1]).is_none());
    }

    #[test]
    fn the_hint_fits_the_reason() {
        let hint = |reason: &str| no_node(Some(reason)).hint.unwrap();
        assert!(hint("no suitable node (insufficient resources on 3 nodes)").contains("add a node"));
        assert!(hint("no suitable node (host-mode port already in use on 3 nodes)").contains("--port"));
        assert!(hint("no suitable node (unsupported platform on 3 nodes)").contains("lab swarm status"));
    }

    #[test]
    fn a_label_overrides_the_address_of_a_node() {
        let node = SwarmNode { name: "n1".to_owned(), address: Some("10.0.0.1".to_owned()), ..SwarmNode::default() };
        assert_eq!(address(&node).unwrap(), "10.0.0.1");
        let labels = [(ADDRESS_LABEL.to_owned(), "n1.example".to_owned())].into();
        assert_eq!(address(&SwarmNode { labels, ..node.clone() }).unwrap(), "n1.example");
        let error = address(&SwarmNode { address: None, ..node }).unwrap_err();
        assert!(error.hint.unwrap().contains("docker node update --label-add lab.address=ADDRESS n1"));
    }
}
