//! [`Daemon`]: a Docker daemon of the tests' own, to be killed, stopped and filled up. It lives in namespaces of its own
//! (processes, mounts, network), so that the machine's daemon does not notice it, and nothing of it outlives this process.

use std::fs::{File, create_dir, read_to_string, remove_file};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::ran::{Bounded, kill, output, output_of};
use crate::support::PATIENCE;

/// The first process in the namespaces: what is mounted and what runs there goes with it, and it goes with its standard input.
const KEEPER: &str = r#"
    set -e
    mount -t tmpfs -o "size=$1,mode=0755" none "$0/root"
    ip link set lo up
    echo ready
    read -r _ || true
"#;
/// Content of its disk: the images of the stack, and images made from them.
const DISK: &str = "1500m";

/// A daemon. Its disk is in memory.
pub(crate) struct Daemon {
    folder: tempfile::TempDir,
    keeper: Child,
    /// The keeper's process, seen from outside.
    init: u32,
    /// The daemon's, as long as it runs.
    running: Option<Child>,
    /// Additional address to listen on, besides its socket.
    also: Option<String>,
}

/// One for all tests that need one, with the images of a small stack, running and with room on its disk; one test at a time.
pub(crate) fn shared() -> Shared {
    let mut daemon = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(daemon) = daemon.as_mut() {
        daemon.mend();
    } else {
        let fresh = daemon.insert(Daemon::new());
        fresh.load(&crate::support::small_images());
    }
    Shared(daemon)
}

static SHARED: Mutex<Option<Daemon>> = Mutex::new(None);

/// Ends it.
pub(crate) fn end() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// Returns true if this machine can run a daemon: it needs root and a few programs.
pub(crate) fn is_possible() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    rustix::process::geteuid().is_root() && ["dockerd", "unshare", "nsenter", "ip", "bash"].into_iter().all(has)
}

/// [`shared`], for as long as one test has it.
pub(crate) struct Shared(MutexGuard<'static, Option<Daemon>>);

impl std::ops::Deref for Shared {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        self.0.as_ref().expect("it was just made")
    }
}

impl std::ops::DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Daemon {
        self.0.as_mut().expect("it was just made")
    }
}

impl Daemon {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        create_dir(folder.path().join("root")).expect("the folder is ours");
        let mut keeper = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", KEEPER])
            .arg(folder.path())
            .arg(DISK)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = String::new();
        BufReader::new(Bounded::new(keeper.stdout.take().expect("it is piped")))
            .read_line(&mut ready)
            .expect("a line is read");
        assert_eq!(ready, "ready\n", "namespaces can be made");
        let children = read_to_string(format!("/proc/{0}/task/{0}/children", keeper.id())).expect("Linux");
        let init = children.trim().parse().expect("the keeper is its one child");
        let mut daemon = Self { folder, keeper, init, running: None, also: None };
        daemon.start();
        daemon
    }

    /// As `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.file("sock").display())
    }

    /// Puts a command into the network in which its ports are published.
    pub(crate) fn network(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.init)]
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&mut self) {
        for left in ["sock", "pid"] {
            let _ = remove_file(self.file(left));
        }
        std::fs::write(self.file("daemon.json"), "{}").expect("the folder is ours");
        let log = File::options().create(true).append(true).open(self.file("log")).expect("the folder is ours");
        let mut command = self.inside();
        command.arg("dockerd");
        for (option, file) in
            [("config-file", "daemon.json"), ("data-root", "root"), ("exec-root", "run"), ("pidfile", "pid")]
        {
            command.arg(format!("--{option}={}", self.file(file).display()));
        }
        command.arg(format!("--host={}", self.host())).args(["--bridge=none", "--shutdown-timeout=3"]);
        command.arg(format!("--cgroup-parent={}", Self::cgroup()));
        if let Some(also) = &self.also {
            command.arg(format!("--host={also}")).arg("--tls=false");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.running = Some(command.spawn().expect("nsenter starts"));
        let begun = Instant::now();
        while UnixStream::connect(self.file("sock")).is_err() {
            assert!(begun.elapsed() < PATIENCE, "dockerd does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        // It takes calls as soon as it listens, and answers when it is ready.
        self.docker(&["version"]);
    }

    /// Lets the daemon listen on a network, like one on another machine. Returns its address for `DOCKER_HOST`. After the next
    /// start it is local again.
    pub(crate) fn on_a_network(&mut self) -> String {
        let (id, link) = (std::process::id(), format!("lab-t-{}", std::process::id() % 100_000));
        // Part of the block for network tests (RFC 2544), which is not in use anywhere.
        let (a, b) = (id / 64 % 256, id % 64 * 4);
        let (ours, theirs) = (format!("198.18.{a}.{}", b + 1), format!("198.18.{a}.{}", b + 2));
        let ns = self.init.to_string();
        let inside = ["nsenter", "--target", &ns, "--net", "ip"];
        for (ip, args) in [
            (&inside[4..], format!("link add {link} type veth peer name outside netns {ns}")),
            (&inside[4..], format!("addr add {ours}/30 dev {link}")),
            (&inside[4..], format!("link set {link} up")),
            (&inside, format!("addr add {theirs}/30 dev outside")),
            (&inside, "link set outside up".to_owned()),
        ] {
            let done = Command::new(ip[0]).args(&ip[1..]).args(args.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "ip {args}");
        }
        self.end_by(Signal::TERM);
        self.also = Some(format!("tcp://{theirs}:2375"));
        self.start();
        self.also.take().expect("it was just set")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let (Some(running), Signal::CONT) = (&self.running, signal) {
            // Its starter was stopped with it, and continues it later.
            return kill(running.id(), signal);
        }
        let script = format!("kill -{} \"$(cat \"$0\")\"", signal.as_raw());
        let sent = self.inside().args(["bash", "-c", &script]).arg(self.file("pid")).status();
        assert!(sent.is_ok_and(|status| status.success()), "the daemon runs");
    }

    /// Ends it by a signal, and waits until it has ended.
    pub(crate) fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        if let Some(mut running) = self.running.take() {
            running.wait().expect("it can be waited for");
        }
    }

    /// Leaves so many MB free on its disk, until it is mended.
    pub(crate) fn fill(&self, leave: u64) {
        let script = format!(
            r#"free=$(df --output=avail --block-size=1M "$0/root" | tail -n 1); fallocate -l $((free - {leave}))M "$0/root/filler""#
        );
        let filled = self.inside().args(["bash", "-c", &script]).arg(self.folder.path()).status();
        assert!(filled.is_ok_and(|status| status.success()), "its disk can be filled");
    }

    /// Runs, awake, with room on its disk.
    fn mend(&mut self) {
        let _ = self.inside().arg("rm").arg("-f").arg(self.file("root/filler")).status();
        if let Some(running) = self.running.as_mut() {
            kill(running.id(), Signal::CONT);
            if running.try_wait().is_ok_and(|ended| ended.is_none()) {
                return;
            }
        }
        self.start();
    }

    /// Gives it images of the machine's daemon.
    fn load(&self, images: &[String]) {
        let mut save = Command::new("docker");
        let mut save = save.arg("save").args(images).stdout(Stdio::piped()).spawn().expect("docker starts");
        let mut load = Command::new("docker");
        load.args(["--host", &self.host(), "load", "--quiet"]).stdin(save.stdout.take().expect("it is piped"));
        let loaded = output(&mut load);
        let saved = output_of(save);
        assert!(
            saved.status.success() && loaded.status.success(),
            "{images:?}: {}",
            String::from_utf8_lossy(&loaded.stderr)
        );
    }

    /// The docker command on it.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        crate::support::docker_on(Some(&self.host()), args)
    }

    pub(crate) fn log(&self) -> String {
        read_to_string(self.file("log")).unwrap_or_default()
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--net", "--pid", "--"]);
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cgroup() -> String {
        format!("/lab-test-{}", std::process::id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ends when it reads no more, and the kernel ends all the rest.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        if let Some(mut running) = self.running.take() {
            // Its starter may be suspended.
            let _ = running.kill();
            let _ = running.wait();
        }
        // A group can go a moment after the last process in it.
        let find = format!("find /sys/fs/cgroup -depth -type d -path '*{}*'", Self::cgroup());
        let script = format!(
            r#"for _ in $(seq 50); do {find} -exec rmdir {{}} + 2>/dev/null; [ -n "$({find} -print)" ] || break; sleep 0.1; done"#
        );
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}
