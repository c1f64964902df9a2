//! Prepares a lab for a drill: records its state for the restore, gives the scenario's callers their keys, and makes a few
//! harmless changes, so that the fault is not the only thing that changed.

use std::sync::Arc;

use super::wire::ProbeWire;
use super::{DrillError, HOLDER, data, inject};
use crate::lab::Lab;
use crate::lab::revisions::{Author, State};
use crate::lab::startup::{Environment, start_if_down};
use crate::runner::{ChangeAs, Checks, Interrupt, register_callers};
use crate::undo::{Before, UndoLog};
use lab_core::engine::{Ability, Engine, Roles, RunState, ServiceChange, ServiceSpec, ServiceStatus, Settings};
use lab_drill::choice::Secret;
use lab_scenario::Plan;
use lab_scenario::plan::{Action, Step};
use lab_telemetry::wire::Wire;

/// Changes without a noticeable effect: service by role, variable, and values other than the default.
const DECOYS: [(Role, &str, &[&str]); 5] = [
    (Role::App, "APP_DB_POOL", &["5", "6"]),
    (Role::App, "APP_RATE_LIMIT", &["400/s", "500/s", "600/s"]),
    (Role::App, "APP_DB_POOL_TIMEOUT", &["550ms", "600ms"]),
    (Role::Gateway, "GATEWAY_MAX_BODY", &["2m", "4m"]),
    (Role::Gateway, "GATEWAY_HEADER_TIMEOUT", &["75s", "90s"]),
];

/// Variable without a meaning for any service.
const RELEASE: &str = "RELEASE";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    App,
    Gateway,
}

/// Prepares the lab. Can be repeated, if it was interrupted. `id` is the drill.
///
/// # Errors
/// If the lab cannot be observed or changed.
pub async fn prepare(
    lab: &Lab,
    engine: &Arc<dyn Engine>,
    wire: &Arc<dyn Wire>,
    plan: &Plan,
    (id, secret): (&str, &Secret),
) -> Result<(), DrillError> {
    let author = Author::Drill { drill: id.to_owned() };
    record_start(lab, engine.as_ref(), id).await?;
    data::save(lab, engine.as_ref(), id).await?;
    let probes: Arc<dyn Wire> = Arc::new(ProbeWire(Arc::clone(wire)));
    let checks = Checks { lab: lab.clone(), engine: Arc::clone(engine), wire: probes, interrupt: Interrupt::new() };
    let undo = UndoLog::begin(lab, id, HOLDER)?;
    let change = ChangeAs { undo, holder: HOLDER.to_owned(), author: author.clone() };
    register_callers(checks, plan, change).await?;
    inject::prepare(lab, engine, wire, plan, id).await?;
    // Optional services are missing if their image is.
    let now = engine.describe().await?;
    let is_present = |spec: &ServiceSpec| now.service(&spec.name).is_some_and(|service| service.instance.is_some());
    let present: Vec<ServiceSpec> = engine.services().into_iter().filter(is_present).collect();
    for (service, change) in harmless_changes(plan, &present, &engine.roles(), secret) {
        let _lock = lab.lock_change(HOLDER).await?;
        let changed = lab.reconcile(engine.as_ref(), &service, &[change], &author).await;
        changed.map_err(|source| DrillError::Redeploy { service, source })?;
    }
    Ok(())
}

/// Starts the stack if it is down, with the states that its services had last: a crash of the stack is no fix.
///
/// # Errors
/// If the stack does not start.
pub async fn revive(lab: &Lab, engine: &dyn Engine) -> Result<(), DrillError> {
    match engine.describe().await {
        Err(error) if error.kind.is_down() => {}
        described => return Ok(described.map(drop)?),
    }
    let _lock = lab.lock_change(HOLDER).await?;
    start_if_down(engine, &lab.existing()?, Environment::new()).await?;
    let (now, revisions) = (engine.describe().await?, lab.revisions()?);
    for service in &now.services {
        let Some(current) = revisions.current(&service.name) else { continue };
        let change = current.state.change_from(&State::observed(service));
        if change != ServiceChange::default() {
            engine.reconcile(&service.name, &change).await?;
        }
    }
    Ok(())
}

/// Records everything that a drill, or its participant, may change, before anything is changed. So the undo log has the same
/// content for every incident.
async fn record_start(lab: &Lab, engine: &dyn Engine, id: &str) -> Result<(), DrillError> {
    let _lock = lab.lock_change(HOLDER).await?;
    let mut log = UndoLog::begin(lab, id, HOLDER)?;
    let record = lab.existing()?;
    let now = engine.describe().await?;
    let services = engine.services().into_iter().filter_map(|spec| Some(before(&spec, now.service(&spec.name)?)));
    let named = record.callers.iter().map(|(name, key)| Before::Caller { name: name.clone(), key: Some(key.clone()) });
    let caller = Before::CallerKey { key: record.caller_key.clone() };
    let all: Vec<Before> = services.chain([caller]).chain(named).collect();
    for before in all {
        // Those of an earlier attempt are older.
        if !log.records().iter().any(|known| is_same_target(known, &before)) {
            log.record(before)?;
        }
    }
    Ok(())
}

/// State of a service with all variables that may be changed.
fn before(spec: &ServiceSpec, now: &ServiceStatus) -> Before {
    let names: Vec<String> = match &spec.settings {
        Settings::Open => now.env.keys().cloned().collect(),
        Settings::Only(names) => names.clone(),
    };
    let env = names.into_iter().map(|name| (name.clone(), now.env.get(&name).cloned())).collect();
    let state = ServiceChange { env, run: Some(now.state), abrupt: false };
    Before::Service { service: spec.name.clone(), state }
}

fn is_same_target(one: &Before, other: &Before) -> bool {
    match (one, other) {
        (Before::Service { service: one, .. }, Before::Service { service: other, .. })
        | (Before::Caller { name: one, .. }, Before::Caller { name: other, .. }) => one == other,
        (Before::CallerKey { .. }, Before::CallerKey { .. }) | (Before::NoLab, Before::NoLab) => true,
        _ => false,
    }
}

/// Decoys, and another release of every service that is a container: so neither its age nor its environment points at the fault.
fn harmless_changes(
    plan: &Plan,
    services: &[ServiceSpec],
    roles: &Roles,
    secret: &Secret,
) -> Vec<(String, ServiceChange)> {
    let mut changes = decoys(plan, services, roles, secret);
    let release = format!("{}.{}", 2026 + secret.draw("release year") % 2, 1 + secret.draw("release") % 50);
    let is_container =
        |spec: &&ServiceSpec| spec.settings == Settings::Open && spec.abilities.contains(&Ability::SetEnv);
    for spec in services.iter().filter(is_container) {
        let change = ServiceChange::env(RELEASE, &release);
        match changes.iter_mut().find(|(service, _)| *service == spec.name) {
            Some((_, decoy)) => decoy.env.extend(change.env),
            None => changes.push((spec.name.clone(), change)),
        }
    }
    changes
}

/// One harmless change each of the app and of the gateway, drawn by the secret, in variables that the scenario does not
/// mention.
fn decoys(plan: &Plan, services: &[ServiceSpec], roles: &Roles, secret: &Secret) -> Vec<(String, ServiceChange)> {
    let choose = |(role, service, purpose): (Role, &String, &str)| {
        let spec = services.iter().find(|spec| spec.name == *service)?;
        let may_set = |name: &str| match &spec.settings {
            Settings::Open => true,
            Settings::Only(names) => names.iter().any(|known| known == name),
        };
        let suits = |(own, name, _): &&(Role, &str, &[&str])| *own == role && may_set(name) && !mentions(plan, name);
        let candidates: Vec<_> = DECOYS.iter().filter(suits).collect();
        let (_, name, values) = candidates.get(secret.index(purpose, candidates.len())?)?;
        let value = values.get(secret.index(&format!("{purpose} value"), values.len())?)?;
        Some((service.clone(), ServiceChange::env(name, value)))
    };
    let both = [(Role::App, &roles.app, "decoy app"), (Role::Gateway, &roles.gateway, "decoy gateway")];
    both.into_iter().filter_map(choose).collect()
}

/// Whether a step of the scenario, of its checks or of its fixes sets a variable of this family, or a text names it.
fn mentions(plan: &Plan, name: &str) -> bool {
    let claims = &plan.claims;
    let fixes = claims.wrong_fixes.iter().flat_map(|fix| &fix.steps);
    let mut steps = plan.steps.iter().chain(&plan.finally).chain(&claims.resolved_check).chain(fixes);
    let sets = |step: &Step| match &step.action {
        Action::Change(change) => {
            change.change.env.keys().any(|other| other.starts_with(name) || name.starts_with(other))
        }
        _ => false,
    };
    let texts = plan.lesson.solution.iter().chain(&plan.lesson.lessons).chain([&plan.description]);
    steps.any(sets) || texts.into_iter().any(|text| text.contains(name))
}

/// Whether a service is expected to run: it did at the start.
pub(super) fn ran_at_start(records: &[Before], service: &str) -> bool {
    records.iter().any(|before| match before {
        Before::Service { service: known, state } => known == service && state.run == Some(RunState::Running),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Record, StateFolder};
    use crate::undo::pending;
    use lab_core::engine::{APP, GATEWAY};
    use lab_scenario::{LoadOptions, Source, library, load};
    use lab_testkit::engine::MockEngine;

    fn plan(name: &str) -> Plan {
        load(&Source::Library(name.to_owned()), &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
    }

    #[test]
    fn every_scenario_has_decoys_that_differ_from_its_fault() {
        let engine = MockEngine::running("apikey-v1");
        let mut drawn = std::collections::BTreeSet::new();
        for name in library::names() {
            let plan = plan(name);
            for seed in 0..20 {
                let decoys = decoys(&plan, &engine.services(), &engine.roles(), &Secret::from_seed(seed));
                assert!(!decoys.is_empty(), "{name}");
                for (_, change) in &decoys {
                    let variable = change.env.keys().next().unwrap();
                    assert!(!mentions(&plan, variable), "{name}: {variable}");
                    drawn.insert(variable.clone());
                }
            }
        }
        assert_eq!(drawn.len(), DECOYS.len(), "{drawn:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_at_the_start_is_recorded_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
        lab.save(&Record::new("mock", 0)).unwrap();
        let engine = MockEngine::running("apikey-v1");
        record_start(&lab, &engine, "x-7f3a").await.unwrap();
        let first = pending(&lab).unwrap().unwrap().records;
        engine.reconcile(APP, &ServiceChange::run(RunState::Stopped)).await.unwrap();
        record_start(&lab, &engine, "x-7f3a").await.unwrap();
        assert_eq!(pending(&lab).unwrap().unwrap().records, first);
        assert!(ran_at_start(&first, APP) && ran_at_start(&first, GATEWAY) && !ran_at_start(&first, "other"));
    }
}
