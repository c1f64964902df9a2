//! Conformance suite of engines, written against the trait only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lab_core::engine::{
    APP, Ability, Engine, EngineErrorKind, Health, KEY_VARIABLE, ProgressFn, RunState, ServiceChange, UpRequest,
};

/// Ignores all progress.
pub(crate) fn no_progress() -> ProgressFn {
    Arc::new(|_| {})
}

/// Request for a new lab on a free port.
pub(crate) fn request() -> UpRequest {
    let app = BTreeMap::from([(KEY_VARIABLE.to_owned(), "apikey-v1".to_owned())]);
    UpRequest { gateway_port: 0, env: BTreeMap::from([(APP.to_owned(), app)]), tied: false }
}

/// Runs the whole suite. The lab must be down; it is down again afterwards.
pub(crate) async fn assert_conforms(engine: &dyn Engine) {
    up_is_idempotent(engine).await;
    rotates_the_key(engine).await;
    for service in engine.services() {
        for ability in &service.abilities {
            changes_and_reverts(engine, &service.name, *ability).await;
        }
        refuses_missing_abilities(engine, &service.name, &service.abilities).await;
    }
    down_is_idempotent(engine).await;
}

async fn up_is_idempotent(engine: &dyn Engine) {
    assert_eq!(engine.describe().await.unwrap_err().kind, EngineErrorKind::NotUp);
    let up = engine.up(&request(), no_progress()).await.unwrap();
    assert_eq!(up.server_key(), Some("apikey-v1"));
    let gateway = &up.endpoints.gateway;
    assert!(gateway.contains("://") && !gateway.ends_with('/'), "{gateway}");
    assert_eq!(up.endpoints.metrics.len(), 1);
    for service in &up.services {
        assert_eq!((service.state, service.health), (RunState::Running, Health::Healthy), "{service:?}");
    }
    let named: BTreeSet<&str> = up.services.iter().map(|service| service.name.as_str()).collect();
    let known = engine.services();
    assert_eq!(named, known.iter().map(|service| service.name.as_str()).collect());
    // A second `up` changes nothing.
    let again = engine.up(&request(), no_progress()).await.unwrap();
    assert_eq!(again.service(APP).unwrap().instance, up.service(APP).unwrap().instance);
    assert_eq!(again.endpoints, up.endpoints);
}

async fn rotates_the_key(engine: &dyn Engine) {
    let before = engine.describe().await.unwrap();
    let change = ServiceChange::env(KEY_VARIABLE, "apikey-v2");
    let inverse = change.before(before.service(APP).unwrap());
    let outcome = engine.reconcile(APP, &change).await.unwrap();
    assert!(outcome.changed);
    let retired = &outcome.retired[0];
    assert_eq!(Some(&retired.instance), before.service(APP).unwrap().instance.as_ref());
    assert!(retired.exposition.as_ref().unwrap().contains("app_requests_total"), "{retired:?}");
    let after = engine.describe().await.unwrap();
    assert_eq!(after.server_key(), Some("apikey-v2"));
    assert_ne!(after.service(APP).unwrap().instance, before.service(APP).unwrap().instance);
    assert_eq!(after.endpoints.gateway, before.endpoints.gateway, "the lab keeps its address");
    assert!(!engine.reconcile(APP, &change).await.unwrap().changed, "a repeated change has no effect");
    assert!(engine.reconcile(APP, &inverse).await.unwrap().changed);
    assert_eq!(engine.describe().await.unwrap().server_key(), Some("apikey-v1"));
}

/// Makes a change, repeats it and reverts it. The service then has its previous state.
async fn changes_and_reverts(engine: &dyn Engine, service: &str, ability: Ability) {
    let (change, state) = match ability {
        Ability::SetEnv => (ServiceChange::env("LAB_CONFORMANCE", "1"), RunState::Running),
        Ability::Stop => (ServiceChange::run(RunState::Stopped), RunState::Stopped),
        Ability::Kill => (ServiceChange::kill(), RunState::Stopped),
        Ability::Pause => (ServiceChange::run(RunState::Paused), RunState::Paused),
    };
    let what = format!("{} of {service}", ability.name());
    let before = engine.describe().await.unwrap();
    let inverse = change.before(before.service(service).unwrap());
    let outcome = engine.reconcile(service, &change).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(outcome.changed, "{what}");
    let during = engine.describe().await.unwrap();
    assert_eq!(during.service(service).unwrap().state, state, "{what}");
    assert!(change.is_met_by(during.service(service).unwrap()), "{what}");
    if service == APP && state == RunState::Stopped {
        assert!(during.endpoints.metrics.is_empty(), "{what}: no instance serves metrics");
    }
    assert!(!engine.reconcile(service, &change).await.unwrap().changed, "{what}, repeated");
    engine.reconcile(service, &inverse).await.unwrap_or_else(|error| panic!("{what}, reverted: {error}"));
    let after = engine.describe().await.unwrap();
    let (was, is) = (before.service(service).unwrap(), after.service(service).unwrap());
    assert_eq!((is.state, is.health, &is.env), (was.state, was.health, &was.env), "{what}, reverted");
    assert_eq!(after.endpoints.gateway, before.endpoints.gateway, "{what}, reverted");
}

async fn refuses_missing_abilities(engine: &dyn Engine, service: &str, abilities: &BTreeSet<Ability>) {
    let changes = [
        (Ability::SetEnv, ServiceChange::env("LAB_CONFORMANCE", "1")),
        (Ability::Stop, ServiceChange::run(RunState::Stopped)),
        (Ability::Kill, ServiceChange::kill()),
        (Ability::Pause, ServiceChange::run(RunState::Paused)),
    ];
    for (_, change) in changes.into_iter().filter(|(ability, _)| !abilities.contains(ability)) {
        let error = engine.reconcile(service, &change).await.unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Unsupported, "{service}: {error}");
    }
    let error = engine.reconcile("nobody", &ServiceChange::env("LAB_CONFORMANCE", "1")).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Unsupported, "{error}");
}

async fn down_is_idempotent(engine: &dyn Engine) {
    engine.reconcile(APP, &ServiceChange::run(RunState::Paused)).await.unwrap();
    engine.down().await.unwrap();
    engine.down().await.unwrap();
    assert_eq!(engine.describe().await.unwrap_err().kind, EngineErrorKind::NotUp);
}
