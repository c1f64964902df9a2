//! [`Images`] of the services: present, pulled, built or, for optional services, missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::client::{Client, Fault, FaultKind, Image, PullProgress};
use super::{Inner, app_image};
use lab_core::engine::{EngineError, EngineErrorKind, Progress, ProgressFn};
use lab_stack::Service;

/// Hint for images that no reachable registry has.
const WITHOUT_REGISTRY: &str =
    "without a registry: lab images load FILE, stand-ins (stack/offline/build.sh), or lab up --engine embedded";

/// Images of a stack's services.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    /// Image name and id per service.
    pub(super) found: BTreeMap<String, (String, String)>,
    /// Reason per optional service that is missing.
    pub(super) missing: BTreeMap<String, String>,
}

/// Finds all images concurrently. Pulls or builds those that the lab requires.
pub(super) async fn prepare(inner: &Inner, client: &Client, progress: &ProgressFn) -> Result<Images, EngineError> {
    let app = &inner.stack.lab.app.service;
    let others =
        inner.stack.services.iter().filter(|service| service.name != *app && !app_image::is_own(inner, service));
    let (own, others) = tokio::join!(
        app_image::find_or_make(inner, client, progress),
        join_all(others.map(|service| find(inner, client, service, progress))),
    );
    let mut images = Images::default();
    let (name, image) = own?;
    check_platform(client, app, &name, &image)?;
    let own = (name, image);
    for service in inner.stack.services.iter().filter(|service| app_image::is_own(inner, service)) {
        let (name, image) = app_image::for_others(inner, client, &own, progress).await?;
        check_platform(client, &service.name, &name, &image)?;
        images.found.insert(service.name.clone(), (name, image.id));
    }
    images.found.insert(app.clone(), (own.0, own.1.id));
    for result in others {
        match result? {
            (service, Availability::Found(name, image)) => {
                check_platform(client, &service, &name, &image)?;
                images.found.insert(service, (name, image.id));
            }
            (service, Availability::Missing { notice }) => {
                images.missing.insert(service, notice);
            }
        }
    }
    Ok(images)
}

/// Image of one service.
enum Availability {
    Found(String, Image),
    /// The service is optional; the lab runs without it. The notice is for the user.
    Missing {
        notice: String,
    },
}

async fn find(
    inner: &Inner,
    client: &Client,
    service: &Service,
    progress: &ProgressFn,
) -> Result<(String, Availability), EngineError> {
    let name = service.name.clone();
    if let Some(image) = client.image(&service.image).await.map_err(|fault| fault.service(&name))? {
        return Ok((name, Availability::Found(service.image.clone(), image)));
    }
    // An optional image is not worth a download, and there may be no registry.
    if let Some(optional) = inner.optional(&name) {
        let gives = if optional.gives.is_empty() { "it" } else { &optional.gives };
        let image = &service.image;
        let notice = format!("{name}: image {image} is not available; continuing without {gives}");
        return Ok((name, Availability::Missing { notice }));
    }
    let (image_name, image) = pull(inner, client, &name, &service.image, progress).await?;
    Ok((name, Availability::Found(image_name, image)))
}

/// Pulls an image and reports the progress.
pub(super) async fn pull(
    inner: &Inner,
    client: &Client,
    service: &str,
    name: &str,
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    if inner.options.offline {
        let detail = format!("image {name} is missing and is not pulled (--images offline or LAB_IMAGES)");
        let error = EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(service);
        return Err(error.hint(no_registry_hint(inner, service, name)));
    }
    let report = {
        let (progress, service) = (Arc::clone(progress), service.to_owned());
        move |bytes: PullProgress| progress(Progress::pulling(&service, bytes.done, bytes.total))
    };
    report(PullProgress::default());
    client
        .pull(name, inner.options.pull_idle, &report)
        .await
        .map_err(|fault| pull_error(inner, fault, service, name))?;
    match client.image(name).await? {
        Some(image) => {
            progress(Progress::stage(service, "pulled"));
            Ok((name.to_owned(), image))
        }
        None => {
            Err(EngineError::new(EngineErrorKind::ImageMissing, format!("image {name} was pulled but does not exist"))
                .for_service(service))
        }
    }
}

/// Hint for an image that no reachable registry has.
fn no_registry_hint(inner: &Inner, service: &str, name: &str) -> String {
    let is_built = |service: &&Service| service.image == name && service.build.is_some();
    match inner.service(service).filter(is_built) {
        Some(_) => {
            format!(
                "lab only builds the image of its own app; run docker compose build {service} in the stack's folder"
            )
        }
        None => WITHOUT_REGISTRY.to_owned(),
    }
}

fn pull_error(inner: &Inner, fault: Fault, service: &str, name: &str) -> EngineError {
    let full = fault.is(FaultKind::DiskFull);
    let detail = fault.detail.clone();
    let error = fault.service(service);
    if full || error.kind == EngineErrorKind::Unreachable {
        return error;
    }
    let error = EngineError::new(EngineErrorKind::ImageMissing, format!("image {name} cannot be pulled: {detail}"));
    error.for_service(service).hint(no_registry_hint(inner, service, name))
}

/// Checks the platform: an image for another one would fail with "exec format error".
fn check_platform(client: &Client, service: &str, name: &str, image: &Image) -> Result<(), EngineError> {
    let (actual, expected) = (&image.platform, &client.platform);
    if actual.os.is_empty() || actual.arch.is_empty() || actual == expected {
        return Ok(());
    }
    let detail =
        format!("image {name} is for {}/{}, the daemon runs {}/{}", actual.os, actual.arch, expected.os, expected.arch);
    let error = EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(service);
    Err(error.hint(format!("docker pull --platform {}/{} {name}", expected.os, expected.arch)))
}

/// Availability of a stack's images, for choosing an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageReport {
    /// The daemon is on another machine whose ports cannot be reached.
    pub is_remote: bool,
    /// Required images that would have to be pulled.
    pub missing: Vec<String>,
}

/// Reports without pulling or building anything.
pub(super) async fn report(inner: &Inner, client: &Client) -> Result<ImageReport, EngineError> {
    let app = &inner.stack.lab.app.service;
    let mut report = ImageReport { is_remote: client.reach.check_reachable().is_err(), ..ImageReport::default() };
    let app_image = app_image::named(inner);
    let wanted = inner.stack.services.iter().filter_map(|service| match &app_image {
        Some(image) if service.name == *app => Some((service, image.clone())),
        None if service.name == *app => None,
        // The app's image, or one that is built.
        _ if app_image::is_own(inner, service) => None,
        _ => Some((service, service.image.clone())),
    });
    let looked = try_join_all(
        wanted.map(async |(service, image)| Ok::<_, Fault>((service, client.image(&image).await?, image))),
    );
    for (service, found, image) in looked.await? {
        if found.is_none() && inner.optional(&service.name).is_none() {
            report.missing.push(image);
        }
    }
    let is_needed = app_image.is_none() || app_image::has_custom_app_beside_own(inner);
    if is_needed && !app_image::is_makeable(inner, &client.platform) {
        report.missing.push(format!("an image for {app} (--app-image)"));
    }
    Ok(report)
}
