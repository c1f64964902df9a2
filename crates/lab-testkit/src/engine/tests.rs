//! The mock follows the contract of the engines and the table of faults.

use std::sync::Arc;

use super::*;
use lab_core::engine::{APP, DB, GATEWAY, KEY_VARIABLE};

const V1: &str = "apikey-v1";

#[tokio::test(start_paused = true)]
async fn each_fault_has_the_documented_symptom() {
    let cases = [
        (GATEWAY, RunState::Stopped, Err(Reply::Refused)),
        (GATEWAY, RunState::Paused, Err(Reply::Silence)),
        (APP, RunState::Stopped, Ok(502)),
        (APP, RunState::Paused, Ok(504)),
        (DB, RunState::Stopped, Ok(503)),
        (DB, RunState::Paused, Ok(503)),
    ];
    let seen = async |engine: &MockEngine| {
        let reply = engine.request("/api/users", Some(V1)).await;
        reply.status().ok_or(reply)
    };
    for (service, state, reply) in cases {
        let engine = MockEngine::running(V1);
        assert!(engine.reconcile(service, &ServiceChange::run(state)).await.unwrap().changed);
        assert_eq!(seen(&engine).await, reply, "{service} {state:?}");
        assert!(!engine.reconcile(service, &ServiceChange::run(state)).await.unwrap().changed);
        engine.reconcile(service, &ServiceChange::run(RunState::Running)).await.unwrap();
        assert_eq!(seen(&engine).await, Ok(200), "{service} {state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redeploy_is_a_new_instance_that_counts_from_zero() {
    let engine = MockEngine::running(V1);
    assert_eq!(engine.request("/api/users", Some(V1)).await.status(), Some(200));
    assert_eq!(engine.request("/api/users", None).await.status(), Some(401));
    let redeployed = engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    assert_eq!(redeployed.retired[0].instance, "app-1");
    let last = redeployed.retired[0].exposition.as_deref().unwrap();
    assert!(last.contains("app_requests_total 2\n") && last.contains("app_auth_failures_total 1\n"), "{last}");
    assert_eq!(engine.request("/api/users", Some(V1)).await.status(), Some(401));
    assert_eq!(engine.exposition("app-1"), None);
    assert!(engine.exposition("app-2").unwrap().contains("app_requests_total 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_redeploy_without_the_database_never_becomes_healthy() {
    let engine = MockEngine::running(V1);
    engine.reconcile(DB, &ServiceChange::run(RunState::Paused)).await.unwrap();
    let error = engine.reconcile(APP, &ServiceChange::env("A", "1")).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::StartupTimeout);
    assert_eq!(engine.describe().await.unwrap().service(APP).unwrap().instance.as_deref(), Some("app-1"));
}

#[tokio::test(start_paused = true)]
async fn a_change_continues_after_its_caller_has_given_up() {
    let engine = MockEngine::running(V1);
    let change = ServiceChange::env(KEY_VARIABLE, "apikey-v2");
    let waited = tokio::time::timeout(Duration::from_millis(10), engine.reconcile(APP, &change)).await;
    assert!(waited.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(engine.describe().await.unwrap().server_key(), Some("apikey-v2"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_stack_keeps_its_environment_and_down_removes_it() {
    let engine = MockEngine::new();
    assert_eq!(engine.describe().await.unwrap_err().kind, EngineErrorKind::NotUp);
    engine.up(&UpRequest::default(), Arc::new(|_| {})).await.unwrap();
    engine.reconcile(APP, &ServiceChange::env("A", "1")).await.unwrap();
    engine.reconcile(DB, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    let before = engine.state();
    engine.lose();
    assert_eq!(engine.reconcile(APP, &ServiceChange::default()).await.unwrap_err().kind, EngineErrorKind::Lost);
    engine.up(&UpRequest::default(), Arc::new(|_| {})).await.unwrap();
    assert_eq!(engine.state()[APP], before[APP]);
    assert_eq!(engine.state()[DB].0, RunState::Running);
    engine.down().await.unwrap();
    engine.down().await.unwrap();
    assert!(!engine.is_up());
}

#[tokio::test(start_paused = true)]
async fn scripts_apply_in_order() {
    let engine = MockEngine::running(V1);
    let error = EngineError::new(EngineErrorKind::System, "busy");
    engine.script(APP, Script::Fail(error.clone()));
    engine.script(APP, Script::FailAfter(error.clone()));
    let change = ServiceChange::env("A", "1");
    assert_eq!(engine.reconcile(APP, &change).await.unwrap_err(), error);
    assert!(!engine.state()[APP].1.contains_key("A"));
    assert_eq!(engine.reconcile(APP, &change).await.unwrap_err(), error);
    assert!(engine.state()[APP].1.contains_key("A"));
    assert!(!engine.reconcile(APP, &change).await.unwrap().changed);
    assert_eq!(engine.calls(), ["reconcile app A=1"; 3]);
}
