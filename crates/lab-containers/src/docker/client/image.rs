//! Images: inspection, pulls, imports and removal.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};

use super::{CALL_TIMEOUT, Client, Fault, FaultKind, Platform, by_label, call};
use lab_system::deadline::timeout;

/// Time that a pull may go without progress.
const PULL_IDLE: Duration = Duration::from_secs(45);

/// An image of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) platform: Platform,
}

/// An image that was built on the daemon's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct BuiltImage {
    pub(in crate::docker) id: String,
    pub(in crate::docker) names: Vec<String>,
    pub(in crate::docker) created: DateTime<Utc>,
}

/// Bytes of a pull across all layers: received, and the total as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct PullProgress {
    pub(in crate::docker) done: u64,
    pub(in crate::docker) total: u64,
}

impl Client {
    /// Inspects an image by its name.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<Image>, Fault> {
        match call(&format!("image {name}"), CALL_TIMEOUT, self.docker.inspect_image(name)).await {
            Ok(found) => {
                let os = found.os.unwrap_or_default();
                let arch = found.architecture.unwrap_or_default();
                Ok(Some(Image { id: found.id.unwrap_or_default(), platform: Platform { os, arch } }))
            }
            Err(fault) if fault.is(FaultKind::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Pulls an image from its registry.
    pub(in crate::docker) async fn pull(
        &self,
        name: &str,
        idle: Option<Duration>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<(), Fault> {
        let options = CreateImageOptionsBuilder::default().from_image(&with_tag(name)).build();
        let stream = self.docker.create_image(Some(options), None, None);
        let subject = format!("image {name}");
        let mut layers: HashMap<String, PullProgress> = HashMap::new();
        let pulled = drain(&subject, idle.unwrap_or(PULL_IDLE), stream, |info: CreateImageInfo| {
            let (Some(layer), Some(detail)) = (info.id, info.progress_detail) else { return };
            // Bytes that are being unpacked were already counted.
            if info.status.as_deref() != Some("Downloading") {
                return;
            }
            let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
            layers.insert(layer, PullProgress { done: bytes(detail.current), total: bytes(detail.total) });
            let sum = layers.values().fold(PullProgress::default(), |sum, layer| PullProgress {
                done: sum.done + layer.done,
                total: sum.total + layer.total,
            });
            progress(sum);
        })
        .await;
        self.confirm(name, pulled).await
    }

    /// Creates an image with one layer from a tar archive. `changes` are lines of a Dockerfile.
    pub(in crate::docker) async fn import(
        &self,
        (repository, tag): (&str, &str),
        changes: &[String],
        tar: Vec<u8>,
    ) -> Result<(), Fault> {
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(changes.to_vec())
            .build();
        let name = format!("{repository}:{tag}");
        let stream = self.docker.create_image(Some(options), Some(bollard::body_full(tar.into())), None);
        let made = drain(&format!("image {name}"), CALL_TIMEOUT, stream, |_| {}).await;
        self.confirm(&name, made).await
    }

    /// Lists the images with a label.
    pub(in crate::docker) async fn images(&self, label: &str) -> Result<Vec<BuiltImage>, Fault> {
        let options = ListImagesOptionsBuilder::default().filters(&by_label(label)).build();
        let found = call("the images", CALL_TIMEOUT, self.docker.list_images(Some(options))).await?;
        let made = |image: bollard::models::ImageSummary| BuiltImage {
            id: image.id,
            names: image.repo_tags,
            created: DateTime::from_timestamp(image.created, 0).unwrap_or_default(),
        };
        Ok(found.into_iter().map(made).collect())
    }

    /// Removes an image unless it is in use.
    pub(in crate::docker) async fn remove_image(&self, name: &str) -> Result<(), Fault> {
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        let removing = self.docker.remove_image(name, Some(options), None);
        call(&format!("image {name}"), CALL_TIMEOUT, removing).await.map(drop)
    }

    /// Ignores an error at the end of a progress stream if the image exists.
    pub(super) async fn confirm(&self, name: &str, result: Result<(), Fault>) -> Result<(), Fault> {
        match result {
            Err(fault) if matches!(fault.kind, FaultKind::Lost | FaultKind::Other) => match self.image(name).await {
                Ok(Some(_)) if fault.detail.contains("bytes remaining on stream") => Ok(()),
                _ => Err(fault),
            },
            other => other,
        }
    }
}

/// Reads a stream to its end, with at most `idle` between two items.
pub(super) async fn drain<T>(
    subject: &str,
    idle: Duration,
    stream: impl Stream<Item = Result<T, Error>>,
    mut on_item: impl FnMut(T),
) -> Result<(), Fault> {
    let mut stream = std::pin::pin!(stream);
    loop {
        match timeout(idle, stream.next()).await {
            Ok(Some(Ok(item))) => on_item(item),
            Ok(Some(Err(error))) => return Err(Fault::from_error(subject, &error)),
            Ok(None) => return Ok(()),
            Err(_) => {
                let detail = format!("no progress for {} s", idle.as_secs_f64());
                return Err(Fault::new(FaultKind::Registry, subject, detail));
            }
        }
    }
}

/// Adds the default tag, because without a tag or a digest every tag would be pulled.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || last.contains('@') { name.to_owned() } else { format!("{name}:latest") }
}

/// Canonical image name, equal for all spellings.
pub(in crate::docker) fn whole_name(name: &str) -> String {
    with_tag(familiar(name))
}

/// Short image name. Podman calls local images `localhost/…` and uses the full names of Docker Hub.
pub(in crate::docker) fn familiar(name: &str) -> &str {
    let hosts = ["localhost/", "docker.io/library/", "docker.io/"];
    hosts.iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{familiar, whole_name, with_tag};

    #[test]
    fn podmans_names_are_shortened() {
        for name in ["localhost/lab-app:01", "docker.io/library/lab-app:01", "lab-app:01"] {
            assert_eq!(familiar(name), "lab-app:01");
        }
        assert_eq!(familiar("docker.io/prom/prometheus:v3.13"), "prom/prometheus:v3.13");
        for other in ["localhost:5000/nginx:1", "registry.example/nginx:1"] {
            assert_eq!(familiar(other), other);
        }
    }

    #[test]
    fn spellings_of_one_image_are_the_same() {
        for name in ["app", "app:latest", "docker.io/library/app", "docker.io/library/app:latest", "localhost/app"] {
            assert_eq!(whole_name(name), "app:latest", "{name}");
        }
        assert_ne!(whole_name("app:1"), whole_name("app:2"));
        assert_ne!(whole_name("registry.example/app"), whole_name("app"));
    }

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        assert_eq!(with_tag("nginx"), "nginx:latest");
        assert_eq!(with_tag("registry:5000/nginx"), "registry:5000/nginx:latest");
        assert_eq!(with_tag("nginx:1.30"), "nginx:1.30");
        assert_eq!(with_tag("nginx@sha256:00"), "nginx@sha256:00");
    }
}
