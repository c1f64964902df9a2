//! Mistakes in a user's own stack: reported before any request to a daemon, and without leaving a lab.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::copied::copy_of_the_stack;
use crate::desk::{Desk, Ran};

/// A copy of the built-in stack that a user edits.
struct Own {
    desk: Desk,
    folder: PathBuf,
}

impl Own {
    fn new() -> Self {
        let desk = Desk::new();
        let folder = copy_of_the_stack(desk.path());
        Self { desk, folder }
    }

    /// With a part of its file replaced.
    fn with(part: &str, other: &str) -> Self {
        let own = Self::new();
        let file = own.folder.join("compose.yaml");
        let text = std::fs::read_to_string(&file).expect("it was copied");
        assert_eq!(text.matches(part).count(), 1, "{part:?}");
        std::fs::write(&file, text.replace(part, other)).expect("it is ours");
        own
    }

    /// Each command that reads it, without a daemon.
    fn commands(&self) -> [Ran; 3] {
        let stack = self.folder.display().to_string();
        [
            &["up", "--engine", "docker", "--stack", &stack][..],
            &["images", "list", "--stack", &stack],
            &["images", "pull", "--stack", &stack],
        ]
        .map(|args| {
            let mut command = self.desk.command(args);
            command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
            Desk::ran(args, command)
        })
    }

    /// `lab up` of it, without a daemon.
    fn up(&self, more: &[&str], host: &[(&str, OsString)]) -> Ran {
        let stack = self.folder.display().to_string();
        let args = [&["up", "--engine", "docker", "--stack", &stack][..], more].concat();
        let mut command = self.desk.command(&args);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").envs(host.iter().cloned());
        Desk::ran(&args, command)
    }

    /// Expects this mistake at this line of the file from all commands.
    #[track_caller]
    fn is_refused(&self, message: &str, line: &str, more: &str) {
        let text = std::fs::read_to_string(self.folder.join("compose.yaml")).expect("it is there");
        let number = 1 + text.lines().position(|other| other.contains(line)).expect("the file has the line");
        let place = format!("{}:{number}:", self.folder.join("compose.yaml").display());
        for ran in self.commands() {
            let ran = ran.status(2).complains(message).complains(&place).complains(more);
            assert_eq!(ran.stderr.matches("error").count(), 1, "{}", ran.stderr);
        }
        self.desk.is_clean();
    }
}

#[test]
fn a_stack_that_is_right_gets_as_far_as_the_daemon() {
    let own = Own::new();
    for ran in own.commands() {
        ran.status(3).complains("no Docker daemon answers at /nonexistent/docker.sock");
    }
    own.desk.is_clean();
}

#[test]
fn an_unknown_key_is_named() {
    let own = Own::with("    stop_signal: SIGQUIT\n", "    stop_signl: SIGQUIT\n");
    own.is_refused("unknown key `stop_signl` in a service", "stop_signl", "did you mean `stop_signal`?");
}

#[test]
fn a_circle_is_named() {
    let own = Own::with(
        "    image: postgres:17\n",
        "    image: postgres:17\n    depends_on: { gateway: { condition: service_started } }\n",
    );
    own.is_refused("`depends_on` has a cycle", "depends_on: { gateway:", "gateway > app > db > gateway");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let own = Own::new();
    std::fs::remove_dir_all(own.folder.join("nginx/templates")).expect("it was copied");
    own.is_refused("nginx/templates", "./nginx/templates:", "templates");
}

#[test]
fn a_stack_that_is_not_there_is_named() {
    let own = Own::new();
    std::fs::remove_file(own.folder.join("compose.yaml")).expect("it was copied");
    for ran in own.commands() {
        ran.status(2).complains("compose.yaml").complains(&own.folder.display().to_string());
    }
    std::fs::remove_dir_all(&own.folder).expect("it was copied");
    for ran in own.commands() {
        ran.status(2).complains(&format!("the folder {} does not exist", own.folder.display()));
    }
    own.desk.is_clean();
}

/// As far as the daemon, which is not there.
const SILENT: &str = "no Docker daemon answers at /nonexistent/docker.sock";

#[test]
fn rights_by_another_name_are_refused() {
    let own = Own::with("    user: \"101:101\"\n", "    cap_add: [SYS_ADMIN]\n");
    own.is_refused("`cap_add` is `SYS_ADMIN`", "cap_add: [SYS_ADMIN]", "a lab gets no rights on its host");
}

#[test]
fn a_folder_elsewhere_needs_the_users_word() {
    let own = Own::new();
    let secret = tempfile::tempdir().expect("a temporary folder");
    let secret = std::fs::canonicalize(secret.path()).expect("it is there").join("secret");
    std::fs::create_dir(&secret).expect("the folder is ours");
    let file = own.folder.join("compose.yaml");
    let text = std::fs::read_to_string(&file).expect("it was copied");
    let path = secret.display().to_string();
    let text = text.replace("folders: [../grafana]", &format!("folders: [../grafana, {path}]"));
    std::fs::write(&file, text.replace("./nginx/bin:", &format!("{path}:"))).expect("it is ours");
    own.is_refused(
        &format!("the stack may not read `{path}`"),
        "folders: [../grafana",
        &format!("--allow-folder {path}"),
    );
    let grafana = own.folder.parent().expect("the desk").join("grafana");
    own.up(&["--allow-folder", &path], &[])
        .status(3)
        .complains(SILENT)
        .complains(&format!("the stack reads outside its folder: {path}"))
        .complains(&format!("the stack reads outside its folder: {}", grafana.display()));
    own.up(&["--allow-folder", "/nonexistent"], &[]).status(2).complains("--allow-folder /nonexistent: ");
    own.desk.lab(&["up", "--engine", "docker", "--allow-folder", &path]).status(2).complains("your own stack");
    own.desk.is_clean();
}

#[test]
fn what_the_stack_gets_from_the_environment_is_announced() {
    let own = Own::with("image: nginx:1.30\n", "image: nginx:${TAG:?}\n");
    own.up(&[], &[]).status(2).complains("the variable `TAG` is not set");
    let ran = own.up(&[], &[("TAG", "1.30".into()), ("UNUSED_TAG", "x".into())]).status(3).complains(SILENT);
    assert!(ran.stderr.contains("the stack uses variables from your environment: TAG\n"), "{}", ran.stderr);
    std::fs::write(own.folder.join(".env"), "TAG=1.30\n").expect("it is ours");
    let ran = own.up(&[], &[]).status(3).complains(SILENT);
    assert!(!ran.stderr.contains("your environment"), "{}", ran.stderr);
    std::fs::write(own.folder.join("compose.override.yaml"), "services: {}\n").expect("it is ours");
    own.up(&[], &[]).status(2).complains("compose.override.yaml is not supported: a stack is one file");
    own.desk.is_clean();
}

#[test]
fn what_is_not_utf_8_is_no_reason_to_panic() {
    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let own = Own::with("image: nginx:1.30\n", "image: nginx:${TAG:-1.30}\n");
    own.up(&[], &[("UNUSED", bytes())]).status(3).complains(SILENT);
    own.up(&[], &[("TAG", bytes())]).status(2).complains("the value of the variable `TAG` is not UTF-8");
    for (name, exit, message) in [
        ("LAB_NAME", 2, "LAB_NAME is not UTF-8"),
        ("LAB_ENGINE", 2, "--engine"),
        ("LAB_GRAFANA_PORT", 2, "LAB_GRAFANA_PORT must be a port number"),
        ("COLUMNS", 3, SILENT),
        ("NO_COLOR", 3, SILENT),
        ("HOME", 3, SILENT),
    ] {
        let mut command = own.desk.command(&["up", "--engine", "docker"]);
        if name == "LAB_ENGINE" {
            command = own.desk.command(&["up"]);
        }
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env(name, bytes());
        Desk::ran(&[name], command).status(exit).complains(message);
    }
    // Ignored, it would mean the usual daemon.
    let mut command = own.desk.command(&["up", "--engine", "docker"]);
    command.env("DOCKER_HOST", OsString::from_vec(b"unix:///nonexistent/\xff".to_vec()));
    Desk::ran(&["DOCKER_HOST"], command).status(3).complains("no Docker daemon answers at /nonexistent/");
    for args in [&["up", "--stack"][..], &["down", "--name"], &["traffic", "--targets"], &["scenario", "validate"]] {
        let mut command = own.desk.command(args);
        command.arg(bytes());
        let ran = Desk::ran(args, command);
        assert!(!ran.stderr.contains("panicked") && !ran.stderr.is_empty(), "{args:?}: {}", ran.stderr);
    }
    own.desk.is_clean();
}
