//! `lab reset`: takes a lab back to how it was first brought up, without taking it down. The intention is on disk first,
//! and every step can be repeated, so that a reset that was killed is finished by the next one or by `lab recover`.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::revisions::{Author, CALLERS, Revisions, State};
use super::startup::start_if_down;
use super::{ChangeError, FIRST_KEY, Lab, LabError, folder_error};
use crate::undo::{self, UndoError};
use lab_core::engine::{Engine, Roles, RunState, ServiceChange, ServiceSpec};
use lab_system::files;

/// Marker of a reset that is not complete.
const FILE: &str = "reset.json";

/// Contents of the marker.
#[derive(Serialize, Deserialize)]
struct Marker {
    version: u32,
    at: DateTime<Utc>,
}

/// Error of a reset. It is not complete and can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// A service could not be restored, or a file could not be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The undo log could not be removed.
    #[error(transparent)]
    Undo(#[from] UndoError),
}

impl From<LabError> for ResetError {
    fn from(error: LabError) -> Self {
        Self::Change(error.into())
    }
}

impl From<lab_core::engine::EngineError> for ResetError {
    fn from(error: lab_core::engine::EngineError) -> Self {
        Self::Change(error.into())
    }
}

impl Lab {
    /// Returns whether a reset of the lab was interrupted.
    pub fn is_reset_pending(&self) -> bool {
        self.folder.path(FILE).exists()
    }

    /// Restores the state of the first `lab up`: keys, environments, run states and data. Removes later revisions and kept
    /// undo logs. Starts the stack if it is down. The caller holds the run lock and the change lock.
    pub async fn reset(&self, engine: &Arc<dyn Engine>) -> Result<(), ResetError> {
        let firsts = self.revisions()?.firsts();
        let marker = self.folder.path(FILE);
        self.folder
            .write_json(FILE, &Marker { version: 1, at: Utc::now() })
            .map_err(|source| folder_error(&marker, source))?;
        self.settle_before_reset(engine, &firsts).await?;
        self.restore(engine.as_ref(), &firsts).await?;
        let callers = firsts.first(CALLERS).map(|first| first.state.clone());
        self.change_callers(&Author::Reset, |record| {
            record.callers.clear();
            FIRST_KEY.clone_into(&mut record.caller_key);
            if let Some(state) = &callers {
                super::changes::set_callers(record, state);
            }
        })?;
        self.history()?.rewrite(firsts)?;
        undo::forget(self)?;
        let removed = std::fs::remove_file(&marker).and_then(|()| files::sync_folder(self.folder.root()));
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(folder_error(&marker, source).into()),
            _ => Ok(()),
        }
    }

    /// Starts the stack if it is down, and waits for an interrupted change.
    async fn settle_before_reset(&self, engine: &Arc<dyn Engine>, firsts: &Revisions) -> Result<(), ResetError> {
        let Roles { app, key_variable, .. } = engine.roles();
        let first = firsts.first(&app).and_then(|first| first.state.env.get(&key_variable).cloned());
        let key = first.unwrap_or_else(|| FIRST_KEY.to_owned());
        let env = [(app, [(key_variable, key)].into())].into();
        start_if_down(engine.as_ref(), &self.existing()?, env).await?;
        Ok(self.settle(engine.as_ref()).await?)
    }

    /// Restores the services: the database first, because the app cannot start without it.
    async fn restore(&self, engine: &dyn Engine, firsts: &Revisions) -> Result<(), ResetError> {
        let Roles { app, db, .. } = engine.roles();
        let services = engine.services();
        let can_stop =
            |spec: &&ServiceSpec| spec.name == app && spec.abilities.contains(&lab_core::engine::Ability::Stop);
        if services.iter().any(|spec| can_stop(&spec)) {
            self.apply_reset(engine, &app, ServiceChange::run(RunState::Stopped)).await?;
        }
        self.restore_service(engine, &db, firsts).await?;
        engine.reset_data().await?;
        self.restore_service(engine, &app, firsts).await?;
        for spec in services.iter().filter(|spec| spec.name != app && spec.name != db) {
            self.restore_service(engine, &spec.name, firsts).await?;
        }
        Ok(())
    }

    async fn restore_service(&self, engine: &dyn Engine, service: &str, firsts: &Revisions) -> Result<(), ResetError> {
        let now = engine.describe().await?;
        // A service that the lab does without, such as Grafana.
        let Some(observed) = now.service(service).map(State::observed) else { return Ok(()) };
        let target = firsts
            .first(service)
            .map_or_else(|| State { run: RunState::Running, ..observed.clone() }, |first| first.state.clone());
        self.apply_reset(engine, service, target.change_from(&observed)).await
    }

    async fn apply_reset(&self, engine: &dyn Engine, service: &str, change: ServiceChange) -> Result<(), ResetError> {
        if change != ServiceChange::default() {
            self.reconcile(engine, service, &[change], &Author::Reset).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::mock_lab;
    use crate::undo::{Before, UndoLog, pending};
    use lab_core::engine::{APP, DB, EngineError, EngineErrorKind, GATEWAY, KEY_VARIABLE};
    use lab_testkit::engine::{MockEngine, Script};

    /// Changes everything that a reset restores.
    async fn change_everything(lab: &Lab, engine: &MockEngine) {
        let by = Author::Run { run: "x-7f3a".to_owned() };
        let mut log = UndoLog::begin(lab, "x-7f3a", "rotate-key").unwrap();
        log.record(Before::CallerKey { key: "apikey-v1".to_owned() }).unwrap();
        log.keep().unwrap();
        let mut key = ServiceChange::env(KEY_VARIABLE, "apikey-v2");
        key.env.insert("APP_DB_POOL".to_owned(), Some("3".to_owned()));
        lab.reconcile(engine, APP, &[key], &by).await.unwrap();
        lab.reconcile(engine, GATEWAY, &[ServiceChange::run(RunState::Stopped)], &by).await.unwrap();
        lab.reconcile(engine, DB, &[ServiceChange::run(RunState::Paused)], &by).await.unwrap();
        lab.set_caller_key("apikey-v3", &by).unwrap();
        lab.set_named_key("web", Some("apikey-v4"), &by).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_as_it_was_first() {
        let (_folder, lab, engine) = mock_lab("apikey-v1").await;
        let (state, record, revisions) = (engine.state(), lab.existing().unwrap(), lab.revisions().unwrap());
        change_everything(&lab, &engine).await;
        let shared: Arc<dyn Engine> = Arc::new(engine.clone());
        lab.reset(&shared).await.unwrap();
        assert_eq!((engine.state(), lab.existing().unwrap()), (state, record));
        assert_eq!(lab.revisions().unwrap(), revisions);
        assert!(pending(&lab).unwrap().is_none() && !lab.is_reset_pending());
        assert!(engine.calls().contains(&"reset_data".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_that_fails_at_any_step_is_finished_by_the_next_one() {
        for step in 0..4 {
            let (_folder, lab, engine) = mock_lab("apikey-v1").await;
            let (state, record) = (engine.state(), lab.existing().unwrap());
            change_everything(&lab, &engine).await;
            let broken = EngineError::new(EngineErrorKind::System, "busy");
            let service = [APP, DB, "reset_data", GATEWAY][step];
            engine.script(service, Script::Fail(broken));
            let shared: Arc<dyn Engine> = Arc::new(engine.clone());
            assert!(lab.reset(&shared).await.is_err(), "{service}");
            assert!(lab.is_reset_pending());
            lab.reset(&shared).await.unwrap();
            assert_eq!((engine.state(), lab.existing().unwrap()), (state, record), "{service}");
            assert!(!lab.is_reset_pending());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_temporary_lab_is_still_removed_by_recover() {
        let (_folder, lab, engine) = mock_lab("apikey-v1").await;
        undo::record_new_lab(&lab, "x-7f3a", "rotate-key").unwrap();
        change_everything(&lab, &engine).await;
        let shared: Arc<dyn Engine> = Arc::new(engine.clone());
        lab.reset(&shared).await.unwrap();
        let left = pending(&lab).unwrap().unwrap();
        assert_eq!((left.records, left.kept), (vec![Before::NoLab], true));
    }
}
