//! [`Sshd`]: an ssh server on a loopback port, and an `ssh` program that is configured to log in to it.

use std::fs::{Permissions, create_dir_all, read_to_string, set_permissions, write};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::Bounded;
use crate::support::TIMEOUT;

/// An absolute path, because it re-executes itself for each connection.
const SSHD: &str = "/usr/sbin/sshd";

/// Returns true if the required programs are installed.
pub(crate) fn is_possible() -> bool {
    [SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen"].into_iter().all(|program| Path::new(program).is_file())
}

/// An ssh server. Stops when it is dropped.
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
        // Folder for privilege separation, needed as root.
        let _ = create_dir_all("/run/sshd");
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            assert!(keygen.status().expect("ssh-keygen is installed").success());
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let host_key = read_to_string(at("host.pub")).expect("it was created");
        write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).expect("a writable path");
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n",
            at("host"),
            at("user.pub")
        );
        write(at("sshd_config"), config).expect("a writable path");
        let config = format!(
            "Host *\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n\
             StrictHostKeyChecking yes\n",
            at("user"),
            at("known")
        );
        write(at("ssh_config"), config).expect("a writable path");
        let programs = folder.path().join("programs");
        let ssh = programs.join("ssh");
        create_dir_all(&programs).expect("a writable path");
        write(&ssh, format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", at("ssh_config"))).expect("a writable path");
        set_permissions(&ssh, Permissions::from_mode(0o755)).expect("a writable path");
        let server = start_server(&at("sshd_config"));
        Self { folder, programs, server, port }
    }

    /// Folder with the configured `ssh`.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Address of a daemon's socket for `DOCKER_HOST`.
    pub(crate) fn host(&self, socket: &str) -> String {
        format!("ssh://{}{socket}", self.address())
    }

    /// Waits until every connection has ended.
    #[track_caller]
    pub(crate) fn until_disconnected(&self) {
        let id = self.server.id();
        let begun = Instant::now();
        while let connected = read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default()
            && !connected.trim().is_empty()
        {
            let folder = self.folder.path().display();
            assert!(begun.elapsed() < TIMEOUT, "still connected to the server in {folder}: {connected}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Starts the server and waits until it listens.
fn start_server(config: &str) -> Child {
    let mut command = Command::new(SSHD);
    let mut server = command.args(["-D", "-e", "-f", config]).stderr(Stdio::piped()).spawn().expect("sshd starts");
    let mut output = String::new();
    let mut errors = BufReader::new(Bounded::new(server.stderr.take().expect("it is piped")));
    while !output.contains("Server listening") && errors.read_line(&mut output).is_ok_and(|read| read > 0) {}
    if output.contains("Server listening") {
        // Its output is read, so that it never blocks on a full pipe.
        errors.get_mut().limit = None;
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        return server;
    }
    let ended = server.wait();
    panic!("sshd does not listen: {ended:?} {output}");
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
