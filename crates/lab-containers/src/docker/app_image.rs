//! The app's image: the one that was named; or an empty image with lab's own static executable; or a build from the sources.
//! An image that was built before is found again by the hash of its input.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::Inner;
use super::client::{BuiltImage, Client, Image, Platform};
use super::hash::hash;
use super::names::EXECUTABLE_LABEL;
use super::tar::{Tar, TarError};
use crate::own_image;
use lab_core::engine::{EngineError, EngineErrorKind, Progress, ProgressFn};
use lab_stack::{APP_IMAGE, Service};

/// Repository of the images that are built here.
const REPOSITORY: &str = "lab-app";
/// Minimum age of an unused image before it is removed.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// Reason why the sources cannot be packed.
#[derive(Debug, thiserror::Error)]
enum ContextError {
    #[error("{}: {error}", .path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Member(#[from] TarError),
}

/// Finds or builds the image. `progress` reports a build from the sources, which takes minutes.
pub(super) async fn find_or_make(
    inner: &Inner,
    client: &Client,
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    let app = &inner.stack.lab.app.service;
    if let Some(name) = named(inner) {
        return match client.image(&name).await? {
            Some(image) => Ok((name, image)),
            None => super::images::pull(inner, client, app, &name, progress).await,
        };
    }
    make(inner, client, progress).await
}

/// Finds or builds lab's own image, for the app or for another service that uses it.
async fn make(inner: &Inner, client: &Client, progress: &ProgressFn) -> Result<(String, Image), EngineError> {
    if let Some(folder) = &inner.options.sources {
        return from_source(inner, client, folder, progress).await;
    }
    let own = own_executable(inner).filter(|_| own_image::platform() == client.platform);
    if let Some(path) = own {
        return from_executable(inner, client, &path, progress).await;
    }
    match source_checkout() {
        Some(folder) => from_source(inner, client, &folder, progress).await,
        None => Err(no_image(inner, client)),
    }
}

/// Finds or builds the image of the services other than the app whose image is [`APP_IMAGE`]. `app` is the image of the app.
pub(super) async fn for_others(
    inner: &Inner,
    client: &Client,
    app: &(String, Image),
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    if has_custom_app_beside_own(inner) { make(inner, client, progress).await } else { Ok(app.clone()) }
}

/// Returns true if services use lab's own image, but the app of the stack is another one.
pub(super) fn has_custom_app_beside_own(inner: &Inner) -> bool {
    let is_custom = inner.service(&inner.stack.lab.app.service).is_some_and(|service| service.image != APP_IMAGE);
    is_custom && inner.stack.services.iter().any(|service| is_own(inner, service))
}

/// Returns true if a service other than the app uses lab's own image.
pub(super) fn is_own(inner: &Inner, service: &Service) -> bool {
    service.image == APP_IMAGE && service.name != inner.stack.lab.app.service
}

/// Image that is not built here: the one that was chosen, or that of a custom app.
pub(super) fn named(inner: &Inner) -> Option<String> {
    let app = inner.service(&inner.stack.lab.app.service).map(|service| &service.image);
    inner.options.app_image.clone().or_else(|| app.filter(|image| *image != APP_IMAGE).cloned())
}

/// Returns true if the image can be built on this machine.
pub(super) fn is_makeable(inner: &Inner, platform: &Platform) -> bool {
    (own_executable(inner).is_some() && own_image::platform() == *platform) || source_checkout().is_some()
}

fn no_image(inner: &Inner, client: &Client) -> EngineError {
    let Platform { os, arch } = &client.platform;
    let detail =
        format!("no image is available: this lab is not a static executable for the daemon's platform, {os}/{arch}");
    EngineError::new(EngineErrorKind::ImageMissing, detail)
        .for_service(&inner.stack.lab.app.service)
        .hint("choose one with --app-image IMAGE, or run lab in a checkout of its sources")
}

/// lab's own executable, if it can run in an empty image.
fn own_executable(inner: &Inner) -> Option<PathBuf> {
    own_image::executable(inner.options.executable.as_deref())
}

async fn from_executable(
    inner: &Inner,
    client: &Client,
    path: &Path,
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    let app = &inner.stack.lab.app.service;
    let system = |detail: String| EngineError::new(EngineErrorKind::System, detail).for_service(app);
    let bytes = tokio::fs::read(path).await.map_err(|error| system(format!("{}: {error}", path.display())))?;
    let hash = hash(&bytes);
    let name = format!("{REPOSITORY}:{hash}");
    if let Some(image) = client.image(&name).await? {
        return Ok((name, image));
    }
    progress(Progress::stage(app, "building its image"));
    let mut tar = Tar::default();
    tar.file(Path::new("lab"), 0o755, &bytes).map_err(|error| system(error.to_string()))?;
    drop(bytes);
    let changes = [
        format!("USER {}", own_image::USER),
        r#"ENTRYPOINT ["/lab"]"#.to_owned(),
        r#"CMD ["app"]"#.to_owned(),
        r#"HEALTHCHECK --interval=5s --timeout=2s CMD ["/lab", "app", "--health"]"#.to_owned(),
        format!("LABEL {EXECUTABLE_LABEL}={hash}"),
    ];
    let made = if client.podman {
        // Podman's import drops the name and most of the changes.
        let dockerfile = format!("FROM scratch\nCOPY lab /lab\n{}\n", changes.join("\n"));
        tar.file(Path::new("Dockerfile"), 0o644, dockerfile.as_bytes()).map_err(|error| system(error.to_string()))?;
        client.build(&name, &HashMap::new(), tar.finish(), &|_| {}).await
    } else {
        client.import((REPOSITORY, &hash), &changes, tar.finish()).await
    };
    made.map_err(|fault| fault.service(app))?;
    remove_older(client, &name).await;
    found(client, app, name).await
}

/// Identity of an image with this name and id. If two labs build the app's image at once, they create two images with the same
/// content, so it is identified by its name, which contains the executable's hash.
pub(super) fn identity((name, id): &(String, String)) -> &str {
    let tag = name.strip_prefix(REPOSITORY).and_then(|rest| rest.strip_prefix(':'));
    let is_hash = tag.is_some_and(|tag| tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_hash { name } else { id }
}

/// Removes images of former executables. Images that a container uses remain.
async fn remove_older(client: &Client, current: &str) {
    let now = Utc::now();
    for image in client.images(EXECUTABLE_LABEL).await.unwrap_or_default() {
        if is_old(&image, current, now) {
            let name = image.names.first().filter(|name| name.starts_with(REPOSITORY));
            let _ = client.remove_image(name.unwrap_or(&image.id)).await;
        }
    }
}

/// Returns true if an image was built here and is not needed any more. Recent images are kept, because another lab that is
/// starting with another executable may not have created its container yet.
fn is_old(image: &BuiltImage, current: &str, now: DateTime<Utc>) -> bool {
    let ours = |name: &String| name.starts_with(REPOSITORY) && name != current || name.starts_with("<none>");
    image.names.iter().all(ours) && now - image.created > KEPT
}

async fn found(client: &Client, app: &str, name: String) -> Result<(String, Image), EngineError> {
    if let Some(image) = client.image(&name).await? {
        return Ok((name, image));
    }
    let detail = format!("the daemon built image {name} but does not have it");
    Err(EngineError::new(EngineErrorKind::System, detail).for_service(app))
}

/// A checkout of lab's sources above the current folder or the executable.
fn source_checkout() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let exe = std::env::current_exe().ok();
    let folders = here.iter().flat_map(|path| path.ancestors()).chain(exe.iter().flat_map(|path| path.ancestors()));
    let is_checkout = |folder: &&Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.contains("name = \"lab\"") && folder.join("Dockerfile").is_file()
    };
    folders.into_iter().find(is_checkout).map(Path::to_owned)
}

async fn from_source(
    inner: &Inner,
    client: &Client,
    folder: &Path,
    progress: &ProgressFn,
) -> Result<(String, Image), EngineError> {
    let app = &inner.stack.lab.app.service;
    let system = |detail: String| EngineError::new(EngineErrorKind::System, detail).for_service(app);
    let folder = folder.to_owned();
    let packed = tokio::task::spawn_blocking(move || context(&folder)).await;
    let tar = packed.map_err(|error| system(error.to_string()))?.map_err(|error| system(error.to_string()))?;
    let name = format!("{REPOSITORY}:source-{}", hash(&tar));
    if let Some(image) = client.image(&name).await? {
        return Ok((name, image));
    }
    let line = |text: &str| progress(Progress::stage(app, &format!("building its image: {}", text.trim())));
    let labels = HashMap::from([(EXECUTABLE_LABEL.to_owned(), "source".to_owned())]);
    client.build(&name, &labels, tar, &line).await.map_err(|fault| fault.service(app))?;
    found(client, app, name).await
}

/// Build context: everything except build results and git's data.
fn context(folder: &Path) -> Result<Vec<u8>, ContextError> {
    let mut tar = Tar::default();
    pack(&mut tar, folder, Path::new(""))?;
    Ok(tar.finish())
}

fn pack(tar: &mut Tar, root: &Path, under: &Path) -> Result<(), ContextError> {
    let folder = root.join(under);
    let failed = |error| ContextError::Unreadable { path: folder.clone(), error };
    let mut entries = std::fs::read_dir(&folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    // Sorted, so that the same sources produce the same archive.
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = under.join(entry.file_name());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && path != Path::new("target") && path != Path::new(".git") {
            pack(tar, root, &path)?;
        } else if kind.is_file() {
            let failed = |error| ContextError::Unreadable { path: root.join(&path), error };
            let bytes = std::fs::read(root.join(&path)).map_err(failed)?;
            let mode = entry.metadata().map_err(failed)?.permissions().mode();
            tar.file(&path, if mode & 0o111 == 0 { 0o644 } else { 0o755 }, &bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_built_here_is_identified_by_its_hash() {
        let identity = |name: &str| identity(&(name.to_owned(), "sha256:1".to_owned())).to_owned();
        assert_eq!(identity("lab-app:0123456789abcdef"), "lab-app:0123456789abcdef");
        for other in ["lab-app:local", "nginx:0123456789abcdef", "registry.example/lab-app:0123456789abcdef"] {
            assert_eq!(identity(other), "sha256:1");
        }
    }

    #[test]
    fn recent_and_named_images_are_kept() {
        let made = |name: &str, minutes: i64| {
            let created = Utc::now() - TimeDelta::minutes(minutes);
            BuiltImage { id: "sha256:1".to_owned(), names: vec![name.to_owned()], created }
        };
        let is_old = |image: &BuiltImage| is_old(image, "lab-app:b", Utc::now());
        assert!(is_old(&made("lab-app:a", 61)) && is_old(&made("<none>:<none>", 61)));
        assert!(!is_old(&made("lab-app:a", 59)), "its lab may be starting");
        assert!(!is_old(&made("lab-app:b", 61)), "it is the current one");
        assert!(!is_old(&made("mine:1", 61)), "it has a name");
    }
}
