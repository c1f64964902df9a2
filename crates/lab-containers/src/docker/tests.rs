//! Daemons that are missing, forbidden, hanging or not daemons at all: plain sockets with canned answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;
use lab_core::engine::{APP, GATEWAY, UpRequest};

mod partial_failures;

const VERSION: &str =
    r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;

fn engine(host: &str) -> Docker {
    let stack = Stack::embedded(&BTreeMap::new()).expect("the embedded stack");
    let options = DockerOptions {
        host: Some(host.to_owned()),
        app_image: Some("app:1".to_owned()),
        pull_idle: Some(Duration::from_millis(200)),
        ..DockerOptions::default()
    };
    Docker::new("fake", stack, options)
}

/// Answers a request by its first line, or `None` to hang.
type Answer = fn(&str) -> Option<String>;

#[expect(clippy::unnecessary_wraps, reason = "an answer may be none")]
fn json(status: &str, body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    asked: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().expect("no test panics with it").push(line.clone());
    match answer(&line) {
        Some(text) => stream.write_all(text.as_bytes()).await?,
        None => std::future::pending().await,
    }
    // An answer without an end leaves the connection open.
    if !head.is_empty() && answer(&line).is_some_and(|text| text.contains("chunked")) {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}

/// Serves a daemon on a socket in a folder. Returns its address and the received requests.
fn daemon(folder: &Path, answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let path = folder.join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a new folder has no socket");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, log.clone()));
        }
    });
    (format!("unix://{}", path.display()), asked)
}

async fn describe_error(host: &str) -> EngineError {
    engine(host).describe().await.expect_err("there is no daemon")
}

#[tokio::test]
async fn an_error_without_a_daemon_has_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for host in [format!("unix://{}/none.sock", folder.path().display()), "tcp://127.0.0.1:1".to_owned()] {
        let error = describe_error(&host).await;
        assert_eq!(error.kind, EngineErrorKind::Unreachable, "{error}");
        assert!(error.hint.unwrap().contains("start Docker"), "{}", error.detail);
    }
    let error = describe_error("ftp://x").await;
    assert!(error.detail.contains("ftp"), "{error}");
}

/// Its containers would start but could not be reached from here.
#[tokio::test]
async fn a_daemon_on_another_machine_is_refused_before_anything_is_created() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, |_| json("200 OK", VERSION), log.clone()));
        }
    });
    // An address that does not look like loopback, but reaches the listener.
    let error = engine(&format!("tcp://0.0.0.0:{port}")).up(&UpRequest::default(), Arc::new(|_| {})).await.unwrap_err();
    assert!(error.detail.contains("on another machine"), "{error}");
    assert!(error.hint.unwrap().contains("--bind"));
    assert!(asked.lock().unwrap().iter().all(|line| line.starts_with("GET")), "{asked:?}");
    let error = describe_error("ssh://ann@").await;
    assert!(error.detail.contains("host is missing"), "{error}");
    assert!(error.hint.unwrap().contains("ssh://USER@HOST"));
}

#[tokio::test]
async fn a_forbidden_socket_has_a_hint_about_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), |_| json("200 OK", VERSION));
    std::fs::set_permissions(folder.path().join("docker.sock"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let result = engine(&host).describe().await;
    // Root may use any socket.
    if !rustix::process::geteuid().is_root() {
        let error = result.unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Denied);
        assert!(error.hint.unwrap().contains("usermod -aG docker"));
    }
    let error = super::client::refused("/var/run/docker.sock", &io::Error::from(io::ErrorKind::PermissionDenied));
    assert_eq!(error.kind, EngineErrorKind::Denied);
    assert!(error.hint.unwrap().contains("usermod -aG docker"));
}

#[tokio::test]
async fn a_daemon_that_hangs_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), |_| None);
    let start = Instant::now();
    let error = describe_error(&host).await;
    assert_eq!(error.kind, EngineErrorKind::Unreachable, "{error}");
    assert!(error.detail.contains("does not answer"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn another_server_and_an_old_daemon_are_reported() {
    for (answer, expected) in [
        ((|_| Some("SSH-2.0-OpenSSH_9.2\r\n".to_owned())) as Answer, "is not a Docker daemon"),
        (|_| json("200 OK", "<html>"), "is not a Docker daemon"),
        (|_| json("200 OK", r#"{"Version":"19.3","ApiVersion":"1.40"}"#), "older than 1.41"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (host, _) = daemon(folder.path(), answer);
        let error = describe_error(&host).await;
        assert_eq!(error.kind, EngineErrorKind::Unreachable, "{error}");
        assert!(error.detail.contains(expected), "{error}");
    }
}

/// A daemon without the gateway's image, which answers pulls with `pull`.
fn without_image(line: &str, pull: &str) -> Option<String> {
    match line {
        line if line.contains("/version") => json("200 OK", VERSION),
        line if line.contains("/images/nginx") => json("404 Not Found", r#"{"message":"No such image: nginx"}"#),
        line if line.contains("/images/create") => Some(pull.to_owned()),
        line if line.contains("/images/") => json("200 OK", r#"{"Id":"sha256:1","Os":"linux","Architecture":"amd64"}"#),
        line if line.contains("/volumes") => json("200 OK", r#"{"Volumes":[]}"#),
        _ => json("200 OK", "[]"),
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

async fn pull_error(answer: Answer) -> (EngineError, Vec<(u64, u64)>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (host, asked) = daemon(folder.path(), answer);
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let seen = bytes.clone();
    let progress: ProgressFn = Arc::new(move |progress| {
        if progress.service == GATEWAY {
            seen.lock().expect("no test panics with it").extend(progress.bytes);
        }
    });
    let error = engine(&host).up(&UpRequest::default(), progress).await.expect_err("the image is not available");
    let (bytes, asked) = (bytes.lock().unwrap().clone(), asked.lock().unwrap().clone());
    (error, bytes, asked)
}

#[tokio::test]
async fn a_stalled_pull_times_out_after_reporting_its_progress() {
    let answer: Answer = |line| {
        let part = r#"{"status":"Downloading","id":"a1","progressDetail":{"current":300,"total":1000}}"#;
        without_image(line, &format!("{CHUNKED}{:x}\r\n{part}\r\n\r\n", part.len() + 2))
    };
    let (error, bytes, asked) = pull_error(answer).await;
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains("nginx") && error.detail.contains("no progress for 0.2 s"), "{error}");
    assert!(bytes.contains(&(300, 1000)), "{bytes:?}");
    assert!(!asked.iter().any(|line| line.starts_with("POST") && !line.contains("/images/create")), "{asked:?}");
}

#[tokio::test]
async fn a_failed_pull_has_a_reason() {
    let answer: Answer = |line| {
        let part = r#"{"errorDetail":{"message":"toomanyrequests: rate limit"},"error":"toomanyrequests"}"#;
        without_image(line, &format!("{CHUNKED}{:x}\r\n{part}\r\n\r\n0\r\n\r\n", part.len() + 2))
    };
    let (error, ..) = pull_error(answer).await;
    assert_eq!(error.kind, EngineErrorKind::ImageMissing, "{error}");
    assert!(error.detail.contains("toomanyrequests: rate limit") && error.hint.is_some(), "{error}");
    let full: Answer = |line| {
        let part = r#"{"errorDetail":{"message":"write /x: no space left on device"}}"#;
        without_image(line, &format!("{CHUNKED}{:x}\r\n{part}\r\n\r\n0\r\n\r\n", part.len() + 2))
    };
    let (error, ..) = pull_error(full).await;
    assert!(error.detail.contains("disk is full"), "{error}");
}

#[tokio::test]
async fn an_interrupted_pull_ends_with_down() {
    let folder = tempfile::tempdir().unwrap();
    let (host, asked) = daemon(folder.path(), |line| match line {
        line if line.contains("/images/create") => None,
        line => without_image(line, ""),
    });
    let stack = Stack::embedded(&BTreeMap::new()).expect("the embedded stack");
    let options = DockerOptions { host: Some(host), app_image: Some("app:1".to_owned()), ..DockerOptions::default() };
    let engine = Docker::new("fake", stack, options);
    let progress: ProgressFn = Arc::new(|_| {});
    let request = UpRequest::default();
    let up = engine.up(&request, progress);
    assert!(tokio::time::timeout(Duration::from_millis(300), up).await.is_err());
    tokio::time::timeout(Duration::from_secs(10), engine.down()).await.expect("the pull is cancelled").unwrap();
    assert!(asked.lock().unwrap().iter().any(|line| line.contains("/images/create")));
}

/// After a killed `lab up` the daemon is still at work: the container is only listed after the network is removed.
#[tokio::test]
async fn down_removes_what_the_daemon_creates_late() {
    static REMOVED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let folder = tempfile::tempdir().unwrap();
    let (host, asked) = daemon(folder.path(), |line| {
        let mut removed = REMOVED.lock().expect("no test panics with it");
        match line {
            line if line.contains("/version") => json("200 OK", VERSION),
            line if line.starts_with("DELETE") => {
                removed.extend(["late", "net"].iter().filter(|name| line.contains(**name)));
                json("204 No Content", "")
            }
            line if line.contains("/containers/json") && removed.contains("net") && !removed.contains("late") => {
                json("200 OK", r#"[{"Id":"late"}]"#)
            }
            line if line.contains("/networks") && !removed.contains("net") => json("200 OK", r#"[{"Name":"net"}]"#),
            line if line.contains("/volumes") => json("200 OK", r#"{"Volumes":[]}"#),
            _ => json("200 OK", "[]"),
        }
    });
    engine(&host).down().await.unwrap();
    let removals: Vec<String> =
        asked.lock().unwrap().iter().filter(|line| line.starts_with("DELETE")).cloned().collect();
    assert_eq!(removals.len(), 2, "{removals:?}");
    assert!(removals[1].contains("/containers/late"), "{removals:?}");
}

#[tokio::test]
async fn a_full_disk_during_the_image_build_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), |line| match line {
        line if line.contains("/images/create") => {
            json("500 Internal Server Error", r#"{"message":"write /var/lib/docker/x: no space left on device"}"#)
        }
        line if line.contains("/images/lab-app") => json("404 Not Found", r#"{"message":"No such image"}"#),
        line => without_image(line, ""),
    });
    let stack = Stack::embedded(&BTreeMap::new()).expect("the embedded stack");
    let executable = folder.path().join("lab");
    std::fs::write(&executable, b"x").unwrap();
    let options = DockerOptions { host: Some(host), executable: Some(executable), ..DockerOptions::default() };
    let progress: ProgressFn = Arc::new(|_| {});
    let error = Docker::new("fake", stack, options).up(&UpRequest::default(), progress).await.unwrap_err();
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert_eq!(error.service.as_deref(), Some(APP), "{error}");
        assert!(error.detail.contains("disk is full") && error.hint.unwrap().contains("docker system df"));
    }
}
