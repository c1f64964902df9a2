//! Images in one file, for machines without a registry: the daemon's own export, preceded by a member with its list and SHA-256
//! ([`Manifest`]). The whole is a tar archive, which `docker load` accepts as well.
//!
//! The first member has a fixed size, so that it can be written once the rest is known.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Fault, familiar};
use super::export::{Contents, ExportError};
use super::inventory::StackImage;
use super::tar::{Tar, TarError};
use lab_core::engine::{EngineError, Progress, ProgressFn};
use lab_system::files::{self, Output};

/// Name of the first member.
const MEMBER: &str = "lab-images.json";
/// Its size, padded with spaces: enough for several hundred images.
const MEMBER_SIZE: usize = 64 * 1024;
/// Size of a tar header.
const BLOCK: usize = 512;
/// Offset of the daemon's export.
const EXPORT_AT: u64 = (BLOCK + MEMBER_SIZE) as u64;
/// Version of the format.
const VERSION: u32 = 1;
/// Read size.
const PIECE: usize = 256 * 1024;

/// Contents of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// Version of lab that wrote it.
    pub lab: String,
    /// Time at which the archive was written, in UTC.
    pub created: DateTime<Utc>,
    /// Platform of the images, such as `linux/amd64`.
    pub platform: String,
    /// Images in the export.
    pub images: Vec<Archived>,
    /// Size of the daemon's export in bytes.
    pub size: u64,
    /// SHA-256 of the export in hexadecimal.
    pub sha256: String,
}

/// Image in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Name with tag, as the stack names it.
    pub name: String,
    /// The daemon's id of the image.
    pub id: String,
    /// Size on the daemon's disk in bytes.
    pub size: u64,
}

/// Reason why an archive cannot be written or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be accessed, or its contents are invalid.
    #[error("{path}: {detail}")]
    File {
        /// Path of the file, as the user named it.
        path: String,
        /// Explanation.
        detail: String,
        /// Suggested next step.
        hint: Option<&'static str>,
    },
    /// The daemon failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Stopped by a signal.
    #[error("it was interrupted")]
    Interrupted,
}

const COPY_AGAIN: &str = "copy it again from where it was saved";

impl ArchiveError {
    fn hint(self, text: &'static str) -> Self {
        match self {
            Self::File { path, detail, .. } => Self::File { path, detail, hint: Some(text) },
            other => other,
        }
    }
}

impl From<Fault> for ArchiveError {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault.into())
    }
}

fn unusable(path: &Path, detail: &str) -> ArchiveError {
    ArchiveError::File { path: path.display().to_string(), detail: detail.to_owned(), hint: None }
}

fn read_error(path: &Path, error: &io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => unusable(path, "it is truncated").hint(COPY_AGAIN),
        _ => unusable(path, &error.to_string()),
    }
}

fn damaged(path: &Path, detail: &impl std::fmt::Display) -> ArchiveError {
    unusable(path, &format!("it is damaged: {detail}")).hint(COPY_AGAIN)
}

/// Writes images of the daemon to a file. After an error or `stop`, the file's previous content remains.
pub(super) async fn save(
    client: &Client,
    images: &[StackImage],
    path: &Path,
    progress: &ProgressFn,
    stop: &CancellationToken,
) -> Result<Manifest, ArchiveError> {
    let images: Vec<Archived> = images.iter().filter_map(archived).collect();
    // Layers that two images share are counted twice here but written once.
    let about = images.iter().map(|image| image.size).sum();
    let failed = |error: io::Error| unusable(path, &error.to_string());
    // Readable by others, as the images themselves are.
    let mut output = Output::create(path, 0o666).map_err(failed)?;
    let file = output.file();
    file.seek(SeekFrom::Start(EXPORT_AT)).map_err(failed)?;
    let names: Vec<String> = images.iter().map(|image| image.name.clone()).collect();
    let mut pieces = client.export(&names);
    let (mut hash, mut size) = (Sha256::new(), 0);
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = stop.cancelled() => return Err(ArchiveError::Interrupted),
        };
        let Some(piece) = piece.transpose()? else { break };
        hash.update(&piece);
        file.write_all(&piece).map_err(failed)?;
        size += piece.len() as u64;
        progress(Progress { service: "images".to_owned(), stage: "saving".to_owned(), bytes: Some((size, about)) });
    }
    let platform = format!("{}/{}", client.platform.os, client.platform.arch);
    let (lab, created) = (env!("CARGO_PKG_VERSION").to_owned(), Utc::now());
    let sha256 = format!("{:x}", hash.finalize());
    let manifest = Manifest { version: VERSION, lab, created, platform, images, size, sha256 };
    let head = head(&manifest).map_err(|error| unusable(path, &error.to_string()))?;
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&head)).map_err(failed)?;
    output.commit().map_err(failed)?;
    Ok(manifest)
}

fn archived(image: &StackImage) -> Option<Archived> {
    let stored = image.stored.as_ref()?;
    Some(Archived { name: image.image.clone(), id: stored.id.clone(), size: stored.size })
}

/// Reason why a list of images cannot be the first member.
#[derive(Debug, thiserror::Error)]
enum HeadError {
    #[error("too many images for one file")]
    TooMany,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Member(#[from] TarError),
}

/// The first member with its header.
fn head(manifest: &Manifest) -> Result<Vec<u8>, HeadError> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    if text.len() >= MEMBER_SIZE {
        return Err(HeadError::TooMany);
    }
    text.resize(MEMBER_SIZE - 1, b' ');
    text.push(b'\n');
    let mut tar = Tar::default();
    tar.file(Path::new(MEMBER), 0o644, &text)?;
    Ok(tar.into_bytes())
}

/// Loads a file into the daemon, after verifying every byte of it.
pub(super) async fn load(
    client: &Client,
    path: &Path,
    progress: &ProgressFn,
    stop: &CancellationToken,
) -> Result<Manifest, ArchiveError> {
    let mut file = files::open_input(path, u64::MAX).map_err(|error| unusable(path, &error.to_string()))?;
    let manifest = read_head(path, &mut file)?;
    let platform = format!("{}/{}", client.platform.os, client.platform.arch);
    if manifest.platform != platform {
        let detail = format!("it contains images for {}, but the daemon runs {platform}", manifest.platform);
        return Err(unusable(path, &detail).hint("save them on a machine with the same platform"));
    }
    check(path, &mut file, &manifest, progress, stop).await?;
    let contents = contents(path, &file).await?;
    let claimed = manifest.images.iter().map(|image| (image.name.as_str(), image.id.as_str()));
    contents.compare_with(claimed).map_err(|mismatch| {
        unusable(path, &mismatch.to_string())
            .hint("do not use it: it was modified after lab images save; save it again")
    })?;
    let loading = client.import_archive(pieces(file, manifest.size, progress));
    tokio::select! {
        loaded = loading => loaded?,
        () = stop.cancelled() => return Err(ArchiveError::Interrupted),
    }
    for image in &manifest.images {
        let Some(stored) = client.stored(&image.name).await? else {
            return Err(unusable(path, &format!("the daemon loaded it but does not have {}", image.name)));
        };
        // Depending on the daemon, an image's id is the digest of its configuration or of its manifest.
        if !contents.ids.get(familiar(&image.name)).is_some_and(|ids| ids.contains(&stored.id)) {
            let detail = format!("the daemon loaded it but has {} as {}, not as {}", image.name, stored.id, image.id);
            return Err(unusable(path, &detail));
        }
    }
    Ok(manifest)
}

/// Reads the contents of the export in a file.
async fn contents(path: &Path, file: &File) -> Result<Contents, ArchiveError> {
    let failed = |error: io::Error| unusable(path, &error.to_string());
    let mut export = file.try_clone().map_err(failed)?;
    let read = move || {
        export.seek(SeekFrom::Start(EXPORT_AT))?;
        Contents::read(io::BufReader::new(export))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|error: ExportError| damaged(path, &error)),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn read_head(path: &Path, file: &mut File) -> Result<Manifest, ArchiveError> {
    let foreign = || {
        let error = unusable(path, "it was not written by lab images save");
        error.hint("load archives of docker save with docker load")
    };
    let mut head = vec![0; BLOCK + MEMBER_SIZE];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !head.starts_with(MEMBER.as_bytes()) => {
            return Err(foreign());
        }
        read => read.map_err(|error| read_error(path, &error))?,
    }
    if !head.starts_with(format!("{MEMBER}\0").as_bytes()) {
        return Err(foreign());
    }
    let value: serde_json::Value = serde_json::from_slice(&head[BLOCK..]).map_err(|error| damaged(path, &error))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > u64::from(VERSION) => {
            Err(unusable(path, "it was written by a newer version of lab").hint("use that version of lab"))
        }
        _ => serde_json::from_value(value).map_err(|error| damaged(path, &error)),
    }
}

async fn check(
    path: &Path,
    file: &mut File,
    manifest: &Manifest,
    progress: &ProgressFn,
    stop: &CancellationToken,
) -> Result<(), ArchiveError> {
    let length = file.metadata().map_err(|error| unusable(path, &error.to_string()))?.len();
    if length != EXPORT_AT + manifest.size {
        let detail = format!("it has {length} bytes instead of {}", EXPORT_AT + manifest.size);
        return Err(unusable(path, &detail).hint(COPY_AGAIN));
    }
    let (mut hash, mut done, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        if stop.is_cancelled() {
            return Err(ArchiveError::Interrupted);
        }
        let read = file.read(&mut piece).map_err(|error| unusable(path, &error.to_string()))?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        done += read as u64;
        progress(Progress {
            service: "images".to_owned(),
            stage: "checking".to_owned(),
            bytes: Some((done, manifest.size)),
        });
        // Let other tasks run, such as the signal handler.
        tokio::task::yield_now().await;
    }
    let found = format!("{:x}", hash.finalize());
    if found == manifest.sha256 {
        return Ok(());
    }
    Err(damaged(path, &format!("its SHA-256 is {found} instead of {}", manifest.sha256)))
}

/// Streams the daemon's export. If the file is replaced meanwhile, the open one is read to its end.
fn pieces(
    file: File,
    size: u64,
    progress: &ProgressFn,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let progress = Arc::clone(progress);
    let file = tokio::fs::File::from_std(file);
    futures_util::stream::unfold((file, None), move |(mut file, done)| {
        let progress = Arc::clone(&progress);
        async move {
            let read = async {
                if done.is_none() {
                    file.seek(SeekFrom::Start(EXPORT_AT)).await?;
                }
                let mut piece = vec![0; PIECE];
                let read = file.read(&mut piece).await?;
                piece.truncate(read);
                io::Result::Ok(piece)
            };
            let piece = match read.await {
                Ok(piece) if piece.is_empty() => return None,
                Ok(piece) => piece,
                Err(error) => return Some((Err(error), (file, done))),
            };
            let sent = done.unwrap_or(0) + piece.len() as u64;
            progress(Progress { service: "images".to_owned(), stage: "loading".to_owned(), bytes: Some((sent, size)) });
            Some((Ok(Bytes::from(piece)), (file, Some(sent))))
        }
    })
}
