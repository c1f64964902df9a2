//! [`Cluster`]: a Docker Swarm of three daemons in namespaces of their own (`cluster.sh`), which ends with this process. The process
//! moves into the network of the nodes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{Bounded, output};

/// Number of nodes. The first is the manager.
pub(crate) const NODES: usize = 3;
/// Time limit of a wait.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

static SHARED: Mutex<Option<Cluster>> = Mutex::new(None);

/// A Swarm with its disks in memory.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<Bounded<ChildStdout>>,
}

/// Starts the cluster that all tests share and moves this process, which must have one thread, into its network.
pub(crate) fn start() {
    let cluster = Cluster::new();
    *lock() = Some(cluster);
}

/// Ends the cluster.
pub(crate) fn end() {
    lock().take();
}

/// Exclusive use of the cluster by one test.
pub(crate) struct SharedCluster(MutexGuard<'static, Option<Cluster>>);

pub(crate) fn shared() -> SharedCluster {
    SharedCluster(lock())
}

impl std::ops::Deref for SharedCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("it was started")
    }
}

impl std::ops::DerefMut for SharedCluster {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.0.as_mut().expect("it was started")
    }
}

fn lock() -> MutexGuard<'static, Option<Cluster>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/swarm/cluster.sh");
        let mut process = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["docker-init", "--", "bash"])
            .arg(script)
            .arg(folder.path())
            .args([NODES.to_string(), cgroup()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("script.log")).expect("a writable path"))
            .spawn()
            .expect("unshare starts");
        let answers = BufReader::new(Bounded::new(process.stdout.take().expect("it is piped")));
        let commands = process.stdin.take();
        let mut cluster = Self { folder, process, commands, answers };
        assert!(cluster.answer(), "the cluster does not start:\n{}", cluster.log());
        let network = format!("/proc/{}/ns/net", cluster.init());
        let network = File::open(network).expect("/proc exists on Linux");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("this process is root");
        cluster
    }

    /// Process id of the first process in the namespaces, as seen from outside.
    fn init(&self) -> u32 {
        let id = self.process.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("/proc exists on Linux");
        children.trim().parse().expect("one child process")
    }

    fn answer(&mut self) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).is_ok_and(|_| line == "ok\n")
    }

    /// Runs a command of the script, such as `signal 2 KILL`, `start 2` or `link 3 down`.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("it is open until the end");
        writeln!(commands, "{command}").expect("the script is running");
        assert!(self.answer(), "{command}:\n{}", self.log());
    }

    /// Address of a node's daemon for `DOCKER_HOST`.
    pub(crate) fn host(&self, node: usize) -> String {
        format!("unix://{}", self.folder.path().join(format!("n{node}/sock")).display())
    }

    /// Runs a docker command on a node and returns its output.
    #[track_caller]
    pub(crate) fn docker(&self, node: usize, args: &[&str]) -> String {
        let output = output(Command::new("docker").args(["--host", &self.host(node)]).args(args));
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asserts that nothing of any lab is left on any node. Containers take a moment to end.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.docker(1, &["service", "ls", "-q"]), "", "services are left");
        assert_eq!(self.docker(1, &["secret", "ls", "-q"]), "", "secrets are left");
        for node in 1..=NODES {
            let start = Instant::now();
            while !self.docker(node, &["ps", "-aq"]).is_empty() {
                assert!(start.elapsed() < TIMEOUT, "containers are left on node {node}");
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(self.docker(node, &["volume", "ls", "-q"]), "", "volumes are left on node {node}");
        }
    }

    fn log(&self) -> String {
        let log = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let daemons: Vec<String> = (1..=NODES).map(|node| log(&format!("n{node}/log"))).collect();
        log("script.log")
            + &daemons.iter().map(|log| log.lines().rev().take(5).collect::<Vec<_>>().join("\n")).collect::<String>()
    }
}

/// Prefix of the control groups of all nodes.
fn cgroup() -> String {
    format!("lab-swarm-{}", std::process::id())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The script ends with its standard input, and the kernel ends all other processes of its namespace.
        drop(self.commands.take());
        let _ = self.process.wait();
        let find = format!("find /sys/fs/cgroup -depth -type d -path '*/{}-n*'", cgroup());
        // A control group can be removed only a moment after its last process has ended.
        let script = format!(
            r#"for _ in $(seq 50); do {find} -exec rmdir {{}} + 2>/dev/null; [ -n "$({find} -print)" ] || break; sleep 0.1; done"#
        );
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}
