//! A lab's life: up, changed, looked at, down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lab_containers::docker::{Docker, DockerOptions};
use lab_core::engine::{APP, DB, Engine, EngineErrorKind, GATEWAY, KEY_VARIABLE, LogRequest, RunState, ServiceChange};
use libtest_mimic::Trial;

use crate::shared::{conforms, request, silent};
use crate::support::{Bench, PATIENCE, Stages, docker, options, service, stack, status, whole_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_docker_engine_conforms", conformance),
        trial("a_redeploy_loses_no_request", redeploy),
        trial("a_stopped_app_is_502_at_once_and_a_paused_one_504", app_faults),
        trial("an_app_that_cannot_start_is_removed_and_the_old_one_serves_on", bad_redeploy),
        trial("two_labs_live_side_by_side", two_labs),
        trial("an_up_that_nobody_waits_for_is_taken_back_by_down", interrupted),
        trial("only_what_changed_is_made_again", changed_definition),
        trial("a_changed_definition_that_does_not_start_leaves_what_was_there", broken_definition),
        trial("logs_are_merged_and_followed_over_a_redeploy", logs),
        trial("an_optional_service_without_an_image_is_done_without", optional),
        trial("compose_sees_the_lab_as_a_project", compose),
        trial("progress_tells_each_stage", progress),
        trial("the_apps_image_is_built_from_sources", from_sources),
    ]
}

async fn conformance() {
    let bench = Bench::new("conforms");
    conforms(&bench.engine).await;
    bench.finish().await;
}

/// Callers as busy as they can be while the key goes back and forth: each request is answered, by one instance or the other.
async fn redeploy() {
    let bench = Bench::new("redeploy");
    let up = bench.engine.up(&request(), silent()).await.unwrap();
    let gateway = up.endpoints.gateway.clone();
    let (stop, sent, lost) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, stop, sent, lost) = (gateway.clone(), stop.clone(), sent.clone(), lost.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // A key that no instance takes: the answer does not hang on the database, which has little time here.
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
        let ensured = bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, key)).await.unwrap();
        // Nobody is led to the old one any more from the moment when the change is done.
        let (now, other) = if key == "apikey-v2" { (401, 200) } else { (200, 401) };
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, now, "not {other}");
        counted += requests_of(ensured.retired[0].exposition.as_ref().unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(lost.load(Ordering::Relaxed), 0, "of {} requests", sent.load(Ordering::Relaxed));
    // Every request was counted by some instance, and is in its last exposition.
    let now = bench.engine.describe().await.unwrap();
    let page = reqwest_text(&now.endpoints.metrics[0].url).await;
    assert_eq!(counted + requests_of(&page), sent.load(Ordering::Relaxed) + 3);
    bench.finish().await;
}

fn requests_of(page: &str) -> usize {
    let line = page.lines().find(|line| line.starts_with("app_requests_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn reqwest_text(url: &str) -> String {
    let request = lab_http::Request::get(url.to_owned());
    lab_http::Http::new().request(&request).await.unwrap().text()
}

async fn app_faults() {
    let bench = Bench::new("faults");
    let gateway = bench.engine.up(&request(), silent()).await.unwrap().endpoints.gateway;
    let users = async |wanted: u16| {
        let start = Instant::now();
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, wanted);
        start.elapsed()
    };
    for change in [ServiceChange::run(RunState::Stopped), ServiceChange::kill()] {
        bench.engine.reconcile(APP, &change).await.unwrap();
        // A name or an address without a listener would take the gateway's whole timeout, and give another code.
        assert!(users(502).await < Duration::from_millis(900), "{change:?}");
        // So it stays over a restart of the gateway.
        bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
        assert_eq!(status(&gateway, "/api/users", "apikey-v1").await, 0);
        bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
        assert!(users(502).await < Duration::from_millis(900), "{change:?}");
        bench.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
        users(200).await;
    }
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Paused)).await.unwrap();
    users(504).await;
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    users(200).await;
    for change in [ServiceChange::run(RunState::Paused), ServiceChange::run(RunState::Stopped)] {
        bench.engine.reconcile(DB, &change).await.unwrap();
        users(503).await;
        bench.engine.reconcile(DB, &ServiceChange::run(RunState::Running)).await.unwrap();
        users(200).await;
    }
    // The app ends while the gateway cannot be notified.
    bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Paused)).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
    users(401).await;
    bench.finish().await;
}

async fn bad_redeploy() {
    let bench = Bench::new("bad");
    let before = bench.engine.up(&request(), silent()).await.unwrap();
    let error = bench.engine.reconcile(APP, &ServiceChange::env("DATABASE_URL", "nonsense")).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(APP)), "{error}");
    assert!(error.detail.contains("DATABASE_URL is malformed"), "its last line is told: {error}");
    let after = bench.engine.describe().await.unwrap();
    assert_eq!(after.service(APP), before.service(APP));
    assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    bench.finish().await;
}

async fn two_labs() {
    let (one, other) = (Bench::new("one"), Bench::new("other"));
    let (request_one, request_other) = (request(), request());
    let (up, up_other) = tokio::join!(one.engine.up(&request_one, silent()), other.engine.up(&request_other, silent()));
    let (up, up_other) = (up.unwrap(), up_other.unwrap());
    assert_ne!(up.endpoints.gateway, up_other.endpoints.gateway);
    one.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    assert_eq!(status(&up_other.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    one.finish().await;
    assert_eq!(status(&up_other.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    other.finish().await;
}

/// At whatever point the caller goes away.
async fn interrupted() {
    for millis in [20, 150, 400, 900] {
        let bench = Bench::new("interrupted");
        let request = request();
        let up = bench.engine.up(&request, silent());
        assert!(tokio::time::timeout(Duration::from_millis(millis), up).await.is_err(), "it is up already");
        let start = Instant::now();
        // `down` may use another connection to the daemon than `up`.
        bench.again().down().await.unwrap();
        assert!(start.elapsed() < PATIENCE);
        bench.finish().await;
    }
}

async fn changed_definition() {
    let bench = Bench::new("changed");
    let before = bench.engine.up(&request(), silent()).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let before_app = bench.engine.describe().await.unwrap().service(APP).unwrap().instance.clone();
    let mut stack = stack();
    let gateway = service(&mut stack, GATEWAY);
    let lab_stack::Mount::Bind(bind) = &mut gateway.mounts[0] else { panic!("the gateway has its files") };
    let text = bind.entries.iter_mut().find_map(|entry| match &mut entry.content {
        lab_stack::Content::File(bytes) => Some(bytes),
        _ => None,
    });
    text.expect("it has files").extend_from_slice(b"# changed\n");
    // A volume with data and a name like those with files, which no container uses yet.
    stack.volumes.push("its-files-0".to_owned());
    let changed = Docker::new(&bench.name, stack, options());
    let after = changed.up(&request(), silent()).await.unwrap();
    let instance = |description: &lab_core::engine::Description, service: &str| {
        description.service(service).unwrap().instance.clone()
    };
    assert_ne!(instance(&before, GATEWAY), instance(&after, GATEWAY));
    assert_eq!(instance(&before, DB), instance(&after, DB));
    assert_eq!(before_app, instance(&after, APP));
    assert_eq!(after.server_key(), Some("apikey-v2"), "a live lab keeps its keys");
    assert_eq!(before.endpoints.gateway, after.endpoints.gateway);
    assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
    let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("label=lab.name={}", bench.name)]);
    assert_eq!(volumes.matches("gateway-files-0").count(), 1, "the old files are gone: {volumes}");
    assert!(volumes.contains("_its-files-0"), "{volumes}");
    bench.finish().await;
}

async fn broken_definition() {
    let bench = Bench::new("broken");
    let before = bench.engine.up(&request(), silent()).await.unwrap();
    let mut stack = stack();
    service(&mut stack, DB).command = Some(["postgres", "--nonsense=1"].map(str::to_owned).to_vec());
    let broken = Docker::new(&bench.name, stack, options());
    let error = broken.up(&request(), silent()).await.unwrap_err();
    assert_eq!((error.kind, error.service.as_deref()), (EngineErrorKind::Exited, Some(DB)), "{error}");
    let back = async {
        while status(&before.endpoints.gateway, "/api/users", "apikey-v1").await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, back).await.expect("the old database serves again");
    let after = bench.engine.describe().await.unwrap();
    assert_eq!(after.service(DB).unwrap().instance, before.service(DB).unwrap().instance);
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("label=lab.name={}", bench.name)]).lines().count(), 3);
    bench.finish().await;
}

async fn logs() {
    let bench = Bench::new("logs");
    bench.engine.up(&request(), silent()).await.unwrap();
    let lines: Vec<_> = bench.engine.logs(&LogRequest::default()).await.unwrap().collect().await;
    let lines: Vec<_> = lines.into_iter().collect::<Result<_, _>>().unwrap();
    let first = |service: &str, text: &str| {
        lines
            .iter()
            .position(|line| line.service == service && line.text.contains(text))
            .unwrap_or_else(|| panic!("{service}: {text}"))
    };
    assert!(first(DB, "database system is ready") < first(APP, "the database is migrated"), "{lines:#?}");
    let app = LogRequest { services: vec![APP.to_owned()], tail: Some(1), ..LogRequest::default() };
    assert_eq!(bench.engine.logs(&app).await.unwrap().collect::<Vec<_>>().await.len(), 1);
    let mut followed = bench.engine.logs(&LogRequest { follow: true, tail: Some(0), ..app }).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let fresh = async {
        loop {
            let line = followed.next().await.unwrap().unwrap();
            assert_eq!(line.service, APP);
            if line.text.contains("ready") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, fresh).await.expect("the new instance is followed");
    let unknown = LogRequest { services: vec!["nobody".to_owned()], ..LogRequest::default() };
    assert_eq!(bench.engine.logs(&unknown).await.err().map(|error| error.kind), Some(EngineErrorKind::Unsupported));
    bench.engine.down().await.unwrap();
    let rest = tokio::time::timeout(PATIENCE, followed.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the stream ends with the lab");
    bench.finish().await;
}

/// The whole stack, with an image that does not exist instead of Grafana's.
async fn optional() {
    let mut stack = whole_stack();
    "lab-test-nowhere/grafana:1".clone_into(&mut service(&mut stack, "grafana").image);
    let bench = Bench::with("optional", stack, options());
    let report = bench.engine.images().await.unwrap();
    assert!(report.missing.is_empty(), "{report:?}");
    let up = bench.engine.up(&request(), silent()).await.unwrap();
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
    tokio::time::timeout(PATIENCE, ready).await.expect("Prometheus is ready in the end");
    let error = bench.engine.reconcile("grafana", &ServiceChange::kill()).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Unsupported);
    bench.finish().await;
}

async fn compose() {
    let bench = Bench::new("compose");
    bench.engine.up(&request(), silent()).await.unwrap();
    let format = "{{.Label \"com.docker.compose.project\"}}/{{.Label \"com.docker.compose.service\"}}";
    let filter = format!("label=com.docker.compose.project=lab-{}", bench.name);
    let listed = docker(&["ps", "--filter", &filter, "--format", format]);
    let mut services: Vec<&str> = listed.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    services.sort_unstable();
    assert_eq!(services, [APP, DB, GATEWAY]);
    bench.finish().await;
}

async fn progress() {
    let bench = Bench::new("progress");
    let stages = Stages::default();
    bench.engine.up(&request(), stages.sink()).await.unwrap();
    let told = stages.all();
    for service in [GATEWAY, APP, DB] {
        let of: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix(service)).map(str::trim).collect();
        assert!(of.ends_with(&["creating", "starting", "healthy"]), "{told:?}");
    }
    bench.finish().await;
}

/// From a checkout whose Dockerfile takes a moment; `tests/dockerfile.rs` builds the real one.
async fn from_sources() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(crate::support::executable(), folder.path().join("lab")).unwrap();
    // Sources without an image: an existing image would be used.
    let unique = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let dockerfile = format!(
        "FROM scratch\nCOPY lab /lab\nUSER 65532:65532\nENTRYPOINT [\"/lab\", \"app\"]\nLABEL lab.test={unique}\n"
    );
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let sources = DockerOptions { sources: Some(folder.path().to_owned()), ..options() };
    let bench = Bench::with("sources", stack(), sources);
    let stages = Stages::default();
    let up = bench.engine.up(&request(), stages.sink()).await.unwrap();
    // Podman writes it in capitals.
    let step = |stage: &String| stage.to_lowercase().contains("building its image: step 2");
    assert!(stages.all().iter().any(step), "{:?}", stages.all());
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    let image = up.service(APP).and_then(|app| app.image.clone()).expect("it is a container");
    assert!(image.contains(":source-"), "{image}");
    bench.finish().await;
    docker(&["rmi", &image]);
}
