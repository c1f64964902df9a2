//! Stored images, their export and import, and the daemon's resources.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;

use super::{CALL_TIMEOUT, Client, Fault, FaultKind, call, with_idle_timeout};
use lab_system::deadline::timeout;

/// Time that an export or an import may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// Time that a daemon may spend on unpacking before its first answer.
const UNPACK_TIMEOUT: Duration = Duration::from_hours(1);
/// Timeout of a query to a registry.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// An image as stored by the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Stored {
    pub(in crate::docker) id: String,
    /// Bytes on the daemon's disk.
    pub(in crate::docker) size: u64,
    /// Digest in the registry, if it came from one.
    pub(in crate::docker) digest: Option<String>,
    /// It was built from packages as a stand-in for an official image.
    pub(in crate::docker) stand_in: bool,
}

/// Resources of the daemon's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct Resources {
    /// In bytes.
    pub(in crate::docker) memory: u64,
    pub(in crate::docker) processors: u64,
    /// Data folder, as the daemon sees it.
    pub(in crate::docker) folder: String,
    /// Number of nodes, if the daemon manages a Swarm.
    pub(in crate::docker) swarm_nodes: Option<u64>,
}

impl Client {
    /// Inspects an image by its name, including its origin.
    pub(in crate::docker) async fn stored(&self, name: &str) -> Result<Option<Stored>, Fault> {
        match call(&format!("image {name}"), CALL_TIMEOUT, self.docker.inspect_image(name)).await {
            Ok(found) => {
                let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                let digests = found.repo_digests.unwrap_or_default();
                Ok(Some(Stored {
                    id: found.id.unwrap_or_default(),
                    size: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                    digest: digests.iter().find_map(|digest| Some(digest.split_once('@')?.1.to_owned())),
                    stand_in: labels.contains_key(crate::docker::names::STAND_IN_LABEL),
                }))
            }
            Err(fault) if fault.is(FaultKind::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Checks that a registry has an image, without pulling it.
    pub(in crate::docker) async fn in_registry(&self, name: &str) -> Result<(), Fault> {
        call(&format!("image {name}"), REGISTRY_TIMEOUT, self.docker.inspect_registry_image(name, None)).await.map(drop)
    }

    /// Exports the images as one tar archive, as `docker save` does.
    pub(in crate::docker) fn export(&self, names: &[String]) -> BoxStream<'static, Result<Bytes, Fault>> {
        let docker = self.docker.clone().with_timeout(UNPACK_TIMEOUT);
        let names = names.to_vec();
        let subject = "the export of the images";
        let pieces = async move {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            docker
                .export_images(&names)
                .map(move |piece| piece.map_err(|error| Fault::from_error(subject, &error)))
                .boxed()
        };
        with_idle_timeout(IDLE_TIMEOUT, subject, futures_util::stream::once(pieces).flatten().boxed())
    }

    /// Imports images from a tar archive, as `docker load` does.
    pub(crate) async fn import_archive(
        &self,
        pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Fault> {
        let subject = "the import of the images";
        let sent = Arc::new(AtomicU64::new(0));
        let counted = {
            let sent = Arc::clone(&sent);
            pieces.inspect(move |piece| {
                let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
                sent.fetch_add(length, Ordering::Relaxed);
            })
        };
        let docker = self.docker.clone().with_timeout(UNPACK_TIMEOUT);
        let options = ImportImageOptionsBuilder::default().build();
        let mut answers = std::pin::pin!(docker.import_image_stream(options, counted, None));
        let mut before = 0;
        loop {
            match timeout(IDLE_TIMEOUT, answers.next()).await {
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => {
                    let fault = Fault::from_error(subject, &error);
                    // The progress stream may end with a spurious error; callers check the images afterwards.
                    return if fault.detail.contains("bytes remaining on stream") { Ok(()) } else { Err(fault) };
                }
                Ok(None) => return Ok(()),
                // The daemon reports nothing while it receives the archive.
                Err(_) if sent.load(Ordering::Relaxed) > before => before = sent.load(Ordering::Relaxed),
                Err(_) => return Err(Fault::timeout(subject)),
            }
        }
    }

    /// Queries the daemon's resources.
    pub(in crate::docker) async fn resources(&self) -> Result<Resources, Fault> {
        let info = call("the daemon", CALL_TIMEOUT, self.docker.info()).await?;
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        let managed = info.swarm.filter(|swarm| swarm.control_available == Some(true));
        Ok(Resources {
            swarm_nodes: managed.map(|swarm| number(swarm.nodes)),
            memory: number(info.mem_total),
            processors: number(info.ncpu),
            folder: info.docker_root_dir.unwrap_or_default(),
        })
    }
}
