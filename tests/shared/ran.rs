//! [`Ran`]: a lab command that has ended, with assertions: `ran.status(0).says("is up")`.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest that a test waits for a command to end, or to write something. Only one that hangs takes as long.
pub(crate) const LONGEST: Duration = Duration::from_mins(10);

/// Lets every child of this process start with the default effect of signals. A test run in the background of a script
/// (`cargo test &`) ignores Ctrl-C, and children inherit that; a signal that is caught is back at its default in a child.
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
                // The handler stays when this is dropped.
                let kind = tokio::signal::unix::SignalKind::from_raw(number);
                drop(tokio::signal::unix::signal(kind).expect("it can be caught"));
            }
        }
    });
}

/// Runs a command to its end, and kills it if it hangs.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    default_signals();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    output_of(child)
}

/// The end of a process with all that it writes; it is killed if it hangs.
#[track_caller]
pub(crate) fn output_of(mut child: Child) -> Output {
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let deadline = Instant::now() + LONGEST;
    let mut hangs = false;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        if Instant::now() > deadline && !hangs {
            hangs = true;
            child.kill().expect("it is ours");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // Another process may hold the other end of the pipe, and never close it.
    let all = |from: Receiver<Vec<u8>>| from.recv_timeout(Duration::from_secs(30));
    let (stdout, stderr) = (all(stdout), all(stderr));
    assert!(!hangs, "it hangs, having written {:?}", stdout.as_deref().map(String::from_utf8_lossy));
    let [stdout, stderr] = [stdout, stderr].map(|bytes| bytes.expect("a process that is left holds its output"));
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

/// A pipe whose silence is a failure of the test, not a hang.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    from: R,
    /// How long it may be silent; none: for ever.
    pub(crate) limit: Option<Duration>,
}

impl<R> Bounded<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, limit: Some(LONGEST) }
    }
}

impl<R: Read + AsFd> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(limit) = self.limit {
            let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&limit))?;
            assert_ne!(ready, 0, "nothing was written for {LONGEST:?}");
        }
        self.from.read(buffer)
    }
}

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

    /// Exit code, or none after a signal.
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
