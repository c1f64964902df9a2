//! Labs on the Swarm: conformance, and the command line from `up` to `down`.

use std::sync::Once;

use lab_containers::swarm::{Swarm, SwarmOptions};
use lab_core::engine::Owner;
use lab_system::files::Folder;
use libtest_mimic::Trial;

use crate::cluster::{Cluster, NODES, shared};
use crate::conformance_suite::assert_conforms;
use crate::stripped::executable;
use crate::user::User;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        the_swarm_engine_conforms,
        a_lab_is_used_through_its_node,
        scenarios_have_the_deltas_of_embedded_labs
    ]
}

/// Makes sure that every node has the image.
pub(crate) fn load_images(cluster: &Cluster) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for node in 1..=NODES {
            User::on(cluster, node).lab(&["swarm", "load"]).status(0);
        }
    });
}

fn the_swarm_engine_conforms() {
    let cluster = shared();
    let folder = tempfile::tempdir().unwrap();
    let owner = Owner { id: "0123456789abcdef".to_owned(), location: "test:/state".to_owned() };
    let options =
        SwarmOptions { host: Some(cluster.host(1)), executable: Some(executable()), ..SwarmOptions::default() };
    let engine = Swarm::new("t-conforms", &Folder::new(folder.path().to_owned()), &owner, options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(assert_conforms(&engine));
    cluster.assert_empty();
}

fn a_lab_is_used_through_its_node() {
    let cluster = shared();
    load_images(&cluster);
    let user = User::new(&cluster);
    let up = user.lab(&["up", "--port", "0", "--json"]).status(0).json();
    assert_eq!((up["engine"].as_str(), up["outcome"].as_str()), (Some("swarm"), Some("created")), "{up}");
    let gateway = up["gateway"].as_str().unwrap();
    assert!(gateway.starts_with("http://10.77.0."), "{gateway}");
    user.lab(&["up"]).status(0).says("is up already");
    user.lab(&["status"]).status(0).says("healthy");
    user.lab(&["request", "/api/users"]).status(0).says("200");
    user.lab(&["traffic", "--requests", "20", "--rate", "50", "--json"]).status(0).says("\"200\": 20");
    user.lab(&["metrics", "--filter", "app_http_requests"]).status(0).says("app_http_requests");
    user.lab(&["logs", "app", "--tail", "3"]).status(0).says("access");
    user.lab(&["db", "query", "SELECT count(*) FROM users"]).status(0);
    user.lab(&["db", "query", "nonsense"]).status(2).complains("syntax error");
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"401\": 5");
    // Nothing that Swarm shows contains a key or the token.
    let record = std::fs::read_to_string(user.state().join("labs/default/swarm.json")).unwrap();
    let token = serde_json::from_str::<serde_json::Value>(&record).unwrap()["token"].as_str().unwrap().to_owned();
    let service = cluster.docker(1, &["service", "ls", "--format", "{{.Name}}"]);
    let shown = cluster.docker(1, &["service", "inspect", service.trim()])
        + &cluster.docker(1, &["service", "logs", "--raw", service.trim()]);
    assert!(!shown.contains(&token) && !shown.contains("apikey-v"), "{shown}");
    user.lab(&["down"]).status(0).says("is down");
    cluster.assert_empty();
}

fn scenarios_have_the_deltas_of_embedded_labs() {
    let cluster = shared();
    load_images(&cluster);
    let user = User::new(&cluster);
    user.lab(&["scenario", "run", "rotate-key"]).status(0);
    user.lab(&["scenario", "prove", "db-frozen"]).status(0);
    cluster.assert_empty();
}
