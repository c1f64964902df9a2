//! Failures of the daemon and its containers. After each, `down` leaves nothing.

use lab_containers::docker::DockerOptions;
use lab_core::engine::{
    APP, DB, Engine, EngineErrorKind, GATEWAY, Health, KEY_VARIABLE, RunState, ServiceChange, UpRequest,
};
use libtest_mimic::Trial;

use crate::shared::{request, silent};
use crate::support::{Bench, docker, options, service, stack, status};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_port_taken_by_a_process_is_told", port_of_a_process),
        trial("a_port_taken_by_a_container_is_told", port_of_a_container),
        trial("an_image_that_cannot_be_had_is_told", missing_image),
        trial("a_build_that_fails_is_told_with_its_last_lines", failed_build),
        trial("a_service_that_dies_while_starting_is_told_with_its_last_line", dies),
        trial("a_container_removed_behind_labs_back_comes_back", removed),
        trial("a_network_removed_behind_labs_back_comes_back", network_gone),
        trial("an_older_labs_lab_can_be_taken_down", older),
        trial("a_lab_with_hashes_of_an_older_version_is_recreated_and_removed", older_hashes),
        trial("an_image_for_another_platform_is_told", other_platform),
    ]
}

async fn port_of_a_process() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new("port-process");
    let error = bench.engine.up(&UpRequest { gateway_port: port, ..request() }, silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::PortTaken, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains(&format!("(pid {})", std::process::id())), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--port"));
    assert_eq!(bench.leftovers(), "", "what a failed up made is gone");
    bench.finish().await;
}

async fn port_of_a_container() {
    let (one, other) = (Bench::new("port-one"), Bench::new("port-other"));
    let up = one.engine.up(&request(), silent()).await.unwrap();
    let port = up.endpoints.gateway.rsplit(':').next().unwrap().parse().unwrap();
    let error = other.engine.up(&UpRequest { gateway_port: port, ..request() }, silent()).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::PortTaken, "{error}");
    assert!(error.detail.contains(&format!("container lab-{}-gateway-1", one.name)), "{error}");
    assert_eq!(other.leftovers(), "");
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    one.finish().await;
    other.finish().await;
}

async fn missing_image() {
    let mut stack = stack();
    "127.0.0.1:1/lab-test/nowhere:1".clone_into(&mut service(&mut stack, GATEWAY).image);
    let bench = Bench::with("missing", stack, options());
    assert_eq!(bench.engine.images().await.unwrap().missing, ["127.0.0.1:1/lab-test/nowhere:1"]);
    let error = bench.engine.up(&request(), silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::ImageMissing, Some(GATEWAY)), "{error}");
    assert!(error.detail.contains("127.0.0.1:1/lab-test/nowhere:1") && error.hint.is_some(), "{error}");
    assert_eq!(bench.leftovers(), "");
    bench.finish().await;
}

async fn failed_build() {
    let folder = tempfile::tempdir().unwrap();
    let build = async |command: &str| {
        std::fs::write(folder.path().join("Dockerfile"), format!("FROM nginx:1.30\nRUN {command}\n")).unwrap();
        let sources = DockerOptions { sources: Some(folder.path().to_owned()), ..options() };
        let bench = Bench::with("failed-build", stack(), sources);
        let error = bench.engine.up(&request(), silent()).await.unwrap_err();
        assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::System, Some(APP)), "{error}");
        bench.finish().await;
        error
    };
    let error = build("seq 10 && echo this is why >&2 && exit 3").await;
    assert!(error.detail.contains("code: 3") && error.detail.ends_with("\n  this is why"), "{error}");
    assert!(!error.detail.contains("\n  2\n"), "the last lines alone: {error}");
    let error = build("echo 'error: No space left on device (os error 28)' && exit 101").await;
    assert!(error.detail.contains("the daemon's disk is full"), "{error}");
    assert!(error.hint.unwrap().contains("docker system df"));
}

async fn dies() {
    let mut stack = stack();
    let db = service(&mut stack, DB);
    db.command = Some(["postgres", "--nonsense=1"].map(str::to_owned).to_vec());
    let bench = Bench::with("dies", stack, options());
    let error = bench.engine.up(&request(), silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(DB)), "{error}");
    assert!(error.detail.contains("nonsense"), "{error}");
    assert_eq!(bench.leftovers(), "");
    bench.finish().await;
}

async fn removed() {
    let bench = Bench::new("removed");
    bench.engine.up(&request(), silent()).await.unwrap();
    docker(&["rm", "-f", &format!("lab-{}-app-1", bench.name)]);
    let now = bench.engine.describe().await.unwrap();
    let app = now.service(APP).unwrap();
    assert_eq!(app.state, RunState::Stopped);
    assert!(app.detail.as_ref().unwrap().contains("removed"), "{app:?}");
    let back = bench.engine.up(&request(), silent()).await.unwrap();
    assert_eq!(status(&back.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let all = docker(&["ps", "-aq", "--filter", &format!("label=lab.name={}", bench.name)]);
    docker(&[&["rm", "-f"][..], &all.lines().collect::<Vec<_>>()].concat());
    assert_eq!(bench.engine.describe().await.unwrap_err().kind, EngineErrorKind::Lost);
    bench.finish().await;
}

async fn network_gone() {
    let bench = Bench::new("network");
    let up = bench.engine.up(&request(), silent()).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let network = format!("lab-{}_default", bench.name);
    // A connection to another network does not replace it.
    let other = format!("lab-{}-other", bench.name);
    docker(&["network", "create", "--label", &format!("lab.name={}", bench.name), &other]);
    docker(&["network", "connect", &other, &format!("lab-{}-{GATEWAY}-1", bench.name)]);
    for service in [GATEWAY, APP, DB] {
        docker(&["network", "disconnect", "-f", &network, &format!("lab-{}-{service}-1", bench.name)]);
    }
    docker(&["network", "rm", &network]);
    let now = bench.engine.describe().await.unwrap();
    for service in &now.services {
        let detail = service.detail.as_deref().unwrap_or_default();
        assert!(detail.contains("network was removed") && detail.contains("lab up"), "{service:?}");
    }
    let back = bench.engine.up(&request(), silent()).await.unwrap();
    assert!(back.notices.iter().any(|notice| notice.contains("its network was removed")), "{back:?}");
    assert_eq!(back.server_key(), Some("apikey-v2"), "it keeps its keys");
    assert_eq!(back.endpoints.gateway, up.endpoints.gateway);
    assert_eq!(status(&back.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    bench.finish().await;
}

async fn older() {
    let bench = Bench::new("older");
    bench.engine.up(&request(), silent()).await.unwrap();
    let db = format!("lab-{}-db-1", bench.name);
    docker(&["rm", "-f", &db]);
    let label = format!("lab.name={}", bench.name);
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
    let error = bench.engine.describe().await.unwrap_err();
    assert!(error.detail.contains("version 0.0.1") && error.hint.as_ref().unwrap().contains("lab down"), "{error}");
    assert_eq!(bench.engine.up(&request(), silent()).await.unwrap_err(), error);
    // Whoever takes it down need not have brought it up.
    bench.again().down().await.unwrap();
    bench.finish().await;
}

/// Makes a part of a lab look as if an older version had created it, which hashed definitions and contents in another way.
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

async fn older_hashes() {
    let bench = Bench::new("hashes");
    let before = bench.engine.up(&request(), silent()).await.unwrap();
    with_older_hashes(&bench.name);
    let after = bench.engine.up(&request(), silent()).await.unwrap();
    assert_eq!(after.service(DB).unwrap().health, Health::Healthy);
    assert_eq!(after.endpoints.gateway, before.endpoints.gateway);
    let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("label=lab.name={}", bench.name)]);
    assert!(!volumes.contains(&older_volume(&bench.name)), "{volumes}");
    with_older_hashes(&bench.name);
    // Nothing may be left, which includes the volume with the older name.
    bench.finish().await;
}

async fn other_platform() {
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
    let bench = Bench::with("platform", stack, options());
    let error = bench.engine.up(&request(), silent()).await.unwrap_err();
    docker(&["rmi", &image]);
    assert_eq!(error.kind, EngineErrorKind::ImageMissing, "{error}");
    assert!(error.detail.contains("s390x") && error.detail.contains("amd64"), "{error}");
    bench.finish().await;
}
