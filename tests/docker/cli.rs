//! [`Cli`]: a user with a lab and a state folder of their own, who types commands; on the machine's daemon or on another.

use std::fs::{DirEntry, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::daemon::Daemon;
use crate::ran::{Ran, kill, output};
use crate::support::{PATIENCE, docker_on, executable, leftovers, sweep};

/// A user. After a test that failed, what the daemon has of their lab is removed.
pub(crate) struct Cli {
    folder: tempfile::TempDir,
    pub(crate) name: String,
    named: bool,
    engine: &'static str,
    host: Option<String>,
    lab: PathBuf,
    /// Puts a command where the daemon's ports are.
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

    /// On a daemon of the tests' own, and in its network.
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

    /// Without Docker.
    pub(crate) fn embedded(mut self) -> Self {
        self.engine = "embedded";
        self
    }

    /// On the daemon at `host`, if there is one.
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

    /// With an executable that no image was made from yet.
    pub(crate) fn with_another_executable(mut self) -> Self {
        let path = self.path().join("lab");
        let mut bytes = std::fs::read(&self.lab).expect("it is there");
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
            write_executable(&path, &std::fs::read(&self.lab).expect("it is there"));
            self.lab = path;
            std::fs::set_permissions(self.path(), Permissions::from_mode(0o777)).expect("the folder is ours");
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
        let mut command = Command::new(words.next().expect("lab at least"));
        command.args(words).args(args).env_clear().stdin(Stdio::null()).current_dir(self.path());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = self.reaching.iter().map(|(_, programs)| programs.clone());
        let folders = std::env::join_paths(programs.chain(std::env::split_paths(&path))).expect("they were one");
        command.env("PATH", folders).env("TMPDIR", self.path());
        command.env("LAB_ENGINE", self.engine).env("LAB_STATE_DIR", self.state());
        command.envs(self.named.then_some(("LAB_NAME", &self.name)));
        command.envs(self.dashboard_port.map(|port| ("LAB_GRAFANA_PORT", port.to_string())));
        let host = self.reaching.as_ref().map(|(host, _)| host).or(self.host.as_ref());
        command.envs(host.map(|host| ("DOCKER_HOST", host)));
        command
    }

    /// Runs a lab command to its end.
    pub(crate) fn lab(&self, args: &[&str]) -> Ran {
        Ran::of(args.join(" "), &output(&mut self.command(args, &[])))
    }

    /// Runs a lab command to its end, from a shell with these variables.
    pub(crate) fn lab_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        let mut command = self.command(args, &[]);
        Ran::of(args.join(" "), &command.envs(variables.iter().copied()).output().expect("lab starts"))
    }

    /// Starts a lab command, and hears both its streams.
    pub(crate) fn start(&self, args: &[&str]) -> Watched {
        let mut command = self.command(args, &["sh", "-c", r#"exec "$0" "$@" 2>&1"#]);
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("lab starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (said, lines) = channel();
        // Ends with the command or with the listener.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Watched { args: args.join(" "), child, lines, said: String::new() }
    }

    /// Waits until the daemon has a container of a service of the lab `lab`; with `running`, until the container runs.
    #[track_caller]
    pub(crate) fn until_there(&self, lab: &str, service: &str, running: bool) {
        let begun = Instant::now();
        while !self.is_there(lab, service, running) {
            assert!(begun.elapsed() < 2 * PATIENCE, "{service} of {lab} does not come");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the daemon has a container of a service of the lab `lab`; with `running`, whether the container runs.
    fn is_there(&self, lab: &str, service: &str, running: bool) -> bool {
        let filter = format!("name=^lab-{lab}-{service}-1$");
        let state = docker_on(self.host.as_deref(), &["ps", "-a", "--filter", &filter, "--format", "{{.State}}"]);
        state.trim() == "running" || (!running && !state.trim().is_empty())
    }

    /// Takes the lab down; then neither the daemon nor the state folder has anything of it.
    pub(crate) fn finish(self) {
        self.lab(&["down"]).status(0);
        self.is_clean();
    }

    /// Neither the daemon nor the state folder has anything of the lab.
    pub(crate) fn is_clean(&self) {
        assert_eq!(leftovers(self.host.as_deref(), &self.name), "", "the daemon has nothing of it");
        assert_eq!(self.labs(), [""; 0], "its folder is gone");
        assert_eq!(self.processes(), [0; 0], "nothing runs for it");
    }

    /// The processes that hold a file of a lab of this user's, be it removed.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let labs = self.state().join("labs");
        let holds = |file: DirEntry| std::fs::read_link(file.path()).is_ok_and(|name| name.starts_with(&labs));
        let all = std::fs::read_dir("/proc").expect("it is Linux").flatten();
        let pids = all.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
        let files = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        pids.filter(|pid| files(pid).any(holds)).collect()
    }

    /// The labs that are known.
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
    std::fs::write(path, bytes).expect("the folder is ours");
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the file is ours");
}

/// A command that runs.
pub(crate) struct Watched {
    args: String,
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Watched {
    /// Waits until the output contains a text, and returns the line.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.next();
            let line = line.unwrap_or_else(|| panic!("lab {} does not say {text:?}:\n{}", self.args, self.said));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Like [`Cli::until_there`] for a container that this command starts. Fails at once if the command ends before.
    #[track_caller]
    pub(crate) fn until_there(&mut self, user: &Cli, service: &str, running: bool) {
        let begun = Instant::now();
        while !user.is_there(&user.name, service, running) {
            let ended = self.child.try_wait().expect("it can be waited for");
            if ended.is_some() || begun.elapsed() > 2 * PATIENCE {
                while let Ok(line) = self.lines.try_recv() {
                    self.said.push_str(&line);
                    self.said.push('\n');
                }
                panic!("lab {} starts no container of {service} ({ended:?}):\n{}", self.args, self.said);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }

    /// As Ctrl-C in its terminal does.
    pub(crate) fn interrupt_all(&self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("it is a process");
        kill_process_group(group, Signal::INT).expect("it runs");
    }

    /// Waits for its end. `stdout` has the whole output.
    #[track_caller]
    pub(crate) fn ran(mut self) -> Ran {
        let begun = Instant::now();
        while self.next().is_some() {
            assert!(begun.elapsed() < 3 * PATIENCE, "lab {} does not end:\n{}", self.args, self.said);
        }
        let status = self.child.wait().expect("it can be waited for");
        let output = Output { status, stdout: self.said.clone().into_bytes(), stderr: Vec::new() };
        Ran::of(self.args.clone(), &output)
    }

    /// Its next line; none when it has ended.
    #[track_caller]
    fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(2 * PATIENCE) {
            Ok(line) => {
                self.said.push_str(&line);
                self.said.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("lab {} says nothing more:\n{}", self.args, self.said),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
