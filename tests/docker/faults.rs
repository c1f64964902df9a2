//! Failures of the daemon and its containers. After each, `down` leaves nothing.

use lab_containers::docker::DockerOptions;
use lab_core::engine::{
    APP, DB, Engine, EngineErrorKind, GATEWAY, Health, KEY_VARIABLE, RunState, ServiceChange, UpRequest,
};
use libtest_mimic::Trial;

use crate::conformance_suite::{no_progress, request};
use crate::support::{TestLab, docker, options, service, stack, status};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_port_used_by_a_process_is_reported,
        a_port_used_by_a_container_is_reported,
        an_unavailable_image_is_reported,
        a_failed_build_is_reported_with_its_last_lines,
        a_service_that_exits_during_start_is_reported_with_its_last_line,
        a_container_removed_outside_of_lab_is_recreated,
        a_network_removed_outside_of_lab_is_recreated,
        a_lab_of_an_older_version_can_be_removed,
        a_lab_with_hashes_of_an_older_version_is_recreated_and_removed,
        an_image_for_another_platform_is_reported,
    ]
}

async fn a_port_used_by_a_process_is_reported() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lab = TestLab::new("port-process");
    let error = lab.engine.up(&UpRequest { gateway_port: port, ..request() }, no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::PortTaken, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains(&format!("(pid {})", std::process::id())), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--port"));
    assert_eq!(lab.leftovers(), "", "a failed up leaves objects");
    lab.finish().await;
}

async fn a_port_used_by_a_container_is_reported() {
    let (one, other) = (TestLab::new("port-one"), TestLab::new("port-other"));
    let up = one.engine.up(&request(), no_progress()).await.unwrap();
    let port = up.endpoints.gateway.rsplit(':').next().unwrap().parse().unwrap();
    let error = other.engine.up(&UpRequest { gateway_port: port, ..request() }, no_progress()).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::PortTaken, "{error}");
    assert!(error.detail.contains(&format!("container lab-{}-gateway-1", one.name)), "{error}");
    assert_eq!(other.leftovers(), "");
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    one.finish().await;
    other.finish().await;
}

async fn an_unavailable_image_is_reported() {
    let mut stack = stack();
    "127.0.0.1:1/lab-test/nowhere:1".clone_into(&mut service(&mut stack, GATEWAY).image);
    let lab = TestLab::with("missing", stack, options());
    assert_eq!(lab.engine.images().await.unwrap().missing, ["127.0.0.1:1/lab-test/nowhere:1"]);
    let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains("127.0.0.1:1/lab-test/nowhere:1") && error.hint.is_some(), "{error}");
    assert_eq!(lab.leftovers(), "");
    lab.finish().await;
}

async fn a_failed_build_is_reported_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let build = async |command: &str| {
        std::fs::write(folder.path().join("Dockerfile"), format!("FROM nginx:1.30\nRUN {command}\n")).unwrap();
        let sources = DockerOptions { sources: Some(folder.path().to_owned()), ..options() };
        let lab = TestLab::with("failed-build", stack(), sources);
        let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
        assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::System, Some(APP)), "{error}");
        lab.finish().await;
        error
    };
    let error = build("seq 10 && echo this is why >&2 && exit 3").await;
    assert!(error.detail.contains("code: 3") && error.detail.ends_with("\n  this is why"), "{error}");
    assert!(!error.detail.contains("\n  2\n"), "more than the last lines: {error}");
    let error = build("echo 'error: No space left on device (os error 28)' && exit 101").await;
    assert!(error.detail.contains("the daemon's disk is full"), "{error}");
    assert!(error.hint.unwrap().contains("docker system df"));
}

async fn a_service_that_exits_during_start_is_reported_with_its_last_line() {
    let mut stack = stack();
    let db = service(&mut stack, DB);
    db.command = Some(["postgres", "--nonsense=1"].map(str::to_owned).to_vec());
    let lab = TestLab::with("dies", stack, options());
    let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(DB)), "{error}");
    assert!(error.detail.contains("nonsense"), "{error}");
    assert_eq!(lab.leftovers(), "");
    lab.finish().await;
}

async fn a_container_removed_outside_of_lab_is_recreated() {
    let lab = TestLab::new("removed");
    lab.engine.up(&request(), no_progress()).await.unwrap();
    docker(&["rm", "-f", &format!("lab-{}-app-1", lab.name)]);
    let now = lab.engine.describe().await.unwrap();
    let app = now.service(APP).unwrap();
    assert_eq!(app.state, RunState::Stopped);
    assert!(app.detail.as_ref().unwrap().contains("removed"), "{app:?}");
    let back = lab.engine.up(&request(), no_progress()).await.unwrap();
    assert_eq!(status(&back.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let all = docker(&["ps", "-aq", "--filter", &format!("label=lab.name={}", lab.name)]);
    docker(&[&["rm", "-f"][..], &all.lines().collect::<Vec<_>>()].concat());
    assert_eq!(lab.engine.describe().await.unwrap_err().kind, EngineErrorKind::Lost);
    lab.finish().await;
}

async fn a_network_removed_outside_of_lab_is_recreated() {
    let lab = TestLab::new("network");
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let network = format!("lab-{}_default", lab.name);
    // A connection to another network does not replace the lab's network.
    let other = format!("lab-{}-other", lab.name);
    docker(&["network", "create", "--label", &format!("lab.name={}", lab.name), &other]);
    docker(&["network", "connect", &other, &format!("lab-{}-{GATEWAY}-1", lab.name)]);
    for service in [GATEWAY, APP, DB] {
        docker(&["network", "disconnect", "-f", &network, &format!("lab-{}-{service}-1", lab.name)]);
    }
    docker(&["network", "rm", &network]);
    let now = lab.engine.describe().await.unwrap();
    for service in &now.services {
        let detail = service.detail.as_deref().unwrap_or_default();
        assert!(detail.contains("network was removed") && detail.contains("lab up"), "{service:?}");
    }
    let back = lab.engine.up(&request(), no_progress()).await.unwrap();
    assert!(back.notices.iter().any(|notice| notice.contains("its network was removed")), "{back:?}");
    assert_eq!(back.server_key(), Some("apikey-v2"), "the lab keeps its keys");
    assert_eq!(back.endpoints.gateway, up.endpoints.gateway);
    assert_eq!(status(&back.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    lab.finish().await;
}

async fn a_lab_of_an_older_version_can_be_removed() {
    let lab = TestLab::new("older");
    lab.engine.up(&request(), no_progress()).await.unwrap();
    let db = format!("lab-{}-db-1", lab.name);
    docker(&["rm", "-f", &db]);
    let label = format!("lab.name={}", lab.name);
    docker(&[
        "create",
        "--name",
        &db,
        "--label",
        &label,
        "--label",
        "lab.service=db",
        "--label",
        "lab.version=0.0.1",
        &stack().services.into_iter().find(|service| service.name == DB).unwrap().image,
    ]);
    let error = lab.engine.describe().await.unwrap_err();
    assert!(error.detail.contains("version 0.0.1") && error.hint.as_ref().unwrap().contains("lab down"), "{error}");
    assert_eq!(lab.engine.up(&request(), no_progress()).await.unwrap_err(), error);
    // `down` also works in another process.
    lab.another_engine().down().await.unwrap();
    lab.finish().await;
}

/// Replaces parts of a lab by those of an older version, which hashed definitions and contents differently.
fn with_older_hashes(lab: &str) {
    let db = format!("lab-{lab}-db-1");
    docker(&["rm", "-f", &db]);
    let [name, version] = [format!("lab.name={lab}"), format!("lab.version={}", env!("CARGO_PKG_VERSION"))];
    let image = stack().services.into_iter().find(|service| service.name == DB).unwrap().image;
    let labels = [name.as_str(), version.as_str(), "lab.service=db", "lab.definition=0123456789abcdef"];
    let network = format!("lab-{lab}_default");
    let mut create = vec!["create", "--name", &db, "--network", &network];
    create.extend(labels.iter().flat_map(|label| ["--label", *label]));
    create.push(&image);
    docker(&create);
    docker(&["volume", "create", "--label", &name, &older_volume(lab)]);
}

fn older_volume(lab: &str) -> String {
    format!("lab-{lab}_gateway-files-0-0123456789abcdef")
}

async fn a_lab_with_hashes_of_an_older_version_is_recreated_and_removed() {
    let lab = TestLab::new("hashes");
    let before = lab.engine.up(&request(), no_progress()).await.unwrap();
    with_older_hashes(&lab.name);
    let after = lab.engine.up(&request(), no_progress()).await.unwrap();
    assert_eq!(after.service(DB).unwrap().health, Health::Healthy);
    assert_eq!(after.endpoints.gateway, before.endpoints.gateway);
    let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("label=lab.name={}", lab.name)]);
    assert!(!volumes.contains(&older_volume(&lab.name)), "{volumes}");
    with_older_hashes(&lab.name);
    // `finish` asserts that nothing is left, including the volume with the older name.
    lab.finish().await;
}

async fn an_image_for_another_platform_is_reported() {
    let image = format!("lab-test-platform-{}:1", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"architecture":"s390x","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{image}"],"Layers":[]}}]"#);
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    let archive = folder.path().join("image.tar");
    let tar = std::process::Command::new("tar")
        .arg("cf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .args(["config.json", "manifest.json"])
        .status();
    assert!(tar.unwrap().success());
    docker(&["load", "-i", &archive.display().to_string()]);
    let mut stack = stack();
    service(&mut stack, GATEWAY).image.clone_from(&image);
    let lab = TestLab::with("platform", stack, options());
    let error = lab.engine.up(&request(), no_progress()).await.unwrap_err();
    docker(&["rmi", &image]);
    assert_eq!(error.kind, EngineErrorKind::ImageMissing, "{error}");
    assert!(error.detail.contains("s390x") && error.detail.contains("amd64"), "{error}");
    lab.finish().await;
}
