//! [`Ran`]: a lab command that has ended, and what must be so of it: `ran.status(0).says("is up")`.

use std::process::Output;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    args: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(args: String, output: &Output) -> Self {
        Self {
            args,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The code it ended with; none where a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn status(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "lab {}\n{}\n{}", self.args, self.stdout, self.stderr);
        self
    }

    /// Its stdout contains this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "lab {} does not say {text:?}:\n{}\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Its stderr contains this.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        let (args, stdout, stderr) = (&self.args, &self.stdout, &self.stderr);
        assert!(stderr.contains(text), "lab {args} does not complain of {text:?}:\n{stdout}\n{stderr}");
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(pid, signal);
    }
}
