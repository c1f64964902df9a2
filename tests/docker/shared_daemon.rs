//! Two users who share a daemon, and thus the names of its objects.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::dashboard::until_none;
use crate::support::{docker, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_lab_of_another_owner_is_not_touched,
        a_lab_whose_folder_was_removed_can_be_removed,
        concurrent_ups_with_the_same_name_start_one_lab,
        a_foreign_network_of_the_same_name_is_not_touched,
        a_foreign_volume_of_the_same_name_is_not_touched,
    ]
}

fn up(user: &Cli) -> Vec<String> {
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    ["up", "--port", "0", "--stack"].map(str::to_owned).into_iter().chain([folder.display().to_string()]).collect()
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

async fn a_lab_of_another_owner_is_not_touched() {
    let (one, other) = (Cli::new("shared"), Cli::new("shared"));
    assert_eq!(one.name, other.name);
    one.lab(&words(&up(&one))).status(0);
    let serves = || {
        one.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    };
    let owner = format!(":{}", one.state().display());
    other
        .lab(&words(&up(&other)))
        .status(3)
        .complains("belongs to another state folder")
        .complains(&owner)
        .complains("--name");
    assert_eq!(other.labs(), [""; 0], "a lab was created");
    serves();
    let force = format!("lab down --name {} --force", other.name);
    other.lab(&["down"]).status(0).says("does not exist").complains(&owner).complains(&force);
    other.lab(&["down", "--all"]).status(0);
    serves();
    other.lab(&["down", "--force"]).status(0);
    other.assert_clean();
    one.lab(&["status"]).status(3);
    one.finish();
}

async fn a_lab_whose_folder_was_removed_can_be_removed() {
    let user = Cli::new("folderless");
    user.lab(&words(&up(&user))).status(0);
    std::fs::remove_dir_all(user.state().join("labs")).expect("a writable path");
    user.lab(&["down"]).status(0).says("is down");
    user.lab(&["down"]).status(0).says("does not exist");
    // The dashboard notices that the folder is gone, and ends.
    until_none(&user).await;
    user.assert_clean();
}

async fn concurrent_ups_with_the_same_name_start_one_lab() {
    let (one, other) = (Cli::new("at-once"), Cli::new("at-once"));
    assert_eq!(one.name, other.name);
    let ups = (up(&one), up(&other));
    let both = (one.start(&words(&ups.0)), other.start(&words(&ups.1)));
    let result = [both.0.wait(), both.1.wait()];
    let codes = [result[0].code(), result[1].code()];
    assert!(
        codes == [Some(0), Some(3)] || codes == [Some(3), Some(0)],
        "{codes:?}\n{}\n{}",
        result[0].stdout,
        result[1].stdout
    );
    let (winner, loser, stdout) =
        if codes[0] == Some(0) { (one, other, &result[1].stdout) } else { (other, one, &result[0].stdout) };
    assert!(
        stdout.contains("belongs to another state folder") && stdout.contains(&winner.state().display().to_string()),
        "{stdout}"
    );
    assert_eq!(loser.labs(), [""; 0], "it created no lab");
    loser.lab(&["down"]).status(0).says("does not exist");
    winner.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    winner.lab(&["key", "rotate", "apikey-v2"]).status(0);
    winner.finish();
}

/// Removes an object that a test created outside of lab, even if the test fails.
struct Cleanup(Vec<&'static str>, String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("docker");
        let _ = command.args(&self.0).arg(&self.1).output();
    }
}

async fn a_foreign_network_of_the_same_name_is_not_touched() {
    let user = Cli::new("same-network");
    let name = format!("lab-{}_default", user.name);
    docker(&["network", "create", &name]);
    let _cleanup = Cleanup(vec!["network", "rm"], name.clone());
    let id = docker(&["network", "inspect", "--format", "{{.Id}} {{len .Containers}}", &name]);
    user.lab(&words(&up(&user))).status(0);
    user.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let step = "title: T\nsteps:\n  - { pause: db }\n  - { unpause: db }\n  - { set_env: { service: gateway, env: { A: b } } }\n";
    let story = user.path().join("story.yaml");
    std::fs::write(&story, step).expect("a writable path");
    user.lab(&["scenario", "run", &story.display().to_string()]).status(0);
    docker(&["rm", "-f", &format!("lab-{}-db-1", user.name)]);
    user.lab(&["up"]).status(0).says("recreated db");
    user.lab(&["status"]).status(0);
    user.finish();
    assert_eq!(docker(&["network", "inspect", "--format", "{{.Id}} {{len .Containers}}", &name]), id);
}

async fn a_foreign_volume_of_the_same_name_is_not_touched() {
    let user = Cli::new("same-volume");
    let name = format!("lab-{}_db-data", user.name);
    docker(&["volume", "create", &name]);
    let _cleanup = Cleanup(vec!["volume", "rm"], name.clone());
    user.lab(&words(&up(&user))).status(3).complains(&name).complains("does not belong to this lab");
    assert_eq!(user.labs(), [""; 0], "it created no lab");
    user.assert_clean();
    assert!(docker(&["volume", "ls", "-q"]).lines().any(|line| line == name));
    let container = format!("lab-{}-gateway-1", user.name);
    docker(&["volume", "rm", &name]);
    docker(&["create", "--name", &container, "nginx:1.30"]);
    let _cleanup = Cleanup(vec!["rm", "-f"], container.clone());
    user.lab(&words(&up(&user))).status(3).complains(&container).complains("does not belong to this lab");
    user.assert_clean();
    docker(&["inspect", &container]);
}
