//! [`CommandOutput`]: result of a lab command, with assertions: `result.status(0).says("is up")`.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Time after which a command that has not ended, or a pipe without output, counts as hanging.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_mins(10);

/// Makes every child of this process start with the default signal actions. A background job of a script (`cargo test &`)
/// ignores Ctrl-C, and children inherit that. A signal with a handler has its default action again in a child.
pub(crate) fn default_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        for signal in [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM] {
            let number = signal.as_raw();
            if (mask >> (number - 1)) & 1 == 1 {
                // Dropping it does not remove the handler.
                let kind = tokio::signal::unix::SignalKind::from_raw(number);
                drop(tokio::signal::unix::signal(kind).expect("a signal handler"));
            }
        }
    });
}

/// Runs a command to its end, and kills it if it hangs.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    default_signals();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    output_of(child)
}

/// Waits for a process and returns its output. Kills it if it hangs.
#[track_caller]
pub(crate) fn output_of(mut child: Child) -> Output {
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let deadline = Instant::now() + HANG_TIMEOUT;
    let mut hangs = false;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is a child process") {
            break status;
        }
        if Instant::now() > deadline && !hangs {
            hangs = true;
            child.kill().expect("it is a child process");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // Another process may have inherited the pipe and keep it open.
    let all = |from: Receiver<Vec<u8>>| from.recv_timeout(Duration::from_secs(30));
    let (stdout, stderr) = (all(stdout), all(stderr));
    assert!(!hangs, "the command hangs; its output: {:?}", stdout.as_deref().map(String::from_utf8_lossy));
    let [stdout, stderr] = [stdout, stderr].map(|bytes| bytes.expect("another process keeps the pipe open"));
    Output { status, stdout, stderr }
}

fn read_all(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        let _ = send.send(bytes);
    });
    receive
}

/// Pipe whose reads time out, so that the test fails instead of hanging.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    from: R,
    /// Time limit of a read, or none.
    pub(crate) limit: Option<Duration>,
}

impl<R> Bounded<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, limit: Some(HANG_TIMEOUT) }
    }
}

impl<R: Read + AsFd> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(limit) = self.limit {
            let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&limit))?;
            assert_ne!(ready, 0, "nothing was written for {HANG_TIMEOUT:?}");
        }
        self.from.read(buffer)
    }
}

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    args: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    pub(crate) fn new(args: String, output: &Output) -> Self {
        Self {
            args,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Exit code, or none after a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn status(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "lab {}\n{}\n{}", self.args, self.stdout, self.stderr);
        self
    }

    /// Asserts that stdout contains a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "stdout of lab {} does not contain {text:?}:\n{}\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts that stderr contains a text.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        let (args, stdout, stderr) = (&self.args, &self.stdout, &self.stderr);
        assert!(stderr.contains(text), "stderr of lab {args} does not contain {text:?}:\n{stdout}\n{stderr}");
        self
    }

    /// Parses stdout as JSON.
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
