//! [`Child`]: one process of the stack, `lab app` or `lab gateway`. It is ready when it says so on its standard output, and
//! it ends when its standard input does: whatever becomes of the host, no process is left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{Mutex, watch};

use super::log::{Log, Words};
use lab_core::engine::{EngineError, EngineErrorKind};

/// How long a process may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process may take to end after SIGTERM, before it is killed. It promises one second.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a process may take to accept a line on its standard input.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// What to start.
pub(super) struct Program<'a> {
    /// lab's own executable.
    pub(super) exe: &'a Path,
    /// `app` or `gateway`: the service and the verb.
    pub(super) service: &'a str,
    /// Its whole environment.
    pub(super) env: BTreeMap<String, String>,
    /// Takes its output.
    pub(super) log: Arc<Log>,
}

/// A process that runs, or ran.
pub(super) struct Child {
    /// The instance's id.
    pub(super) instance: String,
    /// Where it listens: `127.0.0.1:43211`.
    pub(super) address: String,
    /// When it was started.
    pub(super) since: DateTime<Utc>,
    pub(super) pid: u32,
    stdin: Mutex<ChildStdin>,
    /// What it says of its end.
    errors: Words,
    /// It was stopped by [`Child::freeze`].
    frozen: AtomicBool,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts it, and waits until it is ready.
    pub(super) async fn start(program: Program<'_>, instance: String) -> Result<Self, EngineError> {
        let service = program.service;
        let system =
            |error: std::io::Error| EngineError::new(EngineErrorKind::System, error.to_string()).for_service(service);
        let mut command = Command::new(program.exe);
        command.arg0("lab").arg(service).arg("--tied").env_clear().envs(&program.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // A group of its own: where the host dies while this process is frozen, the kernel wakes and ends it, since its
        // group is orphaned with a stopped member (POSIX, "orphaned process group"). On Linux it also asks to be woken.
        command.process_group(0);
        let mut child = command.spawn().map_err(system)?;
        let missing = || EngineError::new(EngineErrorKind::System, "it has no pipes").for_service(service);
        let pid = child.id().ok_or_else(missing)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(missing());
        };
        let errors = program.log.take(stderr);
        let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
        let mut line = String::new();
        let ready = tokio::time::timeout(READY_TIMEOUT, stdout.read_line(&mut line)).await;
        match ready {
            Ok(Ok(0)) => return Err(ended_while_starting(service, &mut child, &errors).await),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(system(error)),
            Err(_) => {
                let detail = errors.last().await.unwrap_or_else(|| "it said nothing".to_owned());
                return Err(EngineError::new(EngineErrorKind::StartupTimeout, detail).for_service(service));
            }
        }
        let Some(address) = line.trim().strip_prefix("ready ").map(str::to_owned) else {
            let detail = format!("its first line is {:?}", line.trim());
            return Err(EngineError::new(EngineErrorKind::System, detail).for_service(service));
        };
        program.log.append(line.as_bytes());
        program.log.take(stdout);
        let (told, exit) = watch::channel(None);
        tokio::spawn(async move {
            // An error of wait means that the process is not ours any more: as good as ended.
            let status = child.wait().await.unwrap_or_default();
            told.send_replace(Some(status));
        });
        Ok(Self {
            instance,
            address,
            since: Utc::now(),
            pid,
            stdin: Mutex::new(stdin),
            errors,
            frozen: AtomicBool::new(false),
            exit,
        })
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Why it ended, by its own last words.
    async fn last_words(&self) -> Option<String> {
        self.errors.last().await
    }

    /// Waits until it has ended.
    pub(super) async fn wait(&self) {
        // The sender is gone only after it has sent.
        let _ = self.exit.clone().wait_for(Option::is_some).await;
    }

    /// Writes a line to its standard input. A process that has ended takes none, and misses none.
    pub(super) async fn tell(&self, line: &str) {
        let mut stdin = self.stdin.lock().await;
        let line = format!("{line}\n");
        // A frozen process reads none of it until it goes on: the pipe takes thousands of lines before it is full.
        let _ = tokio::time::timeout(TELL_TIMEOUT, stdin.write_all(line.as_bytes())).await;
    }

    /// The error for a process that has ended: its own last words, or the last line of its log.
    pub(super) async fn exited(&self, service: &str, log: &Log) -> EngineError {
        let words = self.last_words().await.or_else(|| log.last_line());
        let detail = words.unwrap_or_else(|| self.ended().unwrap_or_default().to_string());
        EngineError::new(EngineErrorKind::Exited, detail).for_service(service)
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Freezes it.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.signal(Signal::CONT);
    }

    /// Ends it: lets it finish its requests, unless `abrupt`. Returns when it has ended.
    pub(super) async fn stop(&self, abrupt: bool) {
        if !abrupt {
            self.signal(Signal::TERM);
            if tokio::time::timeout(STOP_TIMEOUT, self.wait()).await.is_ok() {
                return;
            }
        }
        self.signal(Signal::KILL);
        self.wait().await;
    }

    fn signal(&self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended in this instant, which is what there is to know.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The error for a process that ended before it was ready: its own last words.
async fn ended_while_starting(service: &str, child: &mut tokio::process::Child, errors: &Words) -> EngineError {
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    let detail = errors.last().await.map_or_else(|| status.clone(), |line| format!("{line} ({status})"));
    EngineError::new(EngineErrorKind::Exited, detail).for_service(service)
}
