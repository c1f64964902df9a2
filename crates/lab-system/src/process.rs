//! [`Processes`]: runs a command of the user's own, within a time limit, and leaves nothing of its process group behind. A
//! trait, so that the runner's tests need no processes.

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

/// How long a command may take to end after SIGTERM, before its group is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long the last of its output is waited for once its group is gone: what left the group may hold the pipe.
const DRAIN: Duration = Duration::from_millis(500);
/// How much of its standard output is kept, in bytes.
const OUTPUT: usize = 64 << 10;
/// How many of its last lines are kept.
const LINES: usize = 10;

/// Runs commands.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Runs a command to its end, to its time limit, or until `stop`. How it ended is a result; that it could not be
    /// started is an error.
    async fn run(&self, job: &Job, stop: &CancellationToken) -> Result<Ended, ProcessError>;
}

/// A command to run. No shell reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The program, then its arguments.
    pub command: Vec<String>,
    /// Where it runs; a program with a `/` in its name is looked for from there.
    pub folder: Option<PathBuf>,
    /// Beside lab's own environment.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A command that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub how: How,
    /// The first 64 KiB of its standard output, without line ends at the end.
    pub stdout: String,
    /// The last lines of its standard output and its standard error together, each with at most 64 KiB.
    pub lines: Vec<String>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself, with this code.
    Code(i32),
    /// By a signal of this number.
    Signal(i32),
    /// At its time limit.
    TimedOut,
    /// It was to stop.
    Stopped,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{program} cannot be run: {source}")]
pub struct ProcessError {
    program: String,
    source: io::Error,
}

impl ProcessError {
    /// `program` could not be started.
    pub fn new(program: &str, source: io::Error) -> Self {
        Self { program: program.to_owned(), source }
    }
}

/// Processes of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProcesses;

/// A process group. Whatever becomes of the future that minds it, nothing of it is left: a second Ctrl-C drops that future.
struct Group(Pid);

impl Group {
    fn signal(&self, signal: Signal) {
        // That there is none of it left is what is wanted.
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
        let mut command = Command::new(found_from(program, job.folder.as_deref()));
        command.args(arguments).envs(&job.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &job.folder {
            command.current_dir(folder);
        }
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = Group(id.ok_or_else(|| failed(io::Error::other("it has no process id")))?);
        let said = Arc::new(Mutex::new(Said::default()));
        let mut readers = tokio::task::JoinSet::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(listen(out, Arc::clone(&said), true));
        }
        if let Some(out) = child.stderr.take() {
            readers.spawn(listen(out, Arc::clone(&said), false));
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
        // Also what it has left in the background: nothing of a step outlives it.
        drop(group);
        let _ = timeout(GRACE, child.wait()).await;
        let _ = timeout(DRAIN, async { while readers.join_next().await.is_some() {} }).await;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let stdout = String::from_utf8_lossy(&said.stdout).trim_end_matches(['\n', '\r']).to_owned();
        Ok(Ended { how, stdout, lines: said.lines.iter().cloned().collect() })
    }
}

/// Where a program is: one with a `/` in its name is looked for from the folder, any other along `PATH`.
fn found_from(program: &str, folder: Option<&Path>) -> PathBuf {
    match folder {
        Some(folder) if program.contains('/') => {
            let path = folder.join(program);
            // Relative to lab's own folder: the command is looked for after it has changed into its folder.
            std::path::absolute(&path).unwrap_or(path)
        }
        _ => PathBuf::from(program),
    }
}

/// What a command has said.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    lines: VecDeque<String>,
}

async fn listen(out: impl AsyncRead + Unpin, said: Arc<Mutex<Said>>, keep: bool) {
    let mut reader = BufReader::new(out);
    let mut line = Vec::new();
    // A line without an end is taken in pieces.
    while let Ok(read) = read_line(&mut reader, &mut line).await {
        if read == 0 {
            break;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if keep {
            let room = OUTPUT.saturating_sub(said.stdout.len()).min(line.len());
            said.stdout.extend_from_slice(&line[..room]);
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            said.lines.push_back(text);
        }
        if said.lines.len() > LINES {
            said.lines.pop_front();
        }
        line.clear();
    }
}

/// A line with its end, or as much of it as a buffer holds.
async fn read_line(reader: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> io::Result<usize> {
    while line.len() < OUTPUT {
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

    /// The processes whose command line holds this text.
    fn processes(mark: &str) -> usize {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
    }

    #[tokio::test]
    async fn what_a_command_says_and_how_it_ends_is_known() {
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
    async fn much_output_is_cut_and_its_end_is_kept() {
        let ended = run(&sh("seq 1 100000; printf x", 20)).await;
        assert_eq!(ended.stdout.len(), OUTPUT);
        assert_eq!(ended.lines.len(), LINES);
        assert_eq!(ended.lines[LINES - 2..], ["100000", "x"]);
        let ended = run(&sh("head -c 300000 /dev/zero | tr '\\0' a", 20)).await;
        assert_eq!(ended.stdout.len(), OUTPUT);
        assert!(ended.lines.iter().all(|line| line.len() <= 2 * OUTPUT), "in pieces");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn at_its_limit_its_whole_group_ends_also_what_ignores_the_signal() {
        let mark = format!("30{}", std::process::id());
        let script = format!("trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}");
        let mut job = sh(&script, 20);
        job.timeout = Duration::from_millis(300);
        assert_eq!(run(&job).await.how, How::TimedOut);
        assert_eq!(processes(&mark), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_it_leaves_in_the_background_ends_with_it() {
        let mark = format!("31{}", std::process::id());
        let ended = run(&sh(&format!("sleep {mark} & echo started"), 20)).await;
        assert_eq!((ended.how, ended.stdout.as_str()), (How::Code(0), "started"));
        assert_eq!(processes(&mark), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_ends_when_it_is_to_stop_or_nobody_minds_it() {
        let mark = format!("32{}", std::process::id());
        let job = sh(&format!("echo ready; sleep {mark}"), 60);
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(LocalProcesses.run(&job, &stop).await.unwrap().how, How::Stopped);
        let never = CancellationToken::new();
        let life = LocalProcesses.run(&job, &never);
        assert!(timeout(Duration::from_millis(300), life).await.is_err());
        // The kernel delivers the signal in its own time.
        let gone = async {
            while processes(&mark) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_beside_the_scenario_is_found_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mend.sh"), "#!/bin/sh\npwd\n").unwrap();
        std::process::Command::new("chmod").arg("+x").arg(folder.path().join("mend.sh")).status().unwrap();
        let job = Job { command: vec!["./mend.sh".to_owned()], folder: Some(folder.path().to_owned()), ..sh("", 20) };
        let seen = PathBuf::from(run(&job).await.stdout);
        assert_eq!(seen, folder.path().canonicalize().unwrap());
    }
}
