//! [`Desk`]: a temporary state folder and the commands that use it: `desk.lab(&["up"]).status(0).says("is up")`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Bounded, output, output_of};
pub(crate) use crate::command::{CommandOutput, kill};
use crate::support::{TIMEOUT, lab, until};

/// A temporary state folder. Its labs are removed when it is dropped.
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

    /// Prepares a lab command.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = lab();
        // Independent of Docker on this machine.
        command.env("LAB_ENGINE", "embedded");
        command.args(args).env("LAB_STATE_DIR", self.state()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs a lab command and waits for it.
    pub(crate) fn lab(&self, args: &[&str]) -> CommandOutput {
        Self::run(args, self.command(args))
    }

    pub(crate) fn run(args: &[&str], mut command: Command) -> CommandOutput {
        CommandOutput::new(args.join(" "), &output(&mut command))
    }

    /// Starts a lab command without waiting for it.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lab starts");
        Running { args: args.join(" "), child }
    }

    /// `lab status --json`.
    pub(crate) fn status(&self) -> Value {
        let result = self.lab(&["status", "--json"]);
        serde_json::from_str(&result.stdout).unwrap_or_else(|error| panic!("{error}: {result:?}"))
    }

    /// Writes a file next to the state folder and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a writable path");
        path.display().to_string()
    }

    /// Processes with this state folder in their environment.
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

    /// Waits until no process uses this state folder, and asserts that no lab is left in it.
    pub(crate) fn assert_clean(&self) {
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
        // A panic here would hide the panic of the test.
        let _ = std::panic::catch_unwind(|| output(&mut self.command(&["down", "--all"])));
        for pid in self.processes() {
            kill(pid, Signal::KILL);
        }
    }
}

/// A running command.
pub(crate) struct Running {
    args: String,
    child: Child,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }

    /// Returns true if the process handles a signal (`SigCgt` is a hexadecimal mask, see proc(5)).
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
        (mask >> (signal.as_raw() - 1)) & 1 == 1
    }

    /// Waits until the command ends.
    pub(crate) fn wait(self) -> CommandOutput {
        let begun = Instant::now();
        let output = output_of(self.child);
        assert!(begun.elapsed() < TIMEOUT, "lab {} took too long to end", self.args);
        CommandOutput::new(self.args, &output)
    }

    /// Lines of stdout as they arrive.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let stdout = self.child.stdout.take().expect("stdout is piped, and taken once");
        std::io::BufRead::lines(std::io::BufReader::new(Bounded::new(stdout))).map_while(Result::ok)
    }
}

/// Process id of a service, from `lab status --json`.
pub(crate) fn pid(status: &Value, service: &str) -> u32 {
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|entry| entry["name"] == service).expect("it exists");
    u32::try_from(found["pid"].as_u64().expect("it is running")).expect("a process id")
}

/// Process id of the host: the parent of the app.
pub(crate) fn host(status: &Value) -> u32 {
    host_of(status, "app")
}

/// Process id of the parent of a service.
pub(crate) fn host_of(status: &Value, service: &str) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(status, service))).expect("/proc exists on Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    after_name.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("a parent")
}
