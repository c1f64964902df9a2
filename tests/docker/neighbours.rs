//! Two users who share a daemon, and with it the names of what is on it.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::dashboard::until_none;
use crate::support::write_small_stack;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_lab_that_somebody_else_keeps_is_left_alone", left_alone),
        trial("a_lab_whose_folder_was_removed_is_taken_down", forgotten),
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
    other.lab(&words(&up(&other))).status(3).complains("is somebody else's").complains(&kept).complains("--name");
    assert_eq!(other.labs(), [""; 0], "it made none");
    serves();
    let force = format!("lab down --name {} --force", other.name);
    other.lab(&["down"]).status(0).says("there is no lab").complains(&kept).complains(&force);
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
    user.lab(&["down"]).status(0).says("there is no lab");
    // Its dashboard misses the folder, and ends.
    until_none(&user).await;
    user.is_clean();
}
