//! [`Registry`]: an image registry on a free port with scripted failures and stalls. It implements pulls of the Distribution API
//! (<https://distribution.github.io/distribution/spec/api/>). Docker accepts registries on 127.0.0.1 without TLS.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Route, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;

use crate::support::TIMEOUT;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A registry. Stops when it is dropped.
pub(crate) struct Registry {
    content: Arc<Content>,
    port: u16,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Content {
    /// Manifests by name or digest.
    manifests: Mutex<BTreeMap<String, (&'static str, Bytes)>>,
    blobs: Mutex<BTreeMap<String, (Transfer, Bytes)>>,
    /// Status of the response to requests for an image of this name.
    refusals: Mutex<BTreeMap<String, u16>>,
    /// For layers that are sent in halves: the first half is sent.
    half: watch::Sender<bool>,
    /// The second half may be sent.
    rest: watch::Sender<bool>,
}

/// Transfer of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    AtOnce,
    /// First half, and the second after a call of [`Registry::send_rest`].
    InHalves,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let content = Arc::new(Content::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a listener").port();
        let routes = Router::new()
            .route("/v2/", get(async || "{}"))
            .route("/v2/lab-test/{name}/manifests/{reference}", get(manifest))
            .route("/v2/lab-test/{name}/blobs/{digest}", get(blob))
            .with_state(content.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { content, port, server }
    }

    /// Full name of an image of the registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/lab-test/{name}:1", self.port)
    }

    /// Adds an image with one layer, for Linux on an architecture.
    pub(crate) fn offer(&self, name: &str, architecture: &str, layer: Vec<u8>, transfer: Transfer) {
        let layer = Bytes::from(layer);
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": { "Entrypoint": ["/lab"], "Cmd": ["app"], "User": "65532:65532" },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest(&config) },
            "layers": [{ "mediaType": LAYER, "size": layer.len(), "digest": digest(&layer) }],
        });
        let mut blobs = lock(&self.content.blobs);
        blobs.insert(digest(&config), (Transfer::AtOnce, config));
        blobs.insert(digest(&layer), (transfer, layer));
        let manifest = Bytes::from(manifest.to_string());
        let mut manifests = lock(&self.content.manifests);
        manifests.insert(digest(&manifest), (MANIFEST, manifest.clone()));
        manifests.insert(name.to_owned(), (MANIFEST, manifest));
    }

    /// Adds an image for another processor only, and an index with it.
    pub(crate) fn offer_list(&self, name: &str, architecture: &str) {
        let list = json!({
            "schemaVersion": 2, "mediaType": LIST,
            "manifests": [{
                "mediaType": MANIFEST, "size": 2, "digest": digest(b"{}"),
                "platform": { "architecture": architecture, "os": "linux" },
            }],
        });
        let list = Bytes::from(list.to_string());
        let mut manifests = lock(&self.content.manifests);
        manifests.insert(digest(&list), (LIST, list.clone()));
        manifests.insert(name.to_owned(), (LIST, list));
    }

    /// Answers requests for this image with a status.
    pub(crate) fn refuse(&self, name: &str, status: u16) {
        lock(&self.content.refusals).insert(name.to_owned(), status);
    }

    /// Waits until half of a layer is sent.
    pub(crate) async fn half_sent(&self) {
        let mut half = self.content.half.subscribe();
        let waited = tokio::time::timeout(TIMEOUT, half.wait_for(|sent| *sent)).await;
        assert!(waited.is_ok(), "the layer is not requested");
    }

    pub(crate) fn send_rest(&self) {
        self.content.rest.send_replace(true);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A layer with one executable, `/lab`.
pub(crate) fn layer(executable: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(executable, folder.path().join("lab")).expect("it exists");
    let tar = Command::new("tar").args(["--owner=0", "--group=0", "-cC"]).arg(folder.path()).arg("lab").output();
    tar.expect("tar is installed").stdout
}

fn digest(bytes: &[u8]) -> String {
    let child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("sha256sum is installed");
    child.stdin.take().expect("it is piped").write_all(bytes).expect("the peer reads");
    let output = child.wait_with_output().expect("it ends");
    format!("sha256:{}", String::from_utf8_lossy(&output.stdout[..64]))
}

async fn manifest(State(content): State<Arc<Content>>, Route((name, reference)): Route<(String, String)>) -> Response {
    if let Some(status) = lock(&content.refusals).get(&name) {
        return refusal(*status);
    }
    let key = if reference.starts_with("sha256:") { &reference } else { &name };
    match lock(&content.manifests).get(key) {
        Some((kind, bytes)) => {
            let headers = [(header::CONTENT_TYPE, (*kind).to_owned())];
            (headers, [("Docker-Content-Digest", digest(bytes))], bytes.clone()).into_response()
        }
        None => refusal(404),
    }
}

fn refusal(status: u16) -> Response {
    let error = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
    let body = if status == 404 { error.to_string() } else { "out of order".to_owned() };
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).expect("a status"), headers, body).into_response()
}

async fn blob(State(content): State<Arc<Content>>, Route((_, digest)): Route<(String, String)>) -> Response {
    let found = lock(&content.blobs).get(&digest).cloned();
    let Some((transfer, bytes)) = found else { return refusal(404) };
    let length = [(header::CONTENT_LENGTH, bytes.len())];
    if transfer == Transfer::AtOnce {
        return (length, bytes).into_response();
    }
    let (first, second) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
    let rest = stream::once(async move {
        content.half.send_replace(true);
        let _ = content.rest.subscribe().wait_for(|allowed| *allowed).await;
        Ok::<Bytes, std::io::Error>(second)
    });
    (length, Body::from_stream(stream::iter([Ok(first)]).chain(rest))).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
