//! [`Tunnel`] to a daemon over ssh. One connection of the user's own `ssh`, with its configuration, keys and known hosts, forwards
//! the daemon's socket to a local socket.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use super::connect::unreachable;
use lab_core::engine::EngineError;
use lab_system::deadline::timeout;

/// Default path of the daemon's socket.
const SOCKET: &str = "/var/run/docker.sock";
/// Time to connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time to wait for ssh's error message.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(500);
/// Printed by the remote command when the connection is ready. The command ends with its standard input, so that the connection
/// ends with this process in any case.
const READY: &str = "lab-is-connected";

/// An ssh connection, closed on drop.
#[derive(Debug)]
pub(super) struct Tunnel {
    _ssh: Child,
    _folder: TempDir,
    /// Local socket that is forwarded to the daemon.
    pub(super) socket: PathBuf,
    /// Last message of ssh. The sender is dropped when ssh has ended.
    message: watch::Receiver<String>,
}

/// Parsed `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    socket: &'a str,
}

impl Tunnel {
    /// Connects to the address after `ssh://`. Never prompts for a password.
    pub(super) async fn open(address: &str) -> Result<Self, EngineError> {
        let target = parse(address).ok_or_else(|| {
            unreachable(format!("DOCKER_HOST is \"ssh://{address}\": the host is missing"))
                .hint("examples: ssh://USER@HOST or ssh://USER@HOST:PORT/var/run/docker.sock")
        })?;
        let folder = tempfile::Builder::new().prefix("lab-ssh-").tempdir();
        let folder = folder.map_err(|error| unreachable(format!("cannot create a folder for the socket: {error}")))?;
        let socket = folder.path().join("docker.sock");
        let mut command = Command::new("ssh");
        // An own connection, independent of shared ones, that fails if the socket cannot be forwarded.
        for option in ["BatchMode=yes", "ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes"] {
            command.args(["-o", option]);
        }
        // Detects a broken connection.
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-T"]);
        command.arg("-L").arg(format!("{}:{}", socket.display(), target.socket));
        command.args(target.user.map(|user| format!("-l{user}"))).args(target.port.map(|port| format!("-p{port}")));
        command.args(["--", target.host, &format!("echo {READY} && exec cat")]);
        // Ctrl-C is handled by lab, which still needs this connection for the undo.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ssh = command.spawn().map_err(|error| cannot_run(&error))?;
        let (sender, message) = watch::channel(String::new());
        if let Some(stderr) = ssh.stderr.take() {
            tokio::spawn(keep_last_line(stderr, sender));
        }
        let mut lines = ssh.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let ready = timeout(CONNECT_TIMEOUT, wait_until_ready(lines.as_mut())).await;
        let tunnel = Self { _ssh: ssh, _folder: folder, socket, message };
        if ready == Ok(true) {
            return Ok(tunnel);
        }
        let why = tunnel
            .last_message()
            .await
            .unwrap_or_else(|| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
        Err(unreachable(format!("ssh to {}: {why}", target.host))
            .hint(format!("this must work without a prompt: ssh {} docker version", ssh_arguments(&target))))
    }

    /// Last message of ssh. Waits a moment if target is none yet.
    pub(super) async fn last_message(&self) -> Option<String> {
        let mut message = self.message.clone();
        let _ = timeout(MESSAGE_TIMEOUT, message.wait_for(|message| !message.is_empty())).await;
        let message = message.borrow();
        (!message.is_empty()).then(|| message.clone())
    }
}

/// Waits until the connection is ready. Returns false if ssh ends before. Skips the output of the account's start-up files.
async fn wait_until_ready(lines: Option<&mut Lines<BufReader<ChildStdout>>>) -> bool {
    let Some(lines) = lines else { return false };
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim() == READY {
            return true;
        }
    }
    false
}

/// Keeps the last line.
async fn keep_last_line(stderr: impl AsyncRead + Unpin, message: watch::Sender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.trim();
        if !line.is_empty() {
            message.send_replace(line.to_owned());
        }
    }
}

fn cannot_run(error: &std::io::Error) -> EngineError {
    let failed = unreachable(format!("DOCKER_HOST is an ssh address, but ssh cannot be run: {error}"));
    if error.kind() == ErrorKind::NotFound {
        failed.hint("install the OpenSSH client (openssh-client)")
    } else {
        failed
    }
}

fn parse(address: &str) -> Option<Address<'_>> {
    let (authority, socket) = match address.find('/') {
        Some(slash) if address.len() > slash + 1 => address.split_at(slash),
        Some(slash) => (&address[..slash], SOCKET),
        None => (address, SOCKET),
    };
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (place, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A colon separates the tunnel's two ends.
    let sane = !host.is_empty() && user.is_none_or(|user| !user.is_empty()) && !socket.contains(':');
    sane.then_some(Address { user, host, port, socket })
}

/// Arguments for the ssh command.
fn ssh_arguments(target: &Address<'_>) -> String {
    let port = target.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let user = target.user.map(|user| format!("{user}@")).unwrap_or_default();
    format!("{port}{user}{}", target.host)
}

#[cfg(test)]
mod tests {
    use super::{Address, SOCKET, parse, ssh_arguments};

    #[test]
    fn an_address_names_a_host() {
        for (text, user, host, port, socket) in [
            ("docker.example", None, "docker.example", None, SOCKET),
            ("ann@docker.example/", Some("ann"), "docker.example", None, SOCKET),
            ("ann@docker.example:2222", Some("ann"), "docker.example", Some(2222), SOCKET),
            ("[fd00::5]:2222/run/x.sock", None, "fd00::5", Some(2222), "/run/x.sock"),
            ("[fd00::5]", None, "fd00::5", None, SOCKET),
        ] {
            assert_eq!(parse(text), Some(Address { user, host, port, socket }), "{text}");
        }
        for wrong in ["", "/", "@host", "ann@", "host:port", "host:99999", "host/a:b"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_is_displayed_as_ssh_arguments() {
        let ssh_arguments = |text| ssh_arguments(&parse(text).unwrap());
        assert_eq!(ssh_arguments("ann@docker.example:2222/x"), "-p 2222 ann@docker.example");
        assert_eq!(ssh_arguments("docker.example"), "docker.example");
    }
}
