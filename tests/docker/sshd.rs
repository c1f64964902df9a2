//! [`Sshd`]: a server for ssh of the tests' own, on a port of the loopback, and the `ssh` that knows it and may log in.

use std::fs::{Permissions, create_dir_all, read_to_string, set_permissions, write};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ran::Bounded;
use crate::support::PATIENCE;

/// It re-executes itself for each connection, so it needs an absolute path.
const SSHD: &str = "/usr/sbin/sshd";

/// Returns true if this machine can run one.
pub(crate) fn is_possible() -> bool {
    [SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen"].into_iter().all(|program| Path::new(program).is_file())
}

/// A server; it ends when this is dropped.
pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    programs: PathBuf,
    server: Child,
    port: u16,
}

impl Sshd {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Folder for its privilege separation, as root.
        let _ = create_dir_all("/run/sshd");
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            assert!(keygen.status().expect("ssh-keygen is there").success());
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let host_key = read_to_string(at("host.pub")).expect("it was made");
        write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).expect("the folder is ours");
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n",
            at("host"),
            at("user.pub")
        );
        write(at("sshd_config"), config).expect("the folder is ours");
        let config = format!(
            "Host *\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n\
             StrictHostKeyChecking yes\n",
            at("user"),
            at("known")
        );
        write(at("ssh_config"), config).expect("the folder is ours");
        let programs = folder.path().join("programs");
        let ssh = programs.join("ssh");
        create_dir_all(&programs).expect("the folder is ours");
        write(&ssh, format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", at("ssh_config"))).expect("ours");
        set_permissions(&ssh, Permissions::from_mode(0o755)).expect("ours");
        let server = listening(&at("sshd_config"));
        Self { folder, programs, server, port }
    }

    /// The folder with the `ssh` that may log in.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A daemon's socket on it, as `DOCKER_HOST` has it.
    pub(crate) fn host(&self, socket: &str) -> String {
        format!("ssh://{}{socket}", self.address())
    }

    /// Waits until every connection has ended.
    #[track_caller]
    pub(crate) fn until_nobody_is_connected(&self) {
        let id = self.server.id();
        let begun = Instant::now();
        while let connected = read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default()
            && !connected.trim().is_empty()
        {
            let folder = self.folder.path().display();
            assert!(begun.elapsed() < PATIENCE, "still connected to the server in {folder}: {connected}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Starts it, and waits until it listens.
fn listening(config: &str) -> Child {
    let mut command = Command::new(SSHD);
    let mut server = command.args(["-D", "-e", "-f", config]).stderr(Stdio::piped()).spawn().expect("sshd starts");
    let mut said = String::new();
    let mut errors = BufReader::new(Bounded::new(server.stderr.take().expect("it is piped")));
    while !said.contains("Server listening") && errors.read_line(&mut said).is_ok_and(|read| read > 0) {}
    if said.contains("Server listening") {
        // Its later output is read, so that it never blocks on a full pipe.
        errors.get_mut().limit = None;
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        return server;
    }
    let ended = server.wait();
    panic!("sshd does not listen: {ended:?} {said}");
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
