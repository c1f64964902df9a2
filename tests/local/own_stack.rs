//! Mistakes in a user's own stack are reported before any request to a daemon, and leave no lab.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::desk::{CommandOutput, Desk};
use crate::stack_copy::copy_stack;

/// A copy of the built-in stack, to be edited.
struct OwnStack {
    desk: Desk,
    folder: PathBuf,
}

impl OwnStack {
    fn new() -> Self {
        let desk = Desk::new();
        let folder = copy_stack(desk.path());
        Self { desk, folder }
    }

    /// Copies the stack and replaces a part of its file.
    fn with_replaced(part: &str, other: &str) -> Self {
        let own = Self::new();
        let file = own.folder.join("compose.yaml");
        let text = std::fs::read_to_string(&file).expect("it was copied");
        assert_eq!(text.matches(part).count(), 1, "{part:?}");
        std::fs::write(&file, text.replace(part, other)).expect("a writable path");
        own
    }

    /// Runs each command that reads the stack, without a daemon.
    fn run_commands(&self) -> [CommandOutput; 3] {
        let stack = self.folder.display().to_string();
        [
            &["up", "--engine", "docker", "--stack", &stack][..],
            &["images", "list", "--stack", &stack],
            &["images", "pull", "--stack", &stack],
        ]
        .map(|args| {
            let mut command = self.desk.command(args);
            command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
            Desk::run(args, command)
        })
    }

    /// Runs `lab up` on the stack, without a daemon.
    fn up(&self, more: &[&str], host: &[(&str, OsString)]) -> CommandOutput {
        let stack = self.folder.display().to_string();
        let args = [&["up", "--engine", "docker", "--stack", &stack][..], more].concat();
        let mut command = self.desk.command(&args);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").envs(host.iter().cloned());
        Desk::run(&args, command)
    }

    /// Asserts that all commands report this mistake at this line of the file.
    #[track_caller]
    fn assert_refused(&self, message: &str, line: &str, more: &str) {
        let text = std::fs::read_to_string(self.folder.join("compose.yaml")).expect("it exists");
        let number = 1 + text.lines().position(|other| other.contains(line)).expect("the file has the line");
        let place = format!("{}:{number}:", self.folder.join("compose.yaml").display());
        for result in self.run_commands() {
            let result = result.status(2).complains(message).complains(&place).complains(more);
            assert_eq!(result.stderr.matches("error").count(), 1, "{}", result.stderr);
        }
        self.desk.assert_clean();
    }
}

#[test]
fn a_valid_stack_is_accepted() {
    let own = OwnStack::new();
    for result in own.run_commands() {
        result.status(3).complains("no Docker daemon answers at /nonexistent/docker.sock");
    }
    own.desk.assert_clean();
}

#[test]
fn an_unknown_key_is_reported() {
    let own = OwnStack::with_replaced("    stop_signal: SIGQUIT\n", "    stop_signl: SIGQUIT\n");
    own.assert_refused("unknown key `stop_signl` in a service", "stop_signl", "did you mean `stop_signal`?");
}

#[test]
fn a_dependency_cycle_is_reported() {
    let own = OwnStack::with_replaced(
        "    image: postgres:17\n",
        "    image: postgres:17\n    depends_on: { gateway: { condition: service_started } }\n",
    );
    own.assert_refused("`depends_on` has a cycle", "depends_on: { gateway:", "gateway > app > db > gateway");
}

#[test]
fn a_missing_mounted_file_is_reported() {
    let own = OwnStack::new();
    std::fs::remove_dir_all(own.folder.join("nginx/templates")).expect("it was copied");
    own.assert_refused("nginx/templates", "./nginx/templates:", "templates");
}

#[test]
fn a_missing_stack_is_reported() {
    let own = OwnStack::new();
    std::fs::remove_file(own.folder.join("compose.yaml")).expect("it was copied");
    for result in own.run_commands() {
        result.status(2).complains("compose.yaml").complains(&own.folder.display().to_string());
    }
    std::fs::remove_dir_all(&own.folder).expect("it was copied");
    for result in own.run_commands() {
        result.status(2).complains(&format!("the folder {} does not exist", own.folder.display()));
    }
    own.desk.assert_clean();
}

/// Error of a command whose stack is accepted: there is no daemon.
const NO_DAEMON: &str = "no Docker daemon answers at /nonexistent/docker.sock";

#[test]
fn capabilities_are_refused() {
    let own = OwnStack::with_replaced("    user: \"101:101\"\n", "    cap_add: [SYS_ADMIN]\n");
    own.assert_refused("`cap_add` is `SYS_ADMIN`", "cap_add: [SYS_ADMIN]", "a lab gets no rights on its host");
}

#[test]
fn a_folder_outside_the_stack_must_be_allowed() {
    let own = OwnStack::new();
    let secret = tempfile::tempdir().expect("a temporary folder");
    let secret = std::fs::canonicalize(secret.path()).expect("it exists").join("secret");
    std::fs::create_dir(&secret).expect("a writable path");
    let file = own.folder.join("compose.yaml");
    let text = std::fs::read_to_string(&file).expect("it was copied");
    let path = secret.display().to_string();
    let text = text.replace("folders: [../grafana]", &format!("folders: [../grafana, {path}]"));
    std::fs::write(&file, text.replace("./nginx/bin:", &format!("{path}:"))).expect("a writable path");
    own.assert_refused(
        &format!("the stack may not read `{path}`"),
        "folders: [../grafana",
        &format!("--allow-folder {path}"),
    );
    let grafana = own.folder.parent().expect("the test folder").join("grafana");
    own.up(&["--allow-folder", &path], &[])
        .status(3)
        .complains(NO_DAEMON)
        .complains(&format!("the stack reads outside its folder: {path}"))
        .complains(&format!("the stack reads outside its folder: {}", grafana.display()));
    own.up(&["--allow-folder", "/nonexistent"], &[]).status(2).complains("--allow-folder /nonexistent: ");
    own.desk.lab(&["up", "--engine", "docker", "--allow-folder", &path]).status(2).complains("your own stack");
    own.desk.assert_clean();
}

#[test]
fn variables_from_the_environment_are_listed() {
    let own = OwnStack::with_replaced("image: nginx:1.30\n", "image: nginx:${TAG:?}\n");
    own.up(&[], &[]).status(2).complains("the variable `TAG` is not set");
    let result = own.up(&[], &[("TAG", "1.30".into()), ("UNUSED_TAG", "x".into())]).status(3).complains(NO_DAEMON);
    assert!(result.stderr.contains("the stack uses variables from your environment: TAG\n"), "{}", result.stderr);
    std::fs::write(own.folder.join(".env"), "TAG=1.30\n").expect("a writable path");
    let result = own.up(&[], &[]).status(3).complains(NO_DAEMON);
    assert!(!result.stderr.contains("your environment"), "{}", result.stderr);
    std::fs::write(own.folder.join("compose.override.yaml"), "services: {}\n").expect("a writable path");
    own.up(&[], &[]).status(2).complains("compose.override.yaml is not supported: a stack is one file");
    own.desk.assert_clean();
}

#[test]
fn invalid_utf_8_does_not_cause_a_panic() {
    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let own = OwnStack::with_replaced("image: nginx:1.30\n", "image: nginx:${TAG:-1.30}\n");
    own.up(&[], &[("UNUSED", bytes())]).status(3).complains(NO_DAEMON);
    own.up(&[], &[("TAG", bytes())]).status(2).complains("the value of the variable `TAG` is not UTF-8");
    for (name, exit, message) in [
        ("LAB_NAME", 2, "LAB_NAME is not UTF-8"),
        ("LAB_ENGINE", 2, "--engine"),
        ("LAB_GRAFANA_PORT", 2, "LAB_GRAFANA_PORT must be a port number"),
        ("COLUMNS", 3, NO_DAEMON),
        ("NO_COLOR", 3, NO_DAEMON),
        ("HOME", 3, NO_DAEMON),
    ] {
        let mut command = own.desk.command(&["up", "--engine", "docker"]);
        if name == "LAB_ENGINE" {
            command = own.desk.command(&["up"]);
        }
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env(name, bytes());
        Desk::run(&[name], command).status(exit).complains(message);
    }
    // An ignored value would select the default daemon.
    let mut command = own.desk.command(&["up", "--engine", "docker"]);
    command.env("DOCKER_HOST", OsString::from_vec(b"unix:///nonexistent/\xff".to_vec()));
    Desk::run(&["DOCKER_HOST"], command).status(3).complains("no Docker daemon answers at /nonexistent/");
    for args in [&["up", "--stack"][..], &["down", "--name"], &["traffic", "--targets"], &["scenario", "validate"]] {
        let mut command = own.desk.command(args);
        command.arg(bytes());
        let result = Desk::run(args, command);
        assert!(!result.stderr.contains("panicked") && !result.stderr.is_empty(), "{args:?}: {}", result.stderr);
    }
    own.desk.assert_clean();
}
