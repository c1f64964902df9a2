//! [`StackImage`]s: the images of a stack, whether they are available, and their origin.

use futures_util::future::try_join_all;
use serde::Serialize;

use super::client::{Client, FaultKind, Stored};
use super::{Inner, app_image, images};
use lab_core::engine::{EngineError, EngineErrorKind, ProgressFn};
use lab_stack::{APP_IMAGE, Service};

/// Image of one service of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackImage {
    /// Service that uses the image.
    pub service: String,
    /// Image name.
    pub image: String,
    /// The daemon's image, if it has one.
    pub stored: Option<StoredImage>,
    /// Error of the lookup.
    pub error: Option<String>,
    /// It is built on this machine by `up`, so that it does not have to be pulled.
    pub made_here: bool,
    /// For an optional service, the feature that is missing without it.
    pub optional: Option<String>,
}

/// Image of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredImage {
    /// The daemon's id, which is the digest of its configuration.
    pub id: String,
    /// Digest in the registry, if it came from one.
    pub digest: Option<String>,
    /// Size on the daemon's disk in bytes.
    pub size: u64,
    /// Origin of the image.
    pub origin: Origin,
}

/// Origin of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From a registry.
    Official,
    /// Built from packages as a stand-in for the image of that name (`stack/offline/`).
    StandIn,
    /// Built or loaded on this machine.
    Local,
}

impl From<Stored> for StoredImage {
    fn from(stored: Stored) -> Self {
        let origin = match &stored.digest {
            _ if stored.stand_in => Origin::StandIn,
            Some(_) => Origin::Official,
            None => Origin::Local,
        };
        Self { id: stored.id, digest: stored.digest, size: stored.size, origin }
    }
}

impl StackImage {
    /// Returns true if it has to be pulled before a lab can start.
    pub fn is_missing(&self) -> bool {
        self.stored.is_none() && self.error.is_none() && !self.made_here && self.optional.is_none()
    }
}

/// Lists the images of the stack in the order of its file. Pulls and builds nothing.
pub(super) async fn list(inner: &Inner, client: &Client) -> Result<Vec<StackImage>, EngineError> {
    let looked = inner.stack.services.iter().map(async |service| {
        let image = name(inner, service);
        let optional = inner.optional(&service.name).map(|optional| optional.gives.clone());
        let made = image == APP_IMAGE;
        let stored = if made { Ok(None) } else { client.stored(&image).await };
        let (stored, error) = match stored {
            Ok(stored) => (stored.map(StoredImage::from), None),
            // If the daemon is gone, the other lookups would fail as well.
            Err(fault) if matches!(fault.kind, FaultKind::Lost | FaultKind::Timeout) => return Err(fault.into()),
            Err(fault) => (None, Some(EngineError::from(fault).detail)),
        };
        let made_here = made && app_image::is_makeable(inner, &client.platform);
        Ok::<_, EngineError>(StackImage { service: service.name.clone(), image, stored, error, made_here, optional })
    });
    try_join_all(looked).await
}

/// Image name of a service, with the one chosen for the app and those that share its image.
fn name(inner: &Inner, service: &Service) -> String {
    let is_app = service.name == inner.stack.lab.app.service;
    let shares = app_image::is_own(inner, service) && !app_image::has_custom_app_beside_own(inner);
    let named = if is_app || shares { app_image::named(inner) } else { None };
    named.unwrap_or_else(|| service.image.clone())
}

/// Pulls the image of a service.
pub(super) async fn pull(
    inner: &Inner,
    client: &Client,
    image: &StackImage,
    progress: &ProgressFn,
) -> Result<StoredImage, EngineError> {
    images::pull(inner, client, &image.service, &image.image, progress).await?;
    let stored = client.stored(&image.image).await?;
    stored.map(StoredImage::from).ok_or_else(|| {
        let detail = format!("image {} was pulled but does not exist", image.image);
        EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(&image.service)
    })
}
