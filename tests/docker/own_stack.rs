//! A user's own stack: the recorded copy of it, mounted folders, and health checks of images.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_lab_records_the_stack_that_it_was_started_with,
        a_mounted_folder_is_copied_with_its_modes_and_links,
        the_health_check_of_an_image_can_be_disabled,
    ]
}

/// A small stack in the user's folder, with some changes.
fn stack_of(user: &Cli, changes: &[(&str, &str)]) -> PathBuf {
    let folder = user.path().join("s1");
    write_small_stack(&folder);
    change(&folder, changes);
    folder
}

fn change(folder: &Path, changes: &[(&str, &str)]) {
    let file = folder.join("compose.yaml");
    let mut compose = std::fs::read_to_string(&file).expect("it exists");
    for (from, to) in changes {
        assert!(compose.contains(from), "{from} is not in it");
        compose = compose.replace(from, to);
    }
    std::fs::write(file, compose).expect("a writable path");
}

async fn a_lab_records_the_stack_that_it_was_started_with() {
    let user = Cli::new("remembered");
    let folder =
        stack_of(&user, &[("image: nginx:1.30", "image: nginx:${TAG:?}\n    labels: { note: \"${NOTE:-none}\" }")]);
    let tag = [("TAG", "1.30"), ("NOTE", "one")];
    let up = ["up", "--stack", "s1", "--port", "0"];
    user.lab(&up).status(2).complains("the variable `TAG` is not set");
    user.lab_with(&tag, &up).status(0).complains("the stack uses variables from your environment: NOTE, TAG");
    // Other spellings of the same folder.
    for spelling in ["s1", "./s1/", "s1/../s1"] {
        user.lab_with(&tag, &["up", "--stack", spelling]).status(0).says("is up already");
    }
    // From another shell, without the files.
    let gone = user.path().join("gone");
    std::fs::rename(&folder, &gone).expect("a writable path");
    user.lab(&["status"]).status(0);
    user.lab_with(&[("NOTE", "two")], &["scenario", "run", "rotate-key", "--set", "requests=10", "--keep"]).status(0);
    user.lab(&["recover"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let note = || {
        let name = format!("lab-{}-gateway-1", user.name);
        docker(&["inspect", "-f", "{{ index .Config.Labels \"note\" }} {{ .Config.Image }}", &name])
    };
    assert_eq!(note().trim(), "one nginx:1.30");
    user.lab(&["up"]).status(2).complains("does not exist");
    // Only `up` reads the stack again, and lists the differences.
    std::fs::rename(&gone, &folder).expect("a writable path");
    std::fs::set_permissions(folder.join("nginx/bin"), Permissions::from_mode(0o711)).expect("a writable path");
    user.lab_with(&[("NOTE", "two"), tag[0]], &["up"])
        .status(0)
        .complains("stack changed: gateway: labels changed; nginx/bin: . changed")
        .says("recreated gateway");
    assert_eq!(note().trim(), "two nginx:1.30");
    user.finish();
}

/// Keys of an additional service that only waits.
const WAITS: &str = "entrypoint: [/bin/sh, -c, \"exec sleep 1000\"]\n    stop_grace_period: 0s";

async fn a_mounted_folder_is_copied_with_its_modes_and_links() {
    let user = Cli::new("copied");
    let service = format!("services:\n  modes:\n    image: nginx:1.30\n    {WAITS}\n    volumes: [\"./m:/m:ro\"]\n");
    let folder = stack_of(&user, &[("\nservices:\n", &format!("\n{service}"))]);
    let at = |name: &str| folder.join("m").join(name);
    std::fs::create_dir_all(at("empty")).expect("a writable path");
    for (name, text, mode) in [("tool", "x", 0o755), ("plain", "#!/bin/sh", 0o644), ("server.key", "k", 0o600)] {
        std::fs::write(at(name), text).expect("a writable path");
        std::fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("a writable path");
    }
    std::fs::set_permissions(at("empty"), Permissions::from_mode(0o750)).expect("a writable path");
    std::fs::set_permissions(at(""), Permissions::from_mode(0o751)).expect("a writable path");
    symlink("../tool", at("empty/up")).expect("a writable path");
    symlink("empty", at("dir")).expect("a writable path");
    let up = ["up", "--stack", "s1", "--port", "0"];
    user.lab(&up).status(0);
    let listed = || {
        let name = format!("lab-{}-modes-1", user.name);
        let find = "cd /m && find . -printf '%M %u %p %l\\n' | sort -k3";
        docker(&["exec", &name, "sh", "-c", find]).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    let expected = [
        "drwxr-x--x root .",
        "lrwxrwxrwx root ./dir empty",
        "drwxr-x--- root ./empty",
        "lrwxrwxrwx root ./empty/up ../tool",
        "-rw-r--r-- root ./plain",
        "-rw------- root ./server.key",
        "-rwxr-xr-x root ./tool",
    ];
    assert_eq!(listed(), expected);
    // A changed mode counts as a change.
    std::fs::set_permissions(at("tool"), Permissions::from_mode(0o700)).expect("a writable path");
    user.lab(&up).status(0).complains("stack changed: modes: m: tool changed").says("recreated modes");
    assert_eq!(listed().last().map(String::as_str), Some("-rwx------ root ./tool"));
    user.finish();
}

async fn the_health_check_of_an_image_can_be_disabled() {
    let user = Cli::new("health");
    let image = format!("lab-test-health-{}:1", std::process::id());
    let context = user.path().join("image");
    std::fs::create_dir(&context).expect("a writable path");
    let check = "HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD echo no; false";
    std::fs::write(context.join("Dockerfile"), format!("FROM nginx:1.30\n{check}\n")).expect("a writable path");
    docker(&["build", "-q", "-t", &image, &context.display().to_string()]);
    let service = |name: &str, image: &str, check: &str| format!("  {name}:\n    image: {image}\n    {WAITS}\n{check}");
    let services = [
        service("disabled", &image, "    healthcheck: { disable: true }\n"),
        service("none", &image, "    healthcheck: { test: [NONE] }\n"),
        service("absent", &image, ""),
        service("plain", "nginx:1.30", ""),
    ];
    stack_of(&user, &[("\nservices:\n", &format!("\nservices:\n{}", services.concat()))]);
    user.lab(&["up", "--stack", "s1", "--port", "0"]).status(0);
    let inspect = |service: &str| {
        let name = format!("lab-{}-{service}-1", user.name);
        docker(&["inspect", "-f", "{{ with .State.Health }}{{ .Status }}{{ else }}no check{{ end }}", &name])
    };
    let begun = std::time::Instant::now();
    while inspect("absent").trim() != "unhealthy" && begun.elapsed() < crate::support::TIMEOUT {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let status = user.lab(&["status", "--json"]).json();
    let health = |name: &str| {
        let services = status["services"].as_array().expect("a list");
        let found = services.iter().find(|service| service["name"] == name).expect("it exists");
        (found["health"].as_str().expect("a word").to_owned(), found["detail"].as_str().map(str::to_owned))
    };
    for name in ["disabled", "none", "plain"] {
        assert_eq!(inspect(name).trim(), "no check", "{name}");
        assert_eq!(health(name), ("unchecked".to_owned(), None), "{name}");
    }
    assert_eq!(health("absent"), ("unhealthy".to_owned(), Some("no".to_owned())));
    assert_eq!(health("gateway").0, "healthy");
    user.finish();
    assert!(Command::new("docker").args(["rmi", &image]).output().is_ok_and(|output| output.status.success()));
}
