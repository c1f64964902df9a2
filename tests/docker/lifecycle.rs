//! Lifecycle of a lab: up, changes, logs, down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lab_containers::docker::{Docker, DockerOptions};
use lab_core::engine::{APP, DB, Engine, EngineErrorKind, GATEWAY, KEY_VARIABLE, LogRequest, RunState, ServiceChange};
use libtest_mimic::Trial;

use crate::conformance_suite::{assert_conforms, no_progress, request};
use crate::support::{Stages, TIMEOUT, TestLab, docker, options, service, stack, status, whole_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_docker_engine_conforms,
        a_redeploy_loses_no_request,
        a_stopped_app_is_502_at_once_and_a_paused_one_504,
        an_app_that_cannot_start_is_removed_and_the_old_one_keeps_serving,
        two_labs_run_side_by_side,
        down_removes_an_abandoned_up,
        only_changed_services_are_recreated,
        a_changed_definition_that_does_not_start_is_rolled_back,
        logs_are_merged_and_followed_over_a_redeploy,
        an_optional_service_without_an_image_is_omitted,
        compose_shows_the_lab_as_a_project,
        progress_reports_each_stage,
        the_apps_image_is_built_from_sources,
    ]
}

async fn the_docker_engine_conforms() {
    let lab = TestLab::new("conforms");
    assert_conforms(&lab.engine).await;
    lab.finish().await;
}

/// Busy callers during several key rotations: one of the instances answers each request.
async fn a_redeploy_loses_no_request() {
    let lab = TestLab::new("redeploy");
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let gateway = up.endpoints.gateway.clone();
    let (stop, sent, lost) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, stop, sent, lost) = (gateway.clone(), stop.clone(), sent.clone(), lost.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // No instance accepts this key, so that the response does not depend on the busy database.
                    let code = status(&gateway, "/api/users", "apikey-v0").await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    if code != 401 {
                        eprintln!("a request was answered {code}");
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let mut counted = 0;
    for key in ["apikey-v2", "apikey-v1", "apikey-v2"] {
        let outcome = lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, key)).await.unwrap();
        // After the change, no request reaches the old instance.
        let (now, other) = if key == "apikey-v2" { (401, 200) } else { (200, 401) };
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, now, "not {other}");
        counted += requests_of(outcome.retired[0].exposition.as_ref().unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(lost.load(Ordering::Relaxed), 0, "of {} requests", sent.load(Ordering::Relaxed));
    // Each request is in the last metrics of one instance.
    let now = lab.engine.describe().await.unwrap();
    let page = fetch(&now.endpoints.metrics[0].url).await;
    assert_eq!(counted + requests_of(&page), sent.load(Ordering::Relaxed) + 3);
    lab.finish().await;
}

fn requests_of(page: &str) -> usize {
    let line = page.lines().find(|line| line.starts_with("app_requests_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn fetch(url: &str) -> String {
    let request = lab_http::Request::get(url.to_owned());
    lab_http::Http::new().request(&request).await.unwrap().text()
}

async fn a_stopped_app_is_502_at_once_and_a_paused_one_504() {
    let lab = TestLab::new("faults");
    let gateway = lab.engine.up(&request(), no_progress()).await.unwrap().endpoints.gateway;
    let users = async |expected: u16| {
        let start = Instant::now();
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, expected);
        start.elapsed()
    };
    for change in [ServiceChange::run(RunState::Stopped), ServiceChange::kill()] {
        lab.engine.reconcile(APP, &change).await.unwrap();
        // A failed DNS lookup or connection would take the whole timeout of the gateway, and give another status.
        assert!(users(502).await < Duration::from_millis(900), "{change:?}");
        // The same after a restart of the gateway.
        lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, 0);
        lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
        assert!(users(502).await < Duration::from_millis(900), "{change:?}");
        lab.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
        users(200).await;
    }
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Paused)).await.unwrap();
    users(504).await;
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    users(200).await;
    for change in [ServiceChange::run(RunState::Paused), ServiceChange::run(RunState::Stopped)] {
        lab.engine.reconcile(DB, &change).await.unwrap();
        users(503).await;
        lab.engine.reconcile(DB, &ServiceChange::run(RunState::Running)).await.unwrap();
        users(200).await;
    }
    // The app is replaced while the gateway cannot be notified.
    lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Paused)).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
    users(401).await;
    lab.finish().await;
}

async fn an_app_that_cannot_start_is_removed_and_the_old_one_keeps_serving() {
    let lab = TestLab::new("bad");
    let before = lab.engine.up(&request(), no_progress()).await.unwrap();
    let error = lab.engine.reconcile(APP, &ServiceChange::env("DATABASE_URL", "nonsense")).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(APP)), "{error}");
    assert!(error.detail.contains("DATABASE_URL is malformed"), "without the last line of its log: {error}");
    let after = lab.engine.describe().await.unwrap();
    assert_eq!(after.service(APP), before.service(APP));
    assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    lab.finish().await;
}

async fn two_labs_run_side_by_side() {
    let (one, other) = (TestLab::new("one"), TestLab::new("other"));
    let (request_one, request_other) = (request(), request());
    let (up, up_other) =
        tokio::join!(one.engine.up(&request_one, no_progress()), other.engine.up(&request_other, no_progress()));
    let (up, up_other) = (up.unwrap(), up_other.unwrap());
    assert_ne!(up.endpoints.gateway, up_other.endpoints.gateway);
    one.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    assert_eq!(status(&up_other.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    one.finish().await;
    assert_eq!(status(&up_other.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    other.finish().await;
}

/// The future of `up` is dropped at several stages.
async fn down_removes_an_abandoned_up() {
    for millis in [20, 150, 400, 900] {
        let lab = TestLab::new("interrupted");
        let request = request();
        let up = lab.engine.up(&request, no_progress());
        assert!(tokio::time::timeout(Duration::from_millis(millis), up).await.is_err(), "the lab is up already");
        let start = Instant::now();
        // `down` may use another connection to the daemon than `up`.
        lab.another_engine().down().await.unwrap();
        assert!(start.elapsed() < TIMEOUT);
        lab.finish().await;
    }
}

async fn only_changed_services_are_recreated() {
    let lab = TestLab::new("changed");
    let before = lab.engine.up(&request(), no_progress()).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let before_app = lab.engine.describe().await.unwrap().service(APP).unwrap().instance.clone();
    let mut stack = stack();
    let gateway = service(&mut stack, GATEWAY);
    let lab_stack::Mount::Bind(bind) = &mut gateway.mounts[0] else { panic!("the gateway has its files") };
    let text = bind.entries.iter_mut().find_map(|entry| match &mut entry.content {
        lab_stack::Content::File(bytes) => Some(bytes),
        _ => None,
    });
    text.expect("it has files").extend_from_slice(b"# changed\n");
    // A data volume whose name is like that of a volume with files, and which no container uses yet.
    stack.volumes.push("its-files-0".to_owned());
    let changed = Docker::new(&lab.name, stack, options());
    let after = changed.up(&request(), no_progress()).await.unwrap();
    let instance = |description: &lab_core::engine::Description, service: &str| {
        description.service(service).unwrap().instance.clone()
    };
    assert_ne!(instance(&before, GATEWAY), instance(&after, GATEWAY));
    assert_eq!(instance(&before, DB), instance(&after, DB));
    assert_eq!(before_app, instance(&after, APP));
    assert_eq!(after.server_key(), Some("apikey-v2"), "a running lab keeps its keys");
    assert_eq!(before.endpoints.gateway, after.endpoints.gateway);
    assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("label=lab.name={}", lab.name)]);
    assert_eq!(volumes.matches("gateway-files-0").count(), 1, "the volume with the old files is left: {volumes}");
    assert!(volumes.contains("_its-files-0"), "{volumes}");
    lab.finish().await;
}

async fn a_changed_definition_that_does_not_start_is_rolled_back() {
    let lab = TestLab::new("broken");
    let before = lab.engine.up(&request(), no_progress()).await.unwrap();
    let mut stack = stack();
    service(&mut stack, DB).command = Some(["postgres", "--nonsense=1"].map(str::to_owned).to_vec());
    let broken = Docker::new(&lab.name, stack, options());
    let error = broken.up(&request(), no_progress()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(DB)), "{error}");
    let back = async {
        while status(&before.endpoints.gateway, "/api/users", "apikey-v1").await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(2 * TIMEOUT, back).await.expect("the old database serves again");
    let after = lab.engine.describe().await.unwrap();
    assert_eq!(after.service(DB).unwrap().instance, before.service(DB).unwrap().instance);
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("label=lab.name={}", lab.name)]).lines().count(), 3);
    lab.finish().await;
}

async fn logs_are_merged_and_followed_over_a_redeploy() {
    let lab = TestLab::new("logs");
    lab.engine.up(&request(), no_progress()).await.unwrap();
    let lines: Vec<_> = lab.engine.logs(&LogRequest::default()).await.unwrap().collect().await;
    let lines: Vec<_> = lines.into_iter().collect::<Result<_, _>>().unwrap();
    let first = |service: &str, text: &str| {
        lines
            .iter()
            .position(|line| line.service == service && line.text.contains(text))
            .unwrap_or_else(|| panic!("{service}: {text}"))
    };
    assert!(first(DB, "database system is ready") < first(APP, "the database is migrated"), "{lines:#?}");
    let app = LogRequest { services: vec![APP.to_owned()], tail: Some(1), ..LogRequest::default() };
    assert_eq!(lab.engine.logs(&app).await.unwrap().collect::<Vec<_>>().await.len(), 1);
    let mut followed = lab.engine.logs(&LogRequest { follow: true, tail: Some(0), ..app }).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let fresh = async {
        loop {
            let line = followed.next().await.unwrap().unwrap();
            assert_eq!(line.service, APP);
            if line.text.contains("ready") {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, fresh).await.expect("the new instance is followed");
    let unknown = LogRequest { services: vec!["nobody".to_owned()], ..LogRequest::default() };
    assert_eq!(lab.engine.logs(&unknown).await.err().map(|error| error.kind), Some(EngineErrorKind::Unsupported));
    lab.engine.down().await.unwrap();
    let rest = tokio::time::timeout(TIMEOUT, followed.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the stream does not end with the lab");
    lab.finish().await;
}

/// Uses the whole stack with a nonexistent image for Grafana.
async fn an_optional_service_without_an_image_is_omitted() {
    let mut stack = whole_stack();
    "lab-test-nowhere/grafana:1".clone_into(&mut service(&mut stack, "grafana").image);
    let lab = TestLab::with("optional", stack, options());
    let report = lab.engine.images().await.unwrap();
    assert!(report.missing.is_empty(), "{report:?}");
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    assert!(up.notices.iter().any(|notice| notice.contains("grafana") && notice.contains("dashboards")), "{up:?}");
    assert!(
        up.services.iter().all(|service| service.state == RunState::Running && service.name != "grafana"),
        "{up:?}"
    );
    let prometheus = up.endpoints.prometheus.unwrap();
    let ready = async {
        while status(&prometheus, "/-/ready", "").await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ready).await.expect("Prometheus is ready in the end");
    let error = lab.engine.reconcile("grafana", &ServiceChange::kill()).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Unsupported);
    lab.finish().await;
}

async fn compose_shows_the_lab_as_a_project() {
    let lab = TestLab::new("compose");
    lab.engine.up(&request(), no_progress()).await.unwrap();
    let format = "{{.Label \"com.docker.compose.project\"}}/{{.Label \"com.docker.compose.service\"}}";
    let filter = format!("label=com.docker.compose.project=lab-{}", lab.name);
    let listed = docker(&["ps", "--filter", &filter, "--format", format]);
    let mut services: Vec<&str> = listed.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    services.sort_unstable();
    assert_eq!(services, [APP, DB, GATEWAY]);
    lab.finish().await;
}

async fn progress_reports_each_stage() {
    let lab = TestLab::new("progress");
    let stages = Stages::default();
    lab.engine.up(&request(), stages.sink()).await.unwrap();
    let lines = stages.all();
    for service in [GATEWAY, APP, DB] {
        let of: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(service)).map(str::trim).collect();
        assert!(of.ends_with(&["creating", "starting", "healthy"]), "{lines:?}");
    }
    lab.finish().await;
}

/// Builds from sources with a small Dockerfile; `tests/dockerfile.rs` builds the real one.
async fn the_apps_image_is_built_from_sources() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(crate::support::executable(), folder.path().join("lab")).unwrap();
    // Unique sources, because an existing image would be reused.
    let unique = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let dockerfile = format!(
        "FROM scratch\nCOPY lab /lab\nUSER 65532:65532\nENTRYPOINT [\"/lab\", \"app\"]\nLABEL lab.test={unique}\n"
    );
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let sources = DockerOptions { sources: Some(folder.path().to_owned()), ..options() };
    let lab = TestLab::with("sources", stack(), sources);
    let stages = Stages::default();
    let up = lab.engine.up(&request(), stages.sink()).await.unwrap();
    // Podman writes steps in capitals.
    let step = |stage: &String| stage.to_lowercase().contains("building its image: step 2");
    assert!(stages.all().iter().any(step), "{:?}", stages.all());
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let image = up.service(APP).and_then(|app| app.image.clone()).expect("an image");
    assert!(image.contains(":source-"), "{image}");
    lab.finish().await;
    docker(&["rmi", &image]);
}
