//! [`Daemon`]: a separate Docker daemon that tests kill, suspend and fill up. It runs in its own namespaces (processes, mounts,
//! network), so that it does not affect the machine's daemon and ends with this process.

use std::fs::{File, create_dir, read_to_string, remove_file};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::command::{Bounded, kill, output, output_of};
use crate::support::TIMEOUT;

/// First process in the namespaces. Its mounts and processes end with it, and it ends with its standard input.
const INIT_SCRIPT: &str = r#"
    set -e
    mount -t tmpfs -o "size=$1,mode=0755" none "$0/root"
    ip link set lo up
    echo ready
    read -r _ || true
"#;
/// Size of the daemon's disk: enough for the images of the stack and of the app.
const DISK: &str = "1500m";

/// A daemon with its disk in memory.
pub(crate) struct Daemon {
    folder: tempfile::TempDir,
    init_process: Child,
    /// Process id of the first process, outside of its namespace.
    init: u32,
    /// `nsenter` with the running daemon.
    running: Option<Child>,
    /// Additional address to listen on, besides its socket.
    also: Option<String>,
}

/// Returns the daemon that the tests share, one test at a time: running, with the images of a small stack, and with free space.
pub(crate) fn shared() -> SharedDaemon {
    let mut daemon = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(daemon) = daemon.as_mut() {
        daemon.restore();
    } else {
        let fresh = daemon.insert(Daemon::new());
        fresh.load(&crate::support::small_images());
    }
    SharedDaemon(daemon)
}

static SHARED: Mutex<Option<Daemon>> = Mutex::new(None);

/// Ends the shared daemon.
pub(crate) fn end() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// Returns true if this machine can run a daemon: it needs root and a few programs.
pub(crate) fn is_possible() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    rustix::process::geteuid().is_root() && ["dockerd", "unshare", "nsenter", "ip", "bash"].into_iter().all(has)
}

/// Exclusive use of the shared daemon by one test.
pub(crate) struct SharedDaemon(MutexGuard<'static, Option<Daemon>>);

impl std::ops::Deref for SharedDaemon {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        self.0.as_ref().expect("it was just created")
    }
}

impl std::ops::DerefMut for SharedDaemon {
    fn deref_mut(&mut self) -> &mut Daemon {
        self.0.as_mut().expect("it was just created")
    }
}

impl Daemon {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        create_dir(folder.path().join("root")).expect("a writable path");
        let mut init_process = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", INIT_SCRIPT])
            .arg(folder.path())
            .arg(DISK)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = String::new();
        BufReader::new(Bounded::new(init_process.stdout.take().expect("it is piped")))
            .read_line(&mut ready)
            .expect("a line is read");
        assert_eq!(ready, "ready\n", "namespaces cannot be created");
        let children =
            read_to_string(format!("/proc/{0}/task/{0}/children", init_process.id())).expect("/proc exists on Linux");
        let init = children.trim().parse().expect("one child process");
        let mut daemon = Self { folder, init_process, init, running: None, also: None };
        daemon.start();
        daemon
    }

    /// Address for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.file("sock").display())
    }

    /// Prefix that runs a command in the network in which ports are published.
    pub(crate) fn network(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.init)]
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&mut self) {
        for left in ["sock", "pid"] {
            let _ = remove_file(self.file(left));
        }
        std::fs::write(self.file("daemon.json"), "{}").expect("a writable path");
        let log = File::options().create(true).append(true).open(self.file("log")).expect("a writable path");
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
            assert!(begun.elapsed() < TIMEOUT, "dockerd does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        // It accepts connections as soon as it listens, but answers only when it is ready.
        self.docker(&["version"]);
    }

    /// Restarts the daemon so that it listens on a network, like a daemon on another machine. Returns its address for
    /// `DOCKER_HOST`. After the next start it is local again.
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

    /// Sends a signal to the daemon.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let (Some(running), Signal::CONT) = (&self.running, signal) {
            // `nsenter` was suspended with the daemon, and resumes it.
            return kill(running.id(), signal);
        }
        let script = format!("kill -{} \"$(cat \"$0\")\"", signal.as_raw());
        let sent = self.inside().args(["bash", "-c", &script]).arg(self.file("pid")).status();
        assert!(sent.is_ok_and(|status| status.success()), "the daemon is not running");
    }

    /// Sends a signal and waits until the daemon has ended.
    pub(crate) fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        if let Some(mut running) = self.running.take() {
            running.wait().expect("it is a child process");
        }
    }

    /// Fills the disk except for `leave` MB, until the next test.
    pub(crate) fn fill(&self, leave: u64) {
        let script = format!(
            r#"free=$(df --output=avail --block-size=1M "$0/root" | tail -n 1); fallocate -l $((free - {leave}))M "$0/root/filler""#
        );
        let filled = self.inside().args(["bash", "-c", &script]).arg(self.folder.path()).status();
        assert!(filled.is_ok_and(|status| status.success()), "the disk cannot be filled");
    }

    /// Makes sure that the daemon is running, is not suspended, and has free space.
    fn restore(&mut self) {
        let _ = self.inside().arg("rm").arg("-f").arg(self.file("root/filler")).status();
        if let Some(running) = self.running.as_mut() {
            kill(running.id(), Signal::CONT);
            if running.try_wait().is_ok_and(|ended| ended.is_none()) {
                return;
            }
        }
        self.start();
    }

    /// Copies images from the machine's daemon.
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

    /// Runs a docker command on the daemon.
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
        // It ends with its standard input, and the kernel ends all other processes of the namespace.
        drop(self.init_process.stdin.take());
        let _ = self.init_process.wait();
        if let Some(mut running) = self.running.take() {
            // `nsenter` may be suspended.
            let _ = running.kill();
            let _ = running.wait();
        }
        // A control group can be removed only a moment after its last process has ended.
        let find = format!("find /sys/fs/cgroup -depth -type d -path '*{}*'", Self::cgroup());
        let script = format!(
            r#"for _ in $(seq 50); do {find} -exec rmdir {{}} + 2>/dev/null; [ -n "$({find} -print)" ] || break; sleep 0.1; done"#
        );
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}
