//! [`StackImage`]: which images the stack is made from, which of them are here, and where they came from.

use futures_util::future::try_join_all;
use serde::Serialize;

use super::client::{Client, FaultKind, Stored};
use super::{Inner, app_image, images};
use lab_core::engine::{EngineError, EngineErrorKind, ProgressFn};
use lab_stack::{APP_IMAGE, Service};

/// An image of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackImage {
    /// The service that is made from it.
    pub service: String,
    /// Its name.
    pub image: String,
    /// What the daemon has; none where it has no such image.
    pub stored: Option<StoredImage>,
    /// Why that is not known.
    pub error: Option<String>,
    /// It is made on this machine when a lab comes up: nobody has to fetch it.
    pub made_here: bool,
    /// Where the lab goes on without the service: what is missing then.
    pub optional: Option<String>,
}

/// An image that the daemon has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredImage {
    /// The daemon's id of it: the digest of its configuration.
    pub id: String,
    /// The digest under which a registry has it; none where it came from none.
    pub digest: Option<String>,
    /// Bytes on the daemon's disk.
    pub size: u64,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A registry: it is what its name says.
    Official,
    /// It was built from packages, in the place of the one whose name it bears (`stack/offline/`).
    StandIn,
    /// It was made or loaded here.
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
    /// It has to be fetched before a lab comes up.
    pub fn is_missing(&self) -> bool {
        self.stored.is_none() && self.error.is_none() && !self.made_here && self.optional.is_none()
    }
}

/// Every image of the stack, in the order of its file. Fetches and makes nothing.
pub(super) async fn look(inner: &Inner, client: &Client) -> Result<Vec<StackImage>, EngineError> {
    let looked = inner.stack.services.iter().map(async |service| {
        let image = name(inner, service);
        let optional = inner.optional(&service.name).map(|optional| optional.gives.clone());
        let made = image == APP_IMAGE;
        let stored = if made { Ok(None) } else { client.stored(&image).await };
        let (stored, error) = match stored {
            Ok(stored) => (stored.map(StoredImage::from), None),
            // A daemon that is gone has none of the others either.
            Err(fault) if matches!(fault.kind, FaultKind::Lost | FaultKind::Timeout) => return Err(fault.into()),
            Err(fault) => (None, Some(EngineError::from(fault).detail)),
        };
        let made_here = made && app_image::is_makeable(inner, &client.platform);
        Ok::<_, EngineError>(StackImage { service: service.name.clone(), image, stored, error, made_here, optional })
    });
    try_join_all(looked).await
}

/// The image of a service: of the app the one that was chosen for it.
fn name(inner: &Inner, service: &Service) -> String {
    let own = Some(&service.name).filter(|name| **name == inner.stack.lab.app.service);
    own.and_then(|_| app_image::named(inner)).unwrap_or_else(|| service.image.clone())
}

/// Fetches the image of a service.
pub(super) async fn fetch(
    inner: &Inner,
    client: &Client,
    image: &StackImage,
    progress: &ProgressFn,
) -> Result<StoredImage, EngineError> {
    images::pull(inner, client, &image.service, &image.image, progress).await?;
    let stored = client.stored(&image.image).await?;
    stored.map(StoredImage::from).ok_or_else(|| {
        let detail = format!("image {} was fetched, and is not there", image.image);
        EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(&image.service)
    })
}
