//! Images that are fetched, or cannot be, from a registry of the tests' own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab_containers::docker::DockerOptions;
use lab_core::engine::{Engine, EngineError, EngineErrorKind, GATEWAY, ProgressFn};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::registry::{Manner, Registry, layer};
use crate::shared::{request, silent};
use crate::support::{
    Bench, PATIENCE, docker, executable, options, other_processor, processor, service, stack, status, write_small_stack,
};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_image_is_fetched_and_its_bytes_are_counted", fetched),
        trial("a_registry_that_refuses_is_told", refused),
        trial("a_pull_that_stalls_is_given_up", stalled),
        trial("a_fetched_image_for_another_platform_is_told", foreign),
        trial("ctrl_c_during_a_pull_leaves_nothing", interrupted),
    ]
}

async fn fetched() {
    let registry = Registry::start().await;
    let image = registry.image("app");
    let layer = layer(&executable());
    let size = layer.len() as u64;
    registry.offer("app", processor(), layer, Manner::ByHalves);
    let bench = Bench::with("fetched", stack(), DockerOptions { app_image: Some(image.clone()), ..options() });
    let bytes: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let (told, partly) = (bytes.clone(), Arc::new(tokio::sync::Notify::new()));
    let heard = partly.clone();
    let progress: ProgressFn = Arc::new(move |progress| {
        if let Some((done, total)) = progress.bytes {
            told.lock().unwrap_or_else(PoisonError::into_inner).push((done, total));
            if done > 0 && done < total {
                heard.notify_one();
            }
        }
    });
    let request = request();
    let up = bench.engine.up(&request, progress);
    let half_way = async {
        registry.half_sent().await;
        tokio::time::timeout(PATIENCE, partly.notified()).await.expect("half of it is told before all is there");
        registry.go_on();
    };
    let (up, ()) = tokio::join!(up, half_way);
    assert_eq!(status(&up.unwrap().endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(bytes.is_sorted_by_key(|(done, _)| *done), "{bytes:?}");
    assert!(bytes.iter().all(|(done, total)| done <= total && (*total == size || *total == 0)), "{size}: {bytes:?}");
    bench.finish().await;
    docker(&["rmi", &image]);
}

/// A lab whose gateway has this image.
async fn with_gateway(test: &str, image: &str, options: DockerOptions) -> EngineError {
    let mut stack = stack();
    image.clone_into(&mut service(&mut stack, GATEWAY).image);
    let bench = Bench::with(test, stack, options);
    let error = bench.engine.up(&request(), silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains(image) && error.hint.is_some(), "{error}");
    assert_eq!(bench.leftovers(), "");
    bench.finish().await;
    error
}

async fn refused() {
    let registry = Registry::start().await;
    let error = with_gateway("nowhere", &registry.image("nowhere"), options()).await;
    assert!(error.detail.contains("manifest unknown"), "{error}");
    registry.refuse("broken", 500);
    let error = with_gateway("broken", &registry.image("broken"), options()).await;
    assert!(error.detail.contains("500"), "{error}");
}

async fn stalled() {
    let registry = Registry::start().await;
    registry.offer("stalled", processor(), vec![0; 1 << 20], Manner::ByHalves);
    let impatient = DockerOptions { pull_idle: Some(Duration::from_secs(1)), ..options() };
    let error = with_gateway("stalled", &registry.image("stalled"), impatient).await;
    assert!(error.detail.contains("no progress for 1 s"), "{error}");
}

async fn foreign() {
    let registry = Registry::start().await;
    registry.offer("foreign", other_processor(), layer("/bin/true".as_ref()), Manner::AtOnce);
    let image = registry.image("foreign");
    let error = with_gateway("foreign", &image, options()).await;
    docker(&["rmi", &image]);
    assert!(error.detail.contains(&format!("is for linux/{}", other_processor())), "{error}");
    registry.offer_list("listed", other_processor());
    let error = with_gateway("listed", &registry.image("listed"), options()).await;
    assert!(error.detail.contains(&format!("no matching manifest for linux/{}", processor())), "{error}");
}

async fn interrupted() {
    let registry = Registry::start().await;
    registry.offer("slow", processor(), vec![0; 1 << 20], Manner::ByHalves);
    let user = Cli::new("pull");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let own = text.replace("image: nginx:1.30", &format!("image: {}", registry.image("slow")));
    assert_ne!(own, text);
    std::fs::write(&file, own).unwrap();
    let mut up = user.start(&["up", "--stack", &folder.display().to_string()]);
    up.until("gateway: pulling");
    registry.half_sent().await;
    up.signal(Signal::INT);
    up.ran().status(130);
    user.is_clean();
}
