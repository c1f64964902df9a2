//! [`Images`]: the image of each service: there, fetched, made, or, of an optional service, done without.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::client::{Client, Fault, FaultKind, Image, PullProgress};
use super::{Inner, app_image};
use lab_core::engine::{EngineError, EngineErrorKind, Progress, ProgressFn};
use lab_stack::Service;

/// Where images come from that no registry in reach has.
const WITHOUT_REGISTRY: &str =
    "without a registry: lab images load FILE, stand-ins (stack/offline/build.sh), or lab up --engine embedded";

/// What the services are made from.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    /// By service: the image's name, and its id.
    pub(super) found: BTreeMap<String, (String, String)>,
    /// By optional service, why the lab goes on without it.
    pub(super) missing: BTreeMap<String, String>,
}

/// Finds them all at once; fetches or makes those that a lab cannot do without.
pub(super) async fn prepare(inner: &Inner, client: &Client, progress: &ProgressFn) -> Result<Images, EngineError> {
    let app = &inner.stack.lab.app.service;
    let others = inner.stack.services.iter().filter(|service| service.name != *app);
    let (own, others) = tokio::join!(
        app_image::find_or_make(inner, client, progress),
        join_all(others.map(|service| one(inner, client, service, progress))),
    );
    let mut images = Images::default();
    let (name, image) = own?;
    fits(client, app, &name, &image)?;
    images.found.insert(app.clone(), (name, image.id));
    for result in others {
        match result? {
            (service, Ok((name, image))) => {
                fits(client, &service, &name, &image)?;
                images.found.insert(service, (name, image.id));
            }
            (service, Err(why)) => {
                images.missing.insert(service, why);
            }
        }
    }
    Ok(images)
}

type Optionally = (String, Result<(String, Image), String>);

async fn one(
    inner: &Inner,
    client: &Client,
    service: &Service,
    progress: &ProgressFn,
) -> Result<Optionally, EngineError> {
    let name = service.name.clone();
    if let Some(image) = client.image(&service.image).await.map_err(|fault| fault.service(&name))? {
        return Ok((name, Ok((service.image.clone(), image))));
    }
    match inner.optional(&name) {
        // Nobody waits for a download of what is not needed, and where there is no registry there is none.
        Some(optional) => {
            let gives = if optional.gives.is_empty() { String::new() } else { format!(", without {}", optional.gives) };
            let image = &service.image;
            Ok((name.clone(), Err(format!("{name}: its image {image} is not here; the lab goes on without it{gives}"))))
        }
        None => Ok((name.clone(), Ok(pull(inner, client, &name, &service.image, progress).await?))),
    }
}

/// Fetches an image, and says how far that is.
pub(super) async fn pull(
    inner: &Inner,
    client: &Client,
    service: &str,
    name: &str,
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    if inner.options.offline {
        let detail = format!("image {name} is not here, and is not fetched (--images offline, or LAB_IMAGES)");
        let error = EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(service);
        return Err(error.hint(without_registry(inner, service, name)));
    }
    let report = {
        let (progress, service) = (Arc::clone(progress), service.to_owned());
        move |bytes: PullProgress| progress(Progress::pulling(&service, bytes.done, bytes.total))
    };
    report(PullProgress::default());
    client
        .pull(name, inner.options.pull_idle, &report)
        .await
        .map_err(|fault| not_fetched(inner, fault, service, name))?;
    match client.image(name).await? {
        Some(image) => {
            progress(Progress::stage(service, "fetched"));
            Ok((name.to_owned(), image))
        }
        None => {
            Err(EngineError::new(EngineErrorKind::ImageMissing, format!("image {name} was fetched, and is not there"))
                .for_service(service))
        }
    }
}

/// What to do about an image that no registry in reach has.
fn without_registry(inner: &Inner, service: &str, name: &str) -> String {
    let is_built = |service: &&Service| service.image == name && service.build.is_some();
    match inner.service(service).filter(is_built) {
        Some(_) => {
            format!("lab builds no image but its own app's: docker compose build {service}, in the stack's folder")
        }
        None => WITHOUT_REGISTRY.to_owned(),
    }
}

fn not_fetched(inner: &Inner, fault: Fault, service: &str, name: &str) -> EngineError {
    let full = fault.is(FaultKind::DiskFull);
    let detail = fault.detail.clone();
    let error = fault.service(service);
    if full || error.kind == EngineErrorKind::Unreachable {
        return error;
    }
    let error = EngineError::new(EngineErrorKind::ImageMissing, format!("image {name} cannot be fetched: {detail}"));
    error.for_service(service).hint(without_registry(inner, service, name))
}

/// An image for another platform would start, and end at once with "exec format error".
fn fits(client: &Client, service: &str, name: &str, image: &Image) -> Result<(), EngineError> {
    let (is, wanted) = (&image.platform, &client.platform);
    if is.os.is_empty() || is.arch.is_empty() || is == wanted {
        return Ok(());
    }
    let detail = format!("image {name} is for {}/{}, the daemon runs {}/{}", is.os, is.arch, wanted.os, wanted.arch);
    let error = EngineError::new(EngineErrorKind::ImageMissing, detail).for_service(service);
    Err(error.hint(format!("docker pull --platform {}/{} {name}", wanted.os, wanted.arch)))
}

/// What of the stack's images is there, for those who choose an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageReport {
    /// The daemon is on another machine, where the lab's ports could not be reached.
    pub elsewhere: bool,
    /// Images that a lab needs and that would have to be fetched.
    pub missing: Vec<String>,
}

/// Looks without fetching or making anything.
pub(super) async fn report(inner: &Inner, client: &Client) -> Result<ImageReport, EngineError> {
    let app = &inner.stack.lab.app.service;
    let mut report = ImageReport { elsewhere: client.reach.must_be_possible().is_err(), ..ImageReport::default() };
    let app_image = app_image::named(inner);
    let wanted = inner.stack.services.iter().filter_map(|service| match &app_image {
        Some(image) if service.name == *app => Some((service, image.clone())),
        None if service.name == *app => None,
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
    if app_image.is_none() && !app_image::is_makeable(inner, &client.platform) {
        report.missing.push(format!("one of the {app} (--app-image)"));
    }
    Ok(report)
}
