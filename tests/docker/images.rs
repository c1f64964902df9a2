//! Images: which are here, and their way to another machine in a file.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lab_containers::docker::{ArchiveError, DockerOptions, Origin, StackImage};
use lab_core::engine::{APP, DB, Engine, EngineErrorKind, GATEWAY, ProgressFn};
use libtest_mimic::Trial;
use tokio_util::sync::CancellationToken;

use crate::shared::{request, silent};
use crate::support::{Bench, docker, options, service, stack, whole_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_inventory_says_what_is_here_and_where_it_came_from", inventory),
        trial("images_survive_the_way_through_a_file", there_and_back),
        trial("a_file_that_is_damaged_or_another_is_refused", refused),
        trial("a_save_that_is_stopped_leaves_what_was_there", stopped),
        trial("offline_fetches_nothing_and_says_what_to_do", offline),
        trial("stand_ins_are_told_unless_they_were_asked_for", stand_ins),
    ]
}

/// Images of a few bytes, under names of this test's own; they go with it.
struct Tiny(Vec<String>);

impl Tiny {
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

    /// A stack of these two, and an app whose image is one of them.
    fn bench(&self, test: &str) -> Bench {
        let mut stack = stack();
        service(&mut stack, GATEWAY).image.clone_from(&self.0[0]);
        service(&mut stack, DB).image.clone_from(&self.0[1]);
        Bench::with(test, stack, DockerOptions { app_image: Some(self.0[0].clone()), ..options() })
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

impl Drop for Tiny {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = std::process::Command::new("docker").args(["rmi", name]).output();
        }
    }
}

fn of<'i>(images: &'i [StackImage], service: &str) -> &'i StackImage {
    images.iter().find(|image| image.service == service).expect("every service has one")
}

async fn inventory() {
    let tiny = Tiny::new("inventory");
    let mut stack = whole_stack();
    service(&mut stack, GATEWAY).image.clone_from(&tiny.0[0]);
    "lab-test-nowhere/grafana:1".clone_into(&mut service(&mut stack, "grafana").image);
    let bench = Bench::with("inventory", stack, options());
    let images = bench.engine.inventory().await.unwrap();
    let gateway = of(&images, GATEWAY).stored.as_ref().unwrap();
    assert_eq!((&gateway.id, gateway.origin), (&tiny.ids()[0], Origin::Local));
    assert!(gateway.size > 0);
    // The expected image depends on the source of this machine's images, so ask docker.
    let label = docker(&["inspect", "-f", "{{index .Config.Labels \"lab.stand-in\"}}", &of(&images, DB).image]);
    let is_stand_in = of(&images, DB).stored.as_ref().unwrap().origin == Origin::StandIn;
    assert_eq!(is_stand_in, !label.trim().is_empty(), "{label}");
    assert!(of(&images, APP).made_here && !of(&images, APP).is_missing());
    let grafana = of(&images, "grafana");
    assert_eq!(
        (&grafana.stored, grafana.optional.as_deref(), grafana.is_missing()),
        (&None, Some("Grafana's dashboards"), false)
    );
    bench.finish().await;
}

/// The reported bytes, each with its stage.
type Told = Arc<Mutex<Vec<(String, u64)>>>;

/// Records the reported bytes by stage.
fn counted() -> (ProgressFn, Told) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let progress: ProgressFn = Arc::new(move |progress| {
        sink.lock().unwrap().push((progress.stage, progress.bytes.expect("bytes").0));
    });
    (progress, told)
}

async fn there_and_back() {
    let tiny = Tiny::new("back");
    let bench = tiny.bench("back");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    let ids = tiny.ids();
    let (progress, told) = counted();
    let images = bench.engine.inventory().await.unwrap();
    let saved = bench.engine.save(&images, &file, &progress, &CancellationToken::new()).await.unwrap();
    assert!(saved.images.iter().all(|image| tiny.0.contains(&image.name)), "{saved:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
    tiny.remove();
    let loaded = bench.engine.load(&file, &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!((&loaded, tiny.ids()), (&saved, ids.clone()));
    let last =
        |stage: &str| told.lock().unwrap().iter().filter(|(told, _)| told == stage).map(|(_, bytes)| *bytes).max();
    for stage in ["saving", "checking", "loading"] {
        assert_eq!(last(stage), Some(saved.size), "{stage}");
    }
    // Without lab it is an archive like others.
    tiny.remove();
    docker(&["load", "-i", &file.display().to_string()]);
    assert_eq!(tiny.ids(), ids);
    bench.finish().await;
}

async fn refused() {
    let tiny = Tiny::new("refused");
    let bench = tiny.bench("refused");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    let images = bench.engine.inventory().await.unwrap();
    let saved = bench.engine.save(&images, &file, &silent(), &CancellationToken::new()).await.unwrap();
    tiny.remove();
    let good = std::fs::read(&file).unwrap();
    let load = async |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let error = bench.engine.load(&file, &silent(), &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");
        error.to_string()
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let export = good.len() - usize::try_from(saved.size).unwrap();
    let elsewhere = {
        let text = String::from_utf8_lossy(&good[..export]).replace("linux/amd64", "linux/s390x");
        [text.as_bytes(), &good[export..]].concat()
    };
    for (bytes, wanted) in [
        (flipped(good.len() - 3000), "is damaged"),
        (flipped(514), "is damaged"),
        (good[..good.len() - 512].to_vec(), "bytes instead of"),
        (good[..1000].to_vec(), "is truncated"),
        (good[export..].to_vec(), "was not written by lab images save"),
        (b"hello".to_vec(), "was not written by lab images save"),
        (Vec::new(), "was not written by lab images save"),
        (elsewhere, "linux/s390x"),
        (String::from_utf8_lossy(&good).replacen("\"version\": 1", "\"version\": 9", 1).into_bytes(), "newer version"),
    ] {
        let error = load(&bytes).await;
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let none = docker(&["images", "-q", &tiny.0[0]]);
    assert_eq!(none, "", "the daemon was given nothing");
    let missing = bench.engine.load(Path::new("/nowhere/x.tar"), &silent(), &CancellationToken::new()).await;
    assert!(matches!(missing, Err(ArchiveError::File { .. })));
    let stopped = CancellationToken::new();
    stopped.cancel();
    std::fs::write(&file, &good).unwrap();
    let error = bench.engine.load(&file, &silent(), &stopped).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Interrupted), "{error}");
    bench.finish().await;
}

async fn stopped() {
    let bench = Bench::new("stopped");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.tar");
    std::fs::write(&file, "before").unwrap();
    let images = bench.engine.inventory().await.unwrap();
    let stop = CancellationToken::new();
    let seen = Arc::new(AtomicU64::new(0));
    let progress: ProgressFn = {
        let (stop, seen) = (stop.clone(), Arc::clone(&seen));
        Arc::new(move |progress| {
            // In the middle of it.
            seen.store(progress.bytes.expect("bytes").0, Ordering::Relaxed);
            stop.cancel();
        })
    };
    let error = bench.engine.save(&images, &file, &progress, &stop).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Interrupted), "{error}");
    assert!(seen.load(Ordering::Relaxed) > 0, "it had begun");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no half of it is left");
    // If the file cannot be written, the daemon gets no request.
    let nowhere = folder.path().join("no/folder/images.tar");
    let error = bench.engine.save(&images, &nowhere, &silent(), &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("no/folder"), "{error}");
    bench.finish().await;
}

async fn offline() {
    let mut stack = stack();
    "127.0.0.1:1/lab-test/nowhere:1".clone_into(&mut service(&mut stack, GATEWAY).image);
    let bench = Bench::with("offline", stack, DockerOptions { offline: true, ..options() });
    let error = bench.engine.up(&request(), silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains("is not pulled"), "no registry was asked: {error}");
    assert!(error.hint.as_ref().unwrap().contains("lab images load"), "{error:?}");
    assert_eq!(bench.leftovers(), "");
    bench.finish().await;
}

async fn stand_ins() {
    let images = Bench::new("none").engine.inventory().await.unwrap();
    let is_stand_in = |image: &StackImage| image.stored.as_ref().is_some_and(|it| it.origin == Origin::StandIn);
    let any = images.iter().any(is_stand_in);
    for offline in [false, true] {
        let bench = Bench::with("stand-ins", stack(), DockerOptions { offline, ..options() });
        let up = bench.engine.up(&request(), silent()).await.unwrap();
        let told = up.notices.iter().any(|notice| notice.contains("using stand-ins instead of"));
        assert_eq!(told, any && !offline, "{up:?}");
        bench.finish().await;
    }
}
