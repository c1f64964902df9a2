//! lab's own image: one file, made from the running executable. Its archive has fixed dates, so that its id is the same on every
//! node that loads it, and is known before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::stream;
use hyper::body::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::docker::client::Client;
use crate::docker::names::EXECUTABLE_LABEL;
use crate::docker::tar::{Tar, TarError};
use crate::own_image;
use lab_core::engine::{EngineError, EngineErrorKind};

/// Repository of the image. Services name it by its id; the name protects it from `docker image prune`.
const REPOSITORY: &str = "lab-swarm";
/// Date of everything in the archive.
const DATE: &str = "1970-01-01T00:00:00Z";
/// Size of the pieces in which the archive is sent.
const PIECE: usize = 1 << 20;

/// Reason why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The executable needs shared libraries or another operating system.
    #[error("this lab is not a static executable for Linux")]
    NotStatic,
    /// The executable cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Path of the executable.
        path: PathBuf,
        /// Error of the operating system.
        error: std::io::Error,
    },
    /// The archive cannot be written.
    #[error("the image cannot be packed: {0}")]
    Pack(String),
}

impl From<TarError> for ImageError {
    fn from(error: TarError) -> Self {
        Self::Pack(error.to_string())
    }
}

impl From<ImageError> for EngineError {
    fn from(error: ImageError) -> Self {
        EngineError::new(EngineErrorKind::ImageMissing, error.to_string())
            .hint("name an image of lab by its digest: --app-image REGISTRY/lab@sha256:...")
    }
}

/// Names of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageNames {
    /// `sha256:…`
    pub(super) id: String,
    /// `lab-swarm:HASH`
    pub(super) tag: String,
}

/// An image as an archive for `docker load`.
pub(super) struct Archive {
    pub(super) names: ImageNames,
    pub(super) bytes: Vec<u8>,
}

impl Archive {
    /// Packs an executable, by default the running one, for this platform.
    pub(super) fn pack(executable: Option<&Path>) -> Result<Self, ImageError> {
        let path = own_image::executable(executable).ok_or(ImageError::NotStatic)?;
        let executable = std::fs::read(&path).map_err(|error| ImageError::Unreadable { path, error })?;
        let mut layer = Tar::default();
        layer.file(Path::new("lab"), 0o755, &executable)?;
        drop(executable);
        let layer = layer.finish();
        let hash = sha256(&layer);
        let platform = own_image::platform();
        let config = json!({
            "architecture": platform.arch,
            "os": platform.os,
            "created": DATE,
            "config": {
                "Entrypoint": ["/lab"],
                "User": own_image::USER,
                "Labels": { EXECUTABLE_LABEL: &hash[..16] },
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{hash}")] },
            "history": [{ "created": DATE, "created_by": "lab" }],
        });
        let config = config.to_string();
        let (id, tag) = (sha256(config.as_bytes()), format!("{REPOSITORY}:{}", &hash[..16]));
        let manifest = json!([{ "Config": format!("{id}.json"), "RepoTags": [tag], "Layers": ["layer.tar"] }]);
        let mut tar = Tar::default();
        tar.file(Path::new(&format!("{id}.json")), 0o644, config.as_bytes())?;
        tar.file(Path::new("layer.tar"), 0o644, &layer)?;
        tar.file(Path::new("manifest.json"), 0o644, manifest.to_string().as_bytes())?;
        Ok(Self { names: ImageNames { id: format!("sha256:{id}"), tag }, bytes: tar.finish() })
    }
}

/// Packs lab's image without blocking the runtime.
pub(super) async fn pack(executable: Option<&Path>) -> Result<Archive, ImageError> {
    let executable = executable.map(Path::to_owned);
    let packing = tokio::task::spawn_blocking(move || Archive::pack(executable.as_deref()));
    packing.await.map_err(|error| ImageError::Pack(error.to_string()))?
}

/// Images of executables that this process has packed. Packing takes a moment, and one process may start many labs.
static KNOWN: Mutex<BTreeMap<Option<PathBuf>, ImageNames>> = Mutex::new(BTreeMap::new());

/// Makes sure that a daemon has lab's image. Returns the id by which it knows the image.
pub(super) async fn ensure(client: &Client, executable: Option<&Path>) -> Result<String, EngineError> {
    let platform = own_image::platform();
    if client.platform != platform {
        let detail = format!(
            "the manager runs {}/{}, but this lab is an executable for {}/{}",
            client.platform.os, client.platform.arch, platform.os, platform.arch
        );
        return Err(EngineError::new(EngineErrorKind::ImageMissing, detail)
            .hint("name an image of lab by its digest: --app-image REGISTRY/lab@sha256:..."));
    }
    let key = executable.map(Path::to_owned);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(names) = known
        && let Some(image) = find(client, &names).await?
    {
        return Ok(image);
    }
    let archive = pack(executable).await?;
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(key, archive.names.clone());
    load(client, archive).await.map(|(id, _)| id)
}

/// Id of an image on a daemon. One with the image store of containerd knows the image by another id than that of the archive.
pub(super) async fn find(client: &Client, names: &ImageNames) -> Result<Option<String>, EngineError> {
    for known in [&names.id, &names.tag] {
        if let Some(image) = client.image(known).await? {
            return Ok(Some(image.id));
        }
    }
    Ok(None)
}

/// Loads the image unless the daemon has it. Returns its id, and true if it was loaded.
pub(super) async fn load(client: &Client, archive: Archive) -> Result<(String, bool), EngineError> {
    let Archive { names, bytes } = archive;
    if let Some(image) = find(client, &names).await? {
        return Ok((image, false));
    }
    let bytes = Bytes::from(bytes);
    let pieces =
        (0..bytes.len()).step_by(PIECE).map(move |start| Ok(bytes.slice(start..bytes.len().min(start + PIECE))));
    client.import_archive(stream::iter(pieces)).await?;
    let loaded = find(client, &names).await?.ok_or_else(|| {
        let detail = format!("the daemon loaded image {} but does not have it", names.tag);
        EngineError::new(EngineErrorKind::System, detail)
    })?;
    Ok((loaded, true))
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_executable_is_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab");
        std::fs::write(&path, b"one").unwrap();
        let (first, second) = (Archive::pack(Some(&path)).unwrap(), Archive::pack(Some(&path)).unwrap());
        assert_eq!((&first.names, &first.bytes), (&second.names, &second.bytes));
        std::fs::write(&path, b"two").unwrap();
        let other = Archive::pack(Some(&path)).unwrap();
        assert_ne!(first.names.id, other.names.id);
        assert_ne!(first.names.tag, other.names.tag);
    }

    #[test]
    fn an_executable_that_cannot_be_read_is_named() {
        let error = EngineError::from(Archive::pack(Some(Path::new("/no/such/lab"))).err().unwrap());
        assert!(error.detail.starts_with("/no/such/lab: "), "{error}");
        assert!(error.hint.unwrap().contains("--app-image"));
    }
}
