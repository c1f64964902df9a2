//! [`Registry`]: a registry of images on a free port, that fails and stalls to order: the pull half of the Distribution
//! API (<https://distribution.github.io/distribution/spec/api/>). Docker takes one on 127.0.0.1 without TLS.

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

use crate::support::PATIENCE;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A registry, as long as it is not dropped.
pub(crate) struct Registry {
    shelf: Arc<Shelf>,
    port: u16,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    /// By name or digest.
    manifests: Mutex<BTreeMap<String, (&'static str, Bytes)>>,
    blobs: Mutex<BTreeMap<String, (Manner, Bytes)>>,
    /// Response to a request for an image of this name.
    refusals: Mutex<BTreeMap<String, u16>>,
    /// Of a layer that is sent by halves: the first is sent; the second may be.
    half: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

/// How a layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    AtOnce,
    /// Half of it, and the rest after a call of [`Registry::go_on`].
    ByHalves,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let routes = Router::new()
            .route("/v2/", get(async || "{}"))
            .route("/v2/lab-test/{name}/manifests/{reference}", get(manifest))
            .route("/v2/lab-test/{name}/blobs/{digest}", get(blob))
            .with_state(shelf.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { shelf, port, server }
    }

    /// Full name of one of its images.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/lab-test/{name}:1", self.port)
    }

    /// Has an image of one layer, for Linux on this processor.
    pub(crate) fn offer(&self, name: &str, architecture: &str, layer: Vec<u8>, manner: Manner) {
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
        let mut blobs = lock(&self.shelf.blobs);
        blobs.insert(digest(&config), (Manner::AtOnce, config));
        blobs.insert(digest(&layer), (manner, layer));
        let manifest = Bytes::from(manifest.to_string());
        let mut manifests = lock(&self.shelf.manifests);
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
        let mut manifests = lock(&self.shelf.manifests);
        manifests.insert(digest(&list), (LIST, list.clone()));
        manifests.insert(name.to_owned(), (LIST, list));
    }

    /// Answers so to those who want this image.
    pub(crate) fn refuse(&self, name: &str, status: u16) {
        lock(&self.shelf.refusals).insert(name.to_owned(), status);
    }

    /// Waits until half of a layer is sent.
    pub(crate) async fn half_sent(&self) {
        let mut half = self.shelf.half.subscribe();
        let waited = tokio::time::timeout(PATIENCE, half.wait_for(|sent| *sent)).await;
        assert!(waited.is_ok(), "nobody fetches the layer");
    }

    pub(crate) fn go_on(&self) {
        self.shelf.open.send_replace(true);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A tar of one executable, `/lab`.
pub(crate) fn layer(executable: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(executable, folder.path().join("lab")).expect("it is there");
    let tar = Command::new("tar").args(["--owner=0", "--group=0", "-cC"]).arg(folder.path()).arg("lab").output();
    tar.expect("tar is there").stdout
}

fn digest(bytes: &[u8]) -> String {
    let child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("sha256sum is there");
    child.stdin.take().expect("it is piped").write_all(bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    format!("sha256:{}", String::from_utf8_lossy(&output.stdout[..64]))
}

async fn manifest(State(shelf): State<Arc<Shelf>>, Route((name, reference)): Route<(String, String)>) -> Response {
    if let Some(status) = lock(&shelf.refusals).get(&name) {
        return refusal(*status);
    }
    let key = if reference.starts_with("sha256:") { &reference } else { &name };
    match lock(&shelf.manifests).get(key) {
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

async fn blob(State(shelf): State<Arc<Shelf>>, Route((_, digest)): Route<(String, String)>) -> Response {
    let found = lock(&shelf.blobs).get(&digest).cloned();
    let Some((manner, bytes)) = found else { return refusal(404) };
    let length = [(header::CONTENT_LENGTH, bytes.len())];
    if manner == Manner::AtOnce {
        return (length, bytes).into_response();
    }
    let (first, second) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
    let rest = stream::once(async move {
        shelf.half.send_replace(true);
        let _ = shelf.open.subscribe().wait_for(|open| *open).await;
        Ok::<Bytes, std::io::Error>(second)
    });
    (length, Body::from_stream(stream::iter([Ok(first)]).chain(rest))).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
