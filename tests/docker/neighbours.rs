//! Two users who share a daemon, and with it the names of what is on it.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::dashboard::until_none;
use crate::support::{docker, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_lab_that_somebody_else_keeps_is_left_alone", left_alone),
        trial("a_lab_whose_folder_was_removed_is_taken_down", forgotten),
        trial("of_two_that_bring_up_a_name_at_once_one_does", at_once),
        trial("a_network_of_the_same_name_is_left_to_its_owner", other_network),
        trial("a_volume_of_the_same_name_is_left_to_its_owner", other_volume),
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

async fn left_alone() {
    let (one, other) = (Cli::new("shared"), Cli::new("shared"));
    assert_eq!(one.name, other.name);
    one.lab(&words(&up(&one))).status(0);
    let serves = || {
        one.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    };
    let kept = format!(":{}", one.state().display());
    other
        .lab(&words(&up(&other)))
        .status(3)
        .complains("belongs to another state folder")
        .complains(&kept)
        .complains("--name");
    assert_eq!(other.labs(), [""; 0], "it made none");
    serves();
    let force = format!("lab down --name {} --force", other.name);
    other.lab(&["down"]).status(0).says("does not exist").complains(&kept).complains(&force);
    other.lab(&["down", "--all"]).status(0);
    serves();
    other.lab(&["down", "--force"]).status(0);
    other.is_clean();
    one.lab(&["status"]).status(3);
    one.finish();
}

async fn forgotten() {
    let user = Cli::new("folderless");
    user.lab(&words(&up(&user))).status(0);
    std::fs::remove_dir_all(user.state().join("labs")).expect("the folder is ours");
    user.lab(&["down"]).status(0).says("is down");
    user.lab(&["down"]).status(0).says("does not exist");
    // Its dashboard misses the folder, and ends.
    until_none(&user).await;
    user.is_clean();
}

async fn at_once() {
    let (one, other) = (Cli::new("at-once"), Cli::new("at-once"));
    assert_eq!(one.name, other.name);
    let ups = (up(&one), up(&other));
    let both = (one.start(&words(&ups.0)), other.start(&words(&ups.1)));
    let ran = [both.0.ran(), both.1.ran()];
    let codes = [ran[0].code(), ran[1].code()];
    assert!(
        codes == [Some(0), Some(3)] || codes == [Some(3), Some(0)],
        "{codes:?}\n{}\n{}",
        ran[0].stdout,
        ran[1].stdout
    );
    let (winner, loser, said) =
        if codes[0] == Some(0) { (one, other, &ran[1].stdout) } else { (other, one, &ran[0].stdout) };
    assert!(
        said.contains("belongs to another state folder") && said.contains(&winner.state().display().to_string()),
        "{said}"
    );
    assert_eq!(loser.labs(), [""; 0], "it made none");
    loser.lab(&["down"]).status(0).says("does not exist");
    winner.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    winner.lab(&["key", "rotate", "apikey-v2"]).status(0);
    winner.finish();
}

/// Removes what a test made beside its lab, also if it failed.
struct Others(Vec<&'static str>, String);

impl Drop for Others {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("docker");
        let _ = command.args(&self.0).arg(&self.1).output();
    }
}

async fn other_network() {
    let user = Cli::new("same-network");
    let name = format!("lab-{}_default", user.name);
    docker(&["network", "create", &name]);
    let _others = Others(vec!["network", "rm"], name.clone());
    let id = docker(&["network", "inspect", "--format", "{{.Id}} {{len .Containers}}", &name]);
    user.lab(&words(&up(&user))).status(0);
    user.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let step = "title: T\nsteps:\n  - { pause: db }\n  - { unpause: db }\n  - { set_env: { service: gateway, env: { A: b } } }\n";
    let story = user.path().join("story.yaml");
    std::fs::write(&story, step).expect("the folder is ours");
    user.lab(&["scenario", "run", &story.display().to_string()]).status(0);
    docker(&["rm", "-f", &format!("lab-{}-db-1", user.name)]);
    user.lab(&["up"]).status(0).says("recreated db");
    user.lab(&["status"]).status(0);
    user.finish();
    assert_eq!(docker(&["network", "inspect", "--format", "{{.Id}} {{len .Containers}}", &name]), id);
}

async fn other_volume() {
    let user = Cli::new("same-volume");
    let name = format!("lab-{}_db-data", user.name);
    docker(&["volume", "create", &name]);
    let _others = Others(vec!["volume", "rm"], name.clone());
    user.lab(&words(&up(&user))).status(3).complains(&name).complains("does not belong to this lab");
    assert_eq!(user.labs(), [""; 0], "it made none");
    user.is_clean();
    assert!(docker(&["volume", "ls", "-q"]).lines().any(|line| line == name));
    let container = format!("lab-{}-gateway-1", user.name);
    docker(&["volume", "rm", &name]);
    docker(&["create", "--name", &container, "nginx:1.30"]);
    let _others = Others(vec!["rm", "-f"], container.clone());
    user.lab(&words(&up(&user))).status(3).complains(&container).complains("does not belong to this lab");
    user.is_clean();
    docker(&["inspect", &container]);
}
