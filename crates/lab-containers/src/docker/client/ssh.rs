//! [`Tunnel`]: a daemon that is reached by ssh. One connection of the user's own `ssh`, with its configuration, its keys and its
//! known hosts, brings the daemon's socket to a socket here.

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

/// The daemon's socket on its machine, where the address names none.
const SOCKET: &str = "/var/run/docker.sock";
/// How long it may take to connect, and to log in.
const LIMIT: Duration = Duration::from_secs(15);
/// How long what it has to say about something that failed may take to come.
const WORDS: Duration = Duration::from_millis(500);
/// What is said there when all is ready. It ends with its standard input, so that the connection ends with this process, however
/// that ends.
const READY: &str = "lab-is-connected";

/// A connection by ssh; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Tunnel {
    _ssh: Child,
    _folder: TempDir,
    /// Where the daemon is reached.
    pub(super) socket: PathBuf,
    /// The last that ssh said; the sender goes when it has ended.
    said: watch::Receiver<String>,
}

/// `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    socket: &'a str,
}

impl Tunnel {
    /// Connects to what follows `ssh://`. Nobody is asked for a password.
    pub(super) async fn open(address: &str) -> Result<Self, EngineError> {
        let there = parse(address).ok_or_else(|| {
            unreachable(format!("DOCKER_HOST is \"ssh://{address}\": that names no host"))
                .hint("as in ssh://USER@HOST or ssh://USER@HOST:PORT/var/run/docker.sock")
        })?;
        let folder = tempfile::Builder::new().prefix("lab-ssh-").tempdir();
        let folder = folder.map_err(|error| unreachable(format!("no folder for a socket can be made: {error}")))?;
        let socket = folder.path().join("docker.sock");
        let mut command = Command::new("ssh");
        // Of its own, whatever else is connected to that host already; and an error where the socket cannot be brought here.
        for option in ["BatchMode=yes", "ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes"] {
            command.args(["-o", option]);
        }
        // A connection that breaks is found out.
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-T"]);
        command.arg("-L").arg(format!("{}:{}", socket.display(), there.socket));
        command.args(there.user.map(|user| format!("-l{user}"))).args(there.port.map(|port| format!("-p{port}")));
        command.args(["--", there.host, &format!("echo {READY} && exec cat")]);
        // Ctrl-C is for lab, which has things to put back over this connection.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ssh = command.spawn().map_err(|error| cannot_run(&error))?;
        let (sender, said) = watch::channel(String::new());
        if let Some(stderr) = ssh.stderr.take() {
            tokio::spawn(listen(stderr, sender));
        }
        let mut lines = ssh.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let ready = timeout(LIMIT, until_ready(lines.as_mut())).await;
        let tunnel = Self { _ssh: ssh, _folder: folder, socket, said };
        if ready == Ok(true) {
            return Ok(tunnel);
        }
        let why = tunnel.said().await.unwrap_or_else(|| format!("no connection within {} s", LIMIT.as_secs()));
        Err(unreachable(format!("ssh to {}: {why}", there.host))
            .hint(format!("this has to work without being asked anything: ssh {} docker version", shown(&there))))
    }

    /// The last that ssh said, also where it is just about to.
    pub(super) async fn said(&self) -> Option<String> {
        let mut said = self.said.clone();
        let _ = timeout(WORDS, said.wait_for(|said| !said.is_empty())).await;
        let said = said.borrow();
        (!said.is_empty()).then(|| said.clone())
    }
}

/// Waits until all is ready; false where ssh ends before. What the account's own start-up files print is passed over.
async fn until_ready(lines: Option<&mut Lines<BufReader<ChildStdout>>>) -> bool {
    let Some(lines) = lines else { return false };
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim() == READY {
            return true;
        }
    }
    false
}

/// Keeps the last line.
async fn listen(stderr: impl AsyncRead + Unpin, said: watch::Sender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.trim();
        if !line.is_empty() {
            said.send_replace(line.to_owned());
        }
    }
}

fn cannot_run(error: &std::io::Error) -> EngineError {
    let failed = unreachable(format!("DOCKER_HOST is an address of ssh, and ssh cannot be run: {error}"));
    if error.kind() == ErrorKind::NotFound { failed.hint("install OpenSSH's client: openssh-client") } else { failed }
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
    // The tunnel's two ends are divided by a colon.
    let sane = !host.is_empty() && user.is_none_or(|user| !user.is_empty()) && !socket.contains(':');
    sane.then_some(Address { user, host, port, socket })
}

/// As one types it.
fn shown(there: &Address<'_>) -> String {
    let port = there.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let user = there.user.map(|user| format!("{user}@")).unwrap_or_default();
    format!("{port}{user}{}", there.host)
}

#[cfg(test)]
mod tests {
    use super::{Address, SOCKET, parse, shown};

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
    fn it_is_shown_as_it_is_typed() {
        let shown = |text| shown(&parse(text).unwrap());
        assert_eq!(shown("ann@docker.example:2222/x"), "-p 2222 ann@docker.example");
        assert_eq!(shown("docker.example"), "docker.example");
    }
}
