//! Child process of the host, `lab app` or `lab gateway`. It reports readiness on its standard output and terminates when its
//! standard input closes, so that it never outlives the host.

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

use super::log::{LastLine, Log};
use lab_core::engine::{EngineError, EngineErrorKind};

/// Time for a process to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between SIGTERM and SIGKILL. The processes are designed to terminate within one second.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a process to accept a line on its standard input.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Program to start.
pub(super) struct Program<'a> {
    /// lab's own executable.
    pub(super) exe: &'a Path,
    /// `app` or `gateway`: both the service name and the subcommand.
    pub(super) service: &'a str,
    /// Complete environment of the process.
    pub(super) env: BTreeMap<String, String>,
    /// Destination of its output.
    pub(super) log: Arc<Log>,
}

/// Process that is running or has exited.
pub(super) struct Child {
    /// Instance id.
    pub(super) instance: String,
    /// Listen address, such as `127.0.0.1:43211`.
    pub(super) address: String,
    /// Address of its metrics page, if that is another one.
    pub(super) metrics: Option<String>,
    pub(super) since: DateTime<Utc>,
    pub(super) pid: u32,
    stdin: Mutex<ChildStdin>,
    /// Last line on standard error, which explains an exit.
    errors: LastLine,
    /// Set by [`Child::freeze`].
    frozen: AtomicBool,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts the process and waits until it is ready.
    pub(super) async fn start(program: Program<'_>, instance: String) -> Result<Self, EngineError> {
        let service = program.service;
        let system =
            |error: std::io::Error| EngineError::new(EngineErrorKind::System, error.to_string()).for_service(service);
        let mut command = Command::new(program.exe);
        command.arg0("lab").arg(service).arg("--tied").env_clear().envs(&program.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Its own process group: if the host dies while this process is stopped, the kernel continues and terminates it as a
        // member of an orphaned process group (POSIX). On Linux the process also requests SIGCONT on parent death.
        command.process_group(0);
        let mut child = command.spawn().map_err(system)?;
        let missing = || EngineError::new(EngineErrorKind::System, "the process has no pipes").for_service(service);
        let pid = child.id().ok_or_else(missing)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(missing());
        };
        let errors = program.log.capture(stderr);
        let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
        let mut line = String::new();
        let ready = tokio::time::timeout(READY_TIMEOUT, stdout.read_line(&mut line)).await;
        match ready {
            Ok(Ok(0)) => return Err(exited_while_starting(service, &mut child, &errors).await),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(system(error)),
            Err(_) => {
                let detail = errors.get().await.unwrap_or_else(|| "no output".to_owned());
                return Err(EngineError::new(EngineErrorKind::StartupTimeout, detail).for_service(service));
            }
        }
        let Some((address, metrics)) = ready_addresses(&line) else {
            let detail = format!("unexpected first line of output: {:?}", line.trim());
            return Err(EngineError::new(EngineErrorKind::System, detail).for_service(service));
        };
        program.log.append(line.as_bytes());
        program.log.capture(stdout);
        let (exited, exit) = watch::channel(None);
        tokio::spawn(async move {
            // wait fails only if the process is no longer our child, which counts as exited.
            let status = child.wait().await.unwrap_or_default();
            exited.send_replace(Some(status));
        });
        Ok(Self {
            instance,
            address,
            metrics,
            since: Utc::now(),
            pid,
            stdin: Mutex::new(stdin),
            errors,
            frozen: AtomicBool::new(false),
            exit,
        })
    }

    /// Exit status, or `None` while the process is running.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until the process has exited.
    pub(super) async fn wait(&self) {
        // The sender is dropped only after it has sent.
        let _ = self.exit.clone().wait_for(Option::is_some).await;
    }

    /// Writes a line to its standard input. Does nothing if the process has exited.
    pub(super) async fn send_line(&self, line: &str) {
        let mut stdin = self.stdin.lock().await;
        let line = format!("{line}\n");
        // A stopped process reads nothing until it continues. The pipe holds thousands of lines before it is full.
        let _ = tokio::time::timeout(SEND_TIMEOUT, stdin.write_all(line.as_bytes())).await;
    }

    /// Error for a process that has exited: the last line on its standard error, else the last line of its log.
    pub(super) async fn exited(&self, service: &str, log: &Log) -> EngineError {
        let line = self.errors.get().await.or_else(|| log.last_line());
        let detail = line.unwrap_or_else(|| self.exit_status().unwrap_or_default().to_string());
        EngineError::new(EngineErrorKind::Exited, detail).for_service(service)
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Stops the process with SIGSTOP.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
        self.signal(Signal::STOP);
    }

    /// Continues the process with SIGCONT.
    pub(super) fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.signal(Signal::CONT);
    }

    /// Terminates the process and waits until it has exited. It finishes its requests first, unless `abrupt`.
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
        if self.exit_status().is_some() {
            return;
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // Fails only if the process has just exited.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Listen address and metrics address in `ready ADDRESS` or `ready ADDRESS metrics ADDRESS`.
fn ready_addresses(line: &str) -> Option<(String, Option<String>)> {
    let mut words = line.trim().strip_prefix("ready ")?.split(" metrics ");
    Some((words.next()?.to_owned(), words.next().map(str::to_owned)))
}

/// Error for a process that exited before it was ready.
async fn exited_while_starting(service: &str, child: &mut tokio::process::Child, errors: &LastLine) -> EngineError {
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    let detail = errors.get().await.map_or_else(|| status.clone(), |line| format!("{line} ({status})"));
    EngineError::new(EngineErrorKind::Exited, detail).for_service(service)
}
