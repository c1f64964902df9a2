//! Images: the inventory, and archives for other machines.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lab_containers::docker::{ArchiveError, DockerOptions, Origin, StackImage};
use lab_core::engine::{APP, DB, Engine, EngineErrorKind, GATEWAY, ProgressFn};
use libtest_mimic::Trial;
use tokio_util::sync::CancellationToken;

use crate::conformance_suite::{no_progress, request};
use crate::support::{TestLab, docker, options, service, stack, whole_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_inventory_lists_images_and_their_origins,
        images_are_saved_to_and_loaded_from_a_file,
        a_damaged_or_foreign_archive_is_refused,
        an_interrupted_save_keeps_the_previous_file,
        offline_pulls_nothing_and_gives_a_hint,
        stand_ins_are_reported_unless_they_were_requested,
    ]
}

/// Two images of a few bytes with unique names. Removed when dropped.
struct TinyImages(Vec<String>);

impl TinyImages {
    fn new(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = |service: &str| format!("lab-test-{test}-{service}-{}:1", std::process::id());
        let names: Vec<String> = ["one", "two"].map(name).to_vec();
        for name in &names {
            std::fs::write(folder.path().join("file"), name).unwrap();
            let archive = folder.path().join("image.tar");
            let tar = ["cf", &archive.display().to_string(), "-C", &folder.path().display().to_string(), "file"];
            assert!(std::process::Command::new("tar").args(tar).status().unwrap().success());
            docker(&["import", &archive.display().to_string(), name]);
        }
        Self(names)
    }

    /// A lab whose gateway, database and app use these images.
    fn lab(&self, test: &str) -> TestLab {
        let mut stack = stack();
        service(&mut stack, GATEWAY).image.clone_from(&self.0[0]);
        service(&mut stack, DB).image.clone_from(&self.0[1]);
        TestLab::with(test, stack, DockerOptions { app_image: Some(self.0[0].clone()), ..options() })
    }

    fn ids(&self) -> Vec<String> {
        self.0.iter().map(|name| docker(&["inspect", "-f", "{{.Id}}", name]).trim().to_owned()).collect()
    }

    fn remove(&self) {
        for name in &self.0 {
            docker(&["rmi", name]);
        }
    }
}

impl Drop for TinyImages {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = std::process::Command::new("docker").args(["rmi", name]).output();
        }
    }
}

fn image_of<'i>(images: &'i [StackImage], service: &str) -> &'i StackImage {
    images.iter().find(|image| image.service == service).expect("every service has one")
}

async fn the_inventory_lists_images_and_their_origins() {
    let tiny = TinyImages::new("inventory");
    let mut stack = whole_stack();
    service(&mut stack, GATEWAY).image.clone_from(&tiny.0[0]);
    "lab-test-nowhere/grafana:1".clone_into(&mut service(&mut stack, "grafana").image);
    let lab = TestLab::with("inventory", stack, options());
    let images = lab.engine.inventory().await.unwrap();
    let gateway = image_of(&images, GATEWAY).stored.as_ref().unwrap();
    assert_eq!((&gateway.id, gateway.origin), (&tiny.ids()[0], Origin::Local));
    assert!(gateway.size > 0);
    // The expected image depends on the source of this machine's images, so ask docker.
    let label = docker(&["inspect", "-f", "{{index .Config.Labels \"lab.stand-in\"}}", &image_of(&images, DB).image]);
    let is_stand_in = image_of(&images, DB).stored.as_ref().unwrap().origin == Origin::StandIn;
    assert_eq!(is_stand_in, !label.trim().is_empty(), "{label}");
    assert!(image_of(&images, APP).made_here && !image_of(&images, APP).is_missing());
    let grafana = image_of(&images, "grafana");
    assert_eq!(
        (&grafana.stored, grafana.optional.as_deref(), grafana.is_missing()),
        (&None, Some("Grafana's dashboards"), false)
    );
    lab.finish().await;
}

/// Reported stages with their bytes.
type Reported = Arc<Mutex<Vec<(String, u64)>>>;

/// Records the reported stages and bytes.
fn record_progress() -> (ProgressFn, Reported) {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reported);
    let progress: ProgressFn = Arc::new(move |progress| {
        sink.lock().unwrap().push((progress.stage, progress.bytes.expect("bytes").0));
    });
    (progress, reported)
}

async fn images_are_saved_to_and_loaded_from_a_file() {
    let tiny = TinyImages::new("back");
    let lab = tiny.lab("back");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    let ids = tiny.ids();
    let (progress, reported) = record_progress();
    let images = lab.engine.inventory().await.unwrap();
    let saved = lab.engine.save(&images, &file, &progress, &CancellationToken::new()).await.unwrap();
    assert!(saved.images.iter().all(|image| tiny.0.contains(&image.name)), "{saved:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "other files are left");
    tiny.remove();
    let loaded = lab.engine.load(&file, &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!((&loaded, tiny.ids()), (&saved, ids.clone()));
    let last = |stage: &str| {
        reported.lock().unwrap().iter().filter(|(reported, _)| reported == stage).map(|(_, bytes)| *bytes).max()
    };
    for stage in ["saving", "checking", "loading"] {
        assert_eq!(last(stage), Some(saved.size), "{stage}");
    }
    // `docker load` accepts the archive too.
    tiny.remove();
    docker(&["load", "-i", &file.display().to_string()]);
    assert_eq!(tiny.ids(), ids);
    lab.finish().await;
}

async fn a_damaged_or_foreign_archive_is_refused() {
    let tiny = TinyImages::new("refused");
    let lab = tiny.lab("refused");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    let images = lab.engine.inventory().await.unwrap();
    let saved = lab.engine.save(&images, &file, &no_progress(), &CancellationToken::new()).await.unwrap();
    tiny.remove();
    let good = std::fs::read(&file).unwrap();
    let load = async |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let error = lab.engine.load(&file, &no_progress(), &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");
        error.to_string()
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let export = good.len() - usize::try_from(saved.size).unwrap();
    let other_platform = {
        let text = String::from_utf8_lossy(&good[..export]).replace("linux/amd64", "linux/s390x");
        [text.as_bytes(), &good[export..]].concat()
    };
    for (bytes, message) in [
        (flipped(good.len() - 3000), "is damaged"),
        (flipped(514), "is damaged"),
        (good[..good.len() - 512].to_vec(), "bytes instead of"),
        (good[..1000].to_vec(), "is truncated"),
        (good[export..].to_vec(), "was not written by lab images save"),
        (b"hello".to_vec(), "was not written by lab images save"),
        (Vec::new(), "was not written by lab images save"),
        (other_platform, "linux/s390x"),
        (String::from_utf8_lossy(&good).replacen("\"version\": 1", "\"version\": 9", 1).into_bytes(), "newer version"),
    ] {
        let error = load(&bytes).await;
        assert!(error.contains(message), "{message}: {error}");
    }
    let none = docker(&["images", "-q", &tiny.0[0]]);
    assert_eq!(none, "", "images were loaded");
    let missing = lab.engine.load(Path::new("/nowhere/x.tar"), &no_progress(), &CancellationToken::new()).await;
    assert!(matches!(missing, Err(ArchiveError::File { .. })));
    let stopped = CancellationToken::new();
    stopped.cancel();
    std::fs::write(&file, &good).unwrap();
    let error = lab.engine.load(&file, &no_progress(), &stopped).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Interrupted), "{error}");
    lab.finish().await;
}

async fn an_interrupted_save_keeps_the_previous_file() {
    let lab = TestLab::new("stopped");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    std::fs::write(&file, "before").unwrap();
    let images = lab.engine.inventory().await.unwrap();
    let stop = CancellationToken::new();
    let seen = Arc::new(AtomicU64::new(0));
    let progress: ProgressFn = {
        let (stop, seen) = (stop.clone(), Arc::clone(&seen));
        Arc::new(move |progress| {
            // During the export.
            seen.store(progress.bytes.expect("bytes").0, Ordering::Relaxed);
            stop.cancel();
        })
    };
    let error = lab.engine.save(&images, &file, &progress, &stop).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Interrupted), "{error}");
    assert!(seen.load(Ordering::Relaxed) > 0, "the export had not started");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a partial file is left");
    // If the file cannot be written, the daemon gets no request.
    let nowhere = folder.path().join("no/folder/images.tar");
    let error = lab.engine.save(&images, &nowhere, &no_progress(), &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("no/folder"), "{error}");
    lab.finish().await;
}

async fn offline_pulls_nothing_and_gives_a_hint() {
    let mut stack = stack();
    "127.0.0.1:1/lab-test/nowhere:1".clone_into(&mut service(&mut stack, GATEWAY).image);
    let lab = TestLab::with("offline", stack, DockerOptions { offline: true, ..options() });
    let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains("is not pulled"), "a registry was used: {error}");
    assert!(error.hint.as_ref().unwrap().contains("lab images load"), "{error:?}");
    assert_eq!(lab.leftovers(), "");
    lab.finish().await;
}

async fn stand_ins_are_reported_unless_they_were_requested() {
    let images = TestLab::new("none").engine.inventory().await.unwrap();
    let is_stand_in = |image: &StackImage| image.stored.as_ref().is_some_and(|it| it.origin == Origin::StandIn);
    let any = images.iter().any(is_stand_in);
    for offline in [false, true] {
        let lab = TestLab::with("stand-ins", stack(), DockerOptions { offline, ..options() });
        let up = lab.engine.up(&request(), no_progress()).await.unwrap();
        let reported = up.notices.iter().any(|notice| notice.contains("using stand-ins instead of"));
        assert_eq!(reported, any && !offline, "{up:?}");
        lab.finish().await;
    }
}
