//! Conformance of the embedded engine, with real processes, and of the mock engine, which the tests of the runner use.

use lab_core::engine::{APP, Ability, Engine, EngineErrorKind, KEY_VARIABLE, LogRequest, ServiceChange};
use lab_embedded::Embedded;
use lab_system::files::Folder;
use lab_testkit::engine::MockEngine;

use crate::conformance_suite::{assert_conforms, no_progress, request};

fn embedded(folder: &tempfile::TempDir) -> Embedded {
    let folder = Folder::new(folder.path().join("lab"));
    Embedded::with_executable(&folder, env!("CARGO_BIN_EXE_lab").into())
}

#[tokio::test]
async fn the_embedded_engine_conforms() {
    let folder = tempfile::tempdir().unwrap();
    assert_conforms(&embedded(&folder)).await;
}

#[tokio::test(start_paused = true)]
async fn the_mock_engine_conforms() {
    let engine = MockEngine::new();
    engine.set_abilities("db", [Ability::Pause]);
    assert_conforms(&engine).await;
}

#[tokio::test]
async fn an_app_that_cannot_start_is_removed_and_the_old_one_keeps_serving() {
    let folder = tempfile::tempdir().unwrap();
    let engine = embedded(&folder);
    engine.up(&request(), no_progress()).await.unwrap();
    let before = engine.describe().await.unwrap();
    for (variable, value) in [("DATABASE_URL", "nonsense"), ("DATABASE_URL", "sqlite:/nowhere/at/all/users.db")] {
        let error = engine.reconcile(APP, &ServiceChange::env(variable, value)).await.unwrap_err();
        assert_eq!(error.service.as_deref(), Some(APP), "{error}");
        assert!(matches!(error.kind, EngineErrorKind::Exited | EngineErrorKind::Unhealthy), "{error}");
        let after = engine.describe().await.unwrap();
        assert_eq!(after.service(APP), before.service(APP), "{error}");
    }
    engine.down().await.unwrap();
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    use futures_util::StreamExt;
    let folder = tempfile::tempdir().unwrap();
    let engine = embedded(&folder);
    engine.up(&request(), no_progress()).await.unwrap();
    let app = LogRequest { services: vec![APP.to_owned()], ..LogRequest::default() };
    let past: Vec<_> = engine.logs(&app).await.unwrap().collect().await;
    assert!(past[0].as_ref().unwrap().text.starts_with("ready 127.0.0.1:"), "{past:?}");
    let mut followed = engine.logs(&LogRequest { follow: true, tail: Some(0), ..app.clone() }).await.unwrap();
    engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let fresh = tokio::time::timeout(crate::support::TIMEOUT, followed.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(fresh.service, APP);
    engine.down().await.unwrap();
    // The stream ends with the host.
    let rest = tokio::time::timeout(crate::support::TIMEOUT, followed.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the stream does not end with the host");
}
