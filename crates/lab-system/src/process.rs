//! Runs the user's commands with a time limit and leaves no process of their group behind. [`Processes`] is a trait, so
//! the runner's tests do not start processes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Time to wait for the rest of the output once the group is gone. A process that left the group may still hold the pipe.
const DRAIN: Duration = Duration::from_millis(500);
/// Maximum standard output to keep, in bytes.
const MAX_OUTPUT: usize = 64 << 10;
/// Number of last lines to keep.
const MAX_LINES: usize = 10;

/// Runs commands.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Runs a command until it exits, its time limit is reached or `stop` is cancelled, all of which are results. Only a
    /// failure to start the command is an error.
    async fn run(&self, job: &Job, stop: &CancellationToken) -> Result<Ended, ProcessError>;
}

/// A command to run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The program, then its arguments.
    pub command: Vec<String>,
    /// Working directory. A program name with a `/` is resolved relative to it.
    pub folder: Option<PathBuf>,
    /// Added to lab's own environment.
    pub env: BTreeMap<String, String>,
    /// Time limit, after which the command is stopped.
    pub timeout: Duration,
}

/// Result of a command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code, signal or timeout.
    pub how: How,
    /// The first 64 KiB of standard output, without trailing line breaks.
    pub stdout: String,
    /// The last lines of standard output and standard error combined, each of at most 64 KiB.
    pub lines: Vec<String>,
}

/// Reason for the end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Exit code.
    Code(i32),
    /// Number of the signal that ended it.
    Signal(i32),
    /// Ended by lab at its time limit.
    TimedOut,
    /// Ended by lab because `stop` was cancelled.
    Stopped,
}

/// The command could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{program} cannot be run: {source}")]
pub struct ProcessError {
    program: String,
    source: io::Error,
}

impl ProcessError {
    /// Names the program that could not be started.
    pub fn new(program: &str, source: io::Error) -> Self {
        Self { program: program.to_owned(), source }
    }
}

/// Runs commands as processes of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProcesses;

/// A process group that is killed on drop. A second Ctrl-C drops the future that waits for it.
struct Group(Pid);

impl Group {
    fn signal(&self, signal: Signal) {
        // An error means that no process is left, which is the goal.
        let _ = kill_process_group(self.0, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[async_trait]
impl Processes for LocalProcesses {
    async fn run(&self, job: &Job, stop: &CancellationToken) -> Result<Ended, ProcessError> {
        let (program, arguments) = job.command.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let failed = |source| ProcessError::new(program, source);
        let mut command = Command::new(resolve_program(program, job.folder.as_deref()));
        command.args(arguments).envs(&job.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &job.folder {
            command.current_dir(folder);
        }
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = Group(id.ok_or_else(|| failed(io::Error::other("it has no process id")))?);
        let captured = Arc::new(Mutex::new(Captured::default()));
        let mut readers = tokio::task::JoinSet::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(capture(out, Arc::clone(&captured), true));
        }
        if let Some(out) = child.stderr.take() {
            readers.spawn(capture(out, Arc::clone(&captured), false));
        }
        let how = tokio::select! {
            biased;
            () = stop.cancelled() => How::Stopped,
            status = child.wait() => match status.map_err(failed)? {
                status if status.code().is_some() => How::Code(status.code().unwrap_or_default()),
                status => How::Signal(status.signal().unwrap_or_default()),
            },
            () = tokio::time::sleep(job.timeout) => How::TimedOut,
        };
        if matches!(how, How::Stopped | How::TimedOut) {
            group.signal(Signal::TERM);
            let _ = timeout(GRACE, child.wait()).await;
        }
        // Kills background processes too: no process outlives its step.
        drop(group);
        let _ = timeout(GRACE, child.wait()).await;
        let _ = timeout(DRAIN, async { while readers.join_next().await.is_some() {} }).await;
        let captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
        let stdout = String::from_utf8_lossy(&captured.stdout).trim_end_matches(['\n', '\r']).to_owned();
        Ok(Ended { how, stdout, lines: captured.lines.iter().cloned().collect() })
    }
}

/// Resolves a program: a name with a `/` relative to the folder, any other through `PATH`.
fn resolve_program(program: &str, folder: Option<&Path>) -> PathBuf {
    match folder {
        Some(folder) if program.contains('/') => {
            let path = folder.join(program);
            // Absolute, because the child changes its directory before it looks for the program.
            std::path::absolute(&path).unwrap_or(path)
        }
        _ => PathBuf::from(program),
    }
}

/// Captured output of a command.
#[derive(Default)]
struct Captured {
    stdout: Vec<u8>,
    lines: VecDeque<String>,
}

async fn capture(out: impl AsyncRead + Unpin, captured: Arc<Mutex<Captured>>, is_stdout: bool) {
    let mut reader = BufReader::new(out);
    let mut line = Vec::new();
    // Very long lines are split.
    while let Ok(read) = read_line(&mut reader, &mut line).await {
        if read == 0 {
            break;
        }
        let mut captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
        if is_stdout {
            let room = MAX_OUTPUT.saturating_sub(captured.stdout.len()).min(line.len());
            captured.stdout.extend_from_slice(&line[..room]);
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            captured.lines.push_back(text);
        }
        if captured.lines.len() > MAX_LINES {
            captured.lines.pop_front();
        }
        line.clear();
    }
}

/// Reads a line with its line break, or as much of a long line as fits. Returns the number of bytes in `line`.
async fn read_line(reader: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> io::Result<usize> {
    while line.len() < MAX_OUTPUT {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(buffer.len());
        line.extend_from_slice(&buffer[..taken]);
        reader.consume(taken);
        if end.is_some() {
            break;
        }
    }
    Ok(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, seconds: u64) -> Job {
        let command = ["sh", "-c", script].map(str::to_owned).into();
        Job { command, folder: None, env: BTreeMap::new(), timeout: Duration::from_secs(seconds) }
    }

    async fn run(job: &Job) -> Ended {
        LocalProcesses.run(job, &CancellationToken::new()).await.unwrap()
    }

    /// Ids of the processes whose command line contains this text.
    fn processes(mark: &str) -> usize {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
    }

    #[tokio::test]
    async fn output_and_exit_code_are_captured() {
        let mut job = sh("echo one $A; echo two >&2; echo; exit 3", 20);
        job.env.insert("A".to_owned(), "b c".to_owned());
        let ended = run(&job).await;
        assert_eq!((ended.how, ended.stdout.as_str()), (How::Code(3), "one b c"));
        let mut lines = ended.lines;
        lines.sort();
        assert_eq!(lines, ["one b c", "two"]);
        assert_eq!(run(&sh("kill -9 $$", 20)).await.how, How::Signal(9));
        let error =
            LocalProcesses.run(&Job { command: vec!["/no/such".into()], ..job }, &CancellationToken::new()).await;
        assert!(error.unwrap_err().to_string().starts_with("/no/such cannot be run: No such file"));
    }

    #[tokio::test]
    async fn long_output_is_truncated_and_its_last_lines_are_kept() {
        let ended = run(&sh("seq 1 100000; printf x", 20)).await;
        assert_eq!(ended.stdout.len(), MAX_OUTPUT);
        assert_eq!(ended.lines.len(), MAX_LINES);
        assert_eq!(ended.lines[MAX_LINES - 2..], ["100000", "x"]);
        let ended = run(&sh("head -c 300000 /dev/zero | tr '\\0' a", 20)).await;
        assert_eq!(ended.stdout.len(), MAX_OUTPUT);
        assert!(ended.lines.iter().all(|line| line.len() <= 2 * MAX_OUTPUT), "long lines are split");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_timeout_ends_the_whole_group_even_if_it_ignores_sigterm() {
        let mark = format!("30{}", std::process::id());
        let script = format!("trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}");
        let mut job = sh(&script, 20);
        job.timeout = Duration::from_millis(300);
        assert_eq!(run(&job).await.how, How::TimedOut);
        assert_eq!(processes(&mark), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn background_processes_end_with_the_command() {
        let mark = format!("31{}", std::process::id());
        let ended = run(&sh(&format!("sleep {mark} & echo started"), 20)).await;
        assert_eq!((ended.how, ended.stdout.as_str()), (How::Code(0), "started"));
        assert_eq!(processes(&mark), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_command_ends_when_it_is_stopped_or_its_future_is_dropped() {
        let mark = format!("32{}", std::process::id());
        let job = sh(&format!("echo ready; sleep {mark}"), 60);
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(LocalProcesses.run(&job, &stop).await.unwrap().how, How::Stopped);
        let never = CancellationToken::new();
        let life = LocalProcesses.run(&job, &never);
        assert!(timeout(Duration::from_millis(300), life).await.is_err());
        // The kernel delivers the signal asynchronously.
        let gone = async {
            while processes(&mark) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_relative_program_is_resolved_from_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fix.sh"), "#!/bin/sh\npwd\n").unwrap();
        std::process::Command::new("chmod").arg("+x").arg(folder.path().join("fix.sh")).status().unwrap();
        let job = Job { command: vec!["./fix.sh".to_owned()], folder: Some(folder.path().to_owned()), ..sh("", 20) };
        let seen = PathBuf::from(run(&job).await.stdout);
        assert_eq!(seen, folder.path().canonicalize().unwrap());
    }
}
