//! [`Desk`]: a user with a separate state folder, and the command line: `desk.lab(&["up"]).status(0).says("is up")`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::ran::{Bounded, output, output_of};
pub(crate) use crate::ran::{Ran, kill};
use crate::support::{PATIENCE, lab, until};

/// A state folder, and whatever labs are in it. They are taken down when it is dropped.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A lab command, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = lab();
        // Without Docker, whatever this machine has.
        command.env("LAB_ENGINE", "embedded");
        command.args(args).env("LAB_STATE_DIR", self.state()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs a lab command to its end.
    pub(crate) fn lab(&self, args: &[&str]) -> Ran {
        Self::ran(args, self.command(args))
    }

    pub(crate) fn ran(args: &[&str], mut command: Command) -> Ran {
        Ran::of(args.join(" "), &output(&mut command))
    }

    /// Starts a lab command whose output is read later.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lab starts");
        Running { args: args.join(" "), child }
    }

    /// `lab status --json`.
    pub(crate) fn status(&self) -> Value {
        let ran = self.lab(&["status", "--json"]);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Writes a file beside the state folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("the folder is ours");
        path.display().to_string()
    }

    /// The processes of lab that work on this state folder: hosts by their environment, services by their parents.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let state = self.state().display().to_string();
        let all: Vec<u32> = std::fs::read_dir("/proc")
            .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
            .unwrap_or_default();
        let ours = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let variables = String::from_utf8_lossy(&environment).into_owned();
            let named = |value: &str| value.split_once('=').is_some_and(|(_, value)| value.contains(&state));
            variables.split('\0').any(named) && *pid != std::process::id()
        };
        all.into_iter().filter(ours).collect()
    }

    /// Waits until no process of lab is left that works on this state folder.
    pub(crate) fn is_clean(&self) {
        if cfg!(target_os = "linux") {
            until(|| self.processes().is_empty());
        }
        let names = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let left: Vec<_> = names(&self.state().join("labs")).iter().map(|lab| (lab.clone(), names(lab))).collect();
        assert_eq!(left, [], "a lab's folder is left");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A panic here would hide that of the test.
        let _ = std::panic::catch_unwind(|| output(&mut self.command(&["down", "--all"])));
        for pid in self.processes() {
            kill(pid, Signal::KILL);
        }
    }
}

/// A command that runs.
pub(crate) struct Running {
    args: String,
    child: Child,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }

    /// Returns true once it handles a signal (`SigCgt` is a hexadecimal mask, proc(5)).
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
        (mask >> (signal.as_raw() - 1)) & 1 == 1
    }

    /// Waits for its end.
    pub(crate) fn ran(self) -> Ran {
        let begun = Instant::now();
        let output = output_of(self.child);
        assert!(begun.elapsed() < PATIENCE, "lab {} took too long to end", self.args);
        Ran::of(self.args, &output)
    }

    /// The lines of its stdout as they come.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let stdout = self.child.stdout.take().expect("stdout is piped, and taken once");
        std::io::BufRead::lines(std::io::BufReader::new(Bounded::new(stdout))).map_while(Result::ok)
    }
}

/// The process of a service, of `lab status --json`.
pub(crate) fn pid(status: &Value, service: &str) -> u32 {
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|entry| entry["name"] == service).expect("it is there");
    u32::try_from(found["pid"].as_u64().expect("it runs")).expect("a process id")
}

/// The parent of the services is their host.
pub(crate) fn host(status: &Value) -> u32 {
    host_of(status, "app")
}

/// The parent of one service.
pub(crate) fn host_of(status: &Value, service: &str) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(status, service))).expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    after_name.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("a parent")
}
