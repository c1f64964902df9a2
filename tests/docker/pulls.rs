//! Pulls from a registry of the tests, and their failures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab_containers::docker::DockerOptions;
use lab_core::engine::{Engine, EngineError, EngineErrorKind, GATEWAY, ProgressFn};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::conformance_suite::{no_progress, request};
use crate::registry::{Registry, Transfer, layer};
use crate::support::{
    TIMEOUT, TestLab, architecture, docker, executable, options, other_architecture, service, stack, status,
    write_small_stack,
};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        an_image_is_pulled_and_its_bytes_are_counted,
        a_refusal_of_the_registry_is_reported,
        a_stalled_pull_is_abandoned,
        a_pulled_image_for_another_platform_is_reported,
        ctrl_c_during_a_pull_leaves_nothing,
    ]
}

async fn an_image_is_pulled_and_its_bytes_are_counted() {
    let registry = Registry::start().await;
    let image = registry.image("app");
    let layer = layer(&executable());
    let size = layer.len() as u64;
    registry.offer("app", architecture(), layer, Transfer::InHalves);
    let lab = TestLab::with("fetched", stack(), DockerOptions { app_image: Some(image.clone()), ..options() });
    let bytes: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let (reported, partly) = (bytes.clone(), Arc::new(tokio::sync::Notify::new()));
    let notify = partly.clone();
    let progress: ProgressFn = Arc::new(move |progress| {
        if let Some((done, total)) = progress.bytes {
            reported.lock().unwrap_or_else(PoisonError::into_inner).push((done, total));
            if done > 0 && done < total {
                notify.notify_one();
            }
        }
    });
    let request = request();
    let up = lab.engine.up(&request, progress);
    let half_way = async {
        registry.half_sent().await;
        tokio::time::timeout(TIMEOUT, partly.notified())
            .await
            .expect("progress is reported before the pull is complete");
        registry.send_rest();
    };
    let (up, ()) = tokio::join!(up, half_way);
    assert_eq!(status(&up.unwrap().endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(bytes.is_sorted_by_key(|(done, _)| *done), "{bytes:?}");
    assert!(bytes.iter().all(|(done, total)| done <= total && (*total == size || *total == 0)), "{size}: {bytes:?}");
    lab.finish().await;
    docker(&["rmi", &image]);
}

/// Error of an `up` with this image for the gateway.
async fn with_gateway(test: &str, image: &str, options: DockerOptions) -> EngineError {
    let mut stack = stack();
    image.clone_into(&mut service(&mut stack, GATEWAY).image);
    let lab = TestLab::with(test, stack, options);
    let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains(image) && error.hint.is_some(), "{error}");
    assert_eq!(lab.leftovers(), "");
    lab.finish().await;
    error
}

async fn a_refusal_of_the_registry_is_reported() {
    let registry = Registry::start().await;
    let error = with_gateway("nowhere", &registry.image("nowhere"), options()).await;
    assert!(error.detail.contains("manifest unknown"), "{error}");
    registry.refuse("broken", 500);
    let error = with_gateway("broken", &registry.image("broken"), options()).await;
    assert!(error.detail.contains("500"), "{error}");
}

async fn a_stalled_pull_is_abandoned() {
    let registry = Registry::start().await;
    registry.offer("stalled", architecture(), vec![0; 1 << 20], Transfer::InHalves);
    let impatient = DockerOptions { pull_idle: Some(Duration::from_secs(1)), ..options() };
    let error = with_gateway("stalled", &registry.image("stalled"), impatient).await;
    assert!(error.detail.contains("no progress for 1 s"), "{error}");
}

async fn a_pulled_image_for_another_platform_is_reported() {
    let registry = Registry::start().await;
    registry.offer("foreign", other_architecture(), layer("/bin/true".as_ref()), Transfer::AtOnce);
    let image = registry.image("foreign");
    let error = with_gateway("foreign", &image, options()).await;
    docker(&["rmi", &image]);
    assert!(error.detail.contains(&format!("is for linux/{}", other_architecture())), "{error}");
    registry.offer_list("listed", other_architecture());
    let error = with_gateway("listed", &registry.image("listed"), options()).await;
    assert!(error.detail.contains(&format!("no matching manifest for linux/{}", architecture())), "{error}");
}

async fn ctrl_c_during_a_pull_leaves_nothing() {
    let registry = Registry::start().await;
    registry.offer("slow", architecture(), vec![0; 1 << 20], Transfer::InHalves);
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
    up.wait().status(130);
    user.assert_clean();
}
