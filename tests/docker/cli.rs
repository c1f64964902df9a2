//! [`Cli`]: runs lab commands with a separate lab name and state folder, on this machine's daemon or on another.

use std::fs::{DirEntry, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::command::{CommandOutput, kill, output};
use crate::daemon::Daemon;
use crate::support::{TIMEOUT, docker_on, executable, leftovers, sweep};

/// A user with a lab and a temporary state folder. After a failed test, the objects of the lab are removed from the daemon.
pub(crate) struct Cli {
    folder: tempfile::TempDir,
    pub(crate) name: String,
    named: bool,
    engine: &'static str,
    host: Option<String>,
    lab: PathBuf,
    /// Prefix that runs a command in the network of the daemon.
    enter: Vec<String>,
    /// The port of `LAB_GRAFANA_PORT`.
    pub(crate) dashboard_port: Option<u16>,
    /// Address of the daemon for lab, if it differs from that of the tests, and the first folder of its `PATH`.
    reaching: Option<(String, PathBuf)>,
}

impl Cli {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("t-{test}-{:04x}", std::process::id() & 0xffff);
        let host = std::env::var("DOCKER_HOST").ok();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (lab, enter) = (executable(), Vec::new());
        let engine = "docker";
        Self { folder, name, named: true, engine, host, lab, enter, dashboard_port: None, reaching: None }
    }

    /// Uses a daemon of the tests, in its network.
    pub(crate) fn on(test: &str, daemon: &Daemon) -> Self {
        let mut user = Self::at(test, &daemon.host());
        user.enter = daemon.network();
        user
    }

    /// Omits `--name`.
    pub(crate) fn nameless(mut self) -> Self {
        self.named = false;
        self
    }

    /// Uses the embedded engine.
    pub(crate) fn embedded(mut self) -> Self {
        self.engine = "embedded";
        self
    }

    /// Uses the daemon at `host`.
    pub(crate) fn at(test: &str, host: &str) -> Self {
        let mut user = Self::new(test);
        user.host = Some(host.to_owned());
        user
    }

    /// Reaches the daemon by another address, with programs in a separate folder.
    pub(crate) fn reaching(mut self, host: &str, programs: &Path) -> Self {
        self.reaching = Some((host.to_owned(), programs.to_owned()));
        self
    }

    /// Uses a unique executable, from which no image has been built.
    pub(crate) fn with_another_executable(mut self) -> Self {
        let path = self.path().join("lab");
        let mut bytes = std::fs::read(&self.lab).expect("it exists");
        bytes.extend_from_slice(self.name.as_bytes());
        write_executable(&path, &bytes);
        self.lab = path;
        self
    }

    /// Runs as an unprivileged user, if this process is root.
    pub(crate) fn without_rights(mut self) -> Self {
        if rustix::process::geteuid().is_root() {
            self.enter = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned).to_vec();
            let path = self.path().join("lab");
            write_executable(&path, &std::fs::read(&self.lab).expect("it exists"));
            self.lab = path;
            std::fs::set_permissions(self.path(), Permissions::from_mode(0o777)).expect("a writable path");
        }
        self
    }

    pub(crate) fn executable(&self) -> PathBuf {
        self.lab.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    fn command(&self, args: &[&str], through: &[&str]) -> Command {
        let lab = self.lab.display().to_string();
        let mut words = self.enter.iter().map(String::as_str).chain(through.iter().copied()).chain([lab.as_str()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(args).env_clear().stdin(Stdio::null()).current_dir(self.path());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = self.reaching.iter().map(|(_, programs)| programs.clone());
        let folders =
            std::env::join_paths(programs.chain(std::env::split_paths(&path))).expect("valid folders of PATH");
        command.env("PATH", folders).env("TMPDIR", self.path());
        command.env("LAB_ENGINE", self.engine).env("LAB_STATE_DIR", self.state());
        command.envs(self.named.then_some(("LAB_NAME", &self.name)));
        command.envs(self.dashboard_port.map(|port| ("LAB_GRAFANA_PORT", port.to_string())));
        let host = self.reaching.as_ref().map(|(host, _)| host).or(self.host.as_ref());
        command.envs(host.map(|host| ("DOCKER_HOST", host)));
        command
    }

    /// Runs a lab command and waits for it.
    pub(crate) fn lab(&self, args: &[&str]) -> CommandOutput {
        CommandOutput::new(args.join(" "), &output(&mut self.command(args, &[])))
    }

    /// Runs a lab command with additional variables and waits for it.
    pub(crate) fn lab_with(&self, variables: &[(&str, &str)], args: &[&str]) -> CommandOutput {
        let mut command = self.command(args, &[]);
        CommandOutput::new(args.join(" "), &command.envs(variables.iter().copied()).output().expect("lab starts"))
    }

    /// Starts a lab command, and reads stdout and stderr as one stream.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args, &["sh", "-c", r#"exec "$0" "$@" 2>&1"#]);
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("lab starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        // Ends with the command, or when the receiver is dropped.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Running { args: args.join(" "), child, lines, output: String::new() }
    }

    /// Waits until the daemon has a container of a service of the lab `lab`; with `running`, until the container runs.
    #[track_caller]
    pub(crate) fn until_container(&self, lab: &str, service: &str, running: bool) {
        let begun = Instant::now();
        while !self.has_container(lab, service, running) {
            assert!(begun.elapsed() < 2 * TIMEOUT, "no container of {service} in lab {lab}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns true if the daemon has a container of a service of the lab `lab`; with `running`, only if the container runs.
    fn has_container(&self, lab: &str, service: &str, running: bool) -> bool {
        let filter = format!("name=^lab-{lab}-{service}-1$");
        let state = docker_on(self.host.as_deref(), &["ps", "-a", "--filter", &filter, "--format", "{{.State}}"]);
        state.trim() == "running" || (!running && !state.trim().is_empty())
    }

    /// Removes the lab, and asserts that nothing is left of it.
    pub(crate) fn finish(self) {
        self.lab(&["down"]).status(0);
        self.assert_clean();
    }

    /// Asserts that neither the daemon, the state folder nor a process is left of the lab.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(leftovers(self.host.as_deref(), &self.name), "", "the daemon has objects of the lab");
        assert_eq!(self.labs(), [""; 0], "the folder of the lab is left");
        assert_eq!(self.processes(), [0; 0], "processes of the lab are left");
    }

    /// Processes that have a file of a lab of this user open, even a removed file.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let labs = self.state().join("labs");
        let holds = |file: DirEntry| std::fs::read_link(file.path()).is_ok_and(|name| name.starts_with(&labs));
        let all = std::fs::read_dir("/proc").expect("/proc exists on Linux").flatten();
        let pids = all.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
        let files = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        pids.filter(|pid| files(pid).any(holds)).collect()
    }

    /// Names of the labs in the state folder.
    pub(crate) fn labs(&self) -> Vec<String> {
        let labs = std::fs::read_dir(self.state().join("labs")).into_iter().flatten().flatten();
        labs.map(|lab| lab.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        if std::thread::panicking() {
            sweep(self.host.as_deref(), &self.name);
        }
    }
}

fn write_executable(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a writable path");
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a writable path");
}

/// A running command.
pub(crate) struct Running {
    args: String,
    child: Child,
    lines: Receiver<String>,
    /// Output that has been read so far.
    output: String,
}

impl Running {
    /// Waits until the output contains a text, and returns the line.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.next();
            let line =
                line.unwrap_or_else(|| panic!("the output of lab {} lacks {text:?}:\n{}", self.args, self.output));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Like [`Cli::until_container`] for a container that this command starts. Fails at once if the command ends before.
    #[track_caller]
    pub(crate) fn until_container(&mut self, user: &Cli, service: &str, running: bool) {
        let begun = Instant::now();
        while !user.has_container(&user.name, service, running) {
            let ended = self.child.try_wait().expect("it is a child process");
            if ended.is_some() || begun.elapsed() > 2 * TIMEOUT {
                while let Ok(line) = self.lines.try_recv() {
                    self.output.push_str(&line);
                    self.output.push('\n');
                }
                panic!("lab {} starts no container of {service} ({ended:?}):\n{}", self.args, self.output);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }

    /// Sends SIGINT to the process group, like Ctrl-C in a terminal.
    pub(crate) fn interrupt_all(&self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("it is a process");
        kill_process_group(group, Signal::INT).expect("it is running");
    }

    /// Waits until the command ends. `stdout` is its whole output.
    #[track_caller]
    pub(crate) fn wait(mut self) -> CommandOutput {
        let begun = Instant::now();
        while self.next().is_some() {
            assert!(begun.elapsed() < 3 * TIMEOUT, "lab {} does not end:\n{}", self.args, self.output);
        }
        let status = self.child.wait().expect("it is a child process");
        let output = Output { status, stdout: self.output.clone().into_bytes(), stderr: Vec::new() };
        CommandOutput::new(self.args.clone(), &output)
    }

    /// Next line of the output. `None` after the end.
    #[track_caller]
    fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(2 * TIMEOUT) {
            Ok(line) => {
                self.output.push_str(&line);
                self.output.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("lab {} writes nothing more:\n{}", self.args, self.output),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
