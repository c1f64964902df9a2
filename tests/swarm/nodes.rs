//! `lab swarm`: nodes, images, and what is refused.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cluster::{NODES, shared};
use crate::user::User;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![the_nodes_are_listed_with_their_images, daemons_that_are_no_manager_are_refused]
}

fn images(status: &Value) -> Vec<(String, bool)> {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().map(|node| (node["name"].as_str().unwrap().to_owned(), node["has_image"].as_bool().unwrap())).collect()
}

fn the_nodes_are_listed_with_their_images() {
    let cluster = shared();
    let user = User::new(&cluster);
    user.lab(&["swarm", "load"]).status(0).says("lab's image");
    let status = user.lab(&["swarm", "status", "--json"]).status(0).json();
    let expected = [("n1", true), ("n2", false), ("n3", false)].map(|(name, has)| (name.to_owned(), has));
    assert_eq!(images(&status), expected, "{status}");
    for (index, node) in status["nodes"].as_array().unwrap().iter().enumerate() {
        assert_eq!(node["address"], format!("10.77.0.{}", index + 1), "{node}");
        assert_eq!(node["ready"], true, "{node}");
        assert!(node["capacity"].as_u64().unwrap() > 0, "{node}");
    }
    user.lab(&["doctor"]).says("manager of 3 nodes");
    user.lab(&["swarm", "status"]).status(0).says("ready, manager").complains("lab's image is missing on n2, n3");
    // A file has the same image: every node knows it by one id.
    let file = user.state().join("lab.tar");
    user.lab(&["swarm", "save", file.to_str().unwrap()]).status(0).says("docker load --input");
    cluster.docker(2, &["load", "--quiet", "--input", file.to_str().unwrap()]);
    User::on(&cluster, 3).lab(&["swarm", "load"]).status(0).says("loaded lab's image");
    User::on(&cluster, 3).lab(&["swarm", "load"]).status(0).says("already has");
    let status = user.lab(&["swarm", "status", "--json"]).status(0).json();
    assert!(images(&status).iter().all(|(_, has)| *has), "{status}");
    let image = status["image"].as_str().unwrap();
    for node in 1..=NODES {
        assert_eq!(cluster.docker(node, &["image", "inspect", "--format", "{{.Id}}", image]).trim(), image);
    }
    cluster.assert_empty();
}

fn daemons_that_are_no_manager_are_refused() {
    let cluster = shared();
    let worker = User::on(&cluster, 2);
    worker.lab(&["swarm", "status"]).status(3).complains("only a worker");
    worker.lab(&["up"]).status(3).complains("only a worker").complains("ssh://MANAGER");
    worker.lab(&["down"]).status(0).says("does not exist");
    let user = User::new(&cluster);
    user.lab(&["swarm", "init"]).status(3).complains("in a Swarm already");
    user.lab(&["up", "--app-image", "lab:latest"]).status(2).complains("by its id or digest");
    user.lab(&["up", "--bind", "0.0.0.0"]).status(2).complains("--bind");
    cluster.assert_empty();
}
