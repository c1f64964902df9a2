//! Keys stored for a lab: what its callers send and what its server expects. A change of the server key is announced in
//! the record before it is made and confirmed afterwards, so that neither a full disk nor a SIGKILL leaves a record
//! that contradicts the server.

use super::{Lab, LabError, Record};
use lab_core::engine::{Engine, EngineError, EngineErrorKind, Reconciliation, ServiceChange};

/// Error of [`Lab::reconcile`].
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The record could not be written, so nothing was changed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The engine could not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Lab {
    /// Key that callers send as `X-API-Key`, except for named callers with their own key.
    pub fn caller_key(&self) -> Result<String, LabError> {
        Ok(self.existing()?.caller_key)
    }

    /// Stores the caller key.
    pub fn set_caller_key(&self, key: &str) -> Result<(), LabError> {
        let record = self.existing()?;
        self.save(&Record { caller_key: key.to_owned(), ..record })
    }

    /// Stores the key of a named caller; `None` removes the caller.
    pub fn set_named_key(&self, caller: &str, key: Option<&str>) -> Result<(), LabError> {
        let mut record = self.existing()?;
        match key {
            Some(key) => record.callers.insert(caller.to_owned(), key.to_owned()),
            None => record.callers.remove(caller),
        };
        self.save(&record)
    }

    /// Stores the current server key, which is used if the server has to be recreated, and completes an announced
    /// change.
    pub fn set_server_key(&self, key: &str) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.server_key.as_deref() == Some(key) && record.next_server_key.is_none() {
            return Ok(());
        }
        self.save(&Record { server_key: Some(key.to_owned()), next_server_key: None, ..record })
    }

    /// Changes a service under the change lock. If the server key changes, the record announces the new key first;
    /// [`Lab::settle_server_key`] later resolves an interrupted change.
    pub async fn reconcile(
        &self,
        engine: &dyn Engine,
        service: &str,
        change: &ServiceChange,
    ) -> Result<Reconciliation, ChangeError> {
        let Some(key) = change.server_key(service, &engine.roles()) else {
            return Ok(engine.reconcile(service, change).await?);
        };
        let record = self.existing()?;
        if record.expected_server_key() != Some(key) {
            self.save(&Record { next_server_key: Some(key.to_owned()), ..record })?;
        }
        match engine.reconcile(service, change).await {
            Ok(ensured) => {
                // If this fails, the announced key remains valid.
                let _ = self.set_server_key(key);
                Ok(ensured)
            }
            Err(error) => {
                // The engine error matters more; a later command settles a remaining announcement.
                let _ = if is_rolled_back(error.kind) { self.withdraw() } else { Ok(()) };
                Err(error.into())
            }
        }
    }

    /// Removes the announcement of a key change that was not made.
    fn withdraw(&self) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.next_server_key.is_none() {
            return Ok(());
        }
        self.save(&Record { next_server_key: None, ..record })
    }

    /// Aligns the record with the server after an interrupted key change, under the change lock. Does nothing if the
    /// server is not reachable.
    pub async fn settle_server_key(&self, engine: &dyn Engine) -> Result<(), LabError> {
        if self.existing()?.next_server_key.is_none() {
            return Ok(());
        }
        let roles = engine.roles();
        // An empty change waits for the interrupted one, which an engine may still be applying, or completes its
        // rollback.
        if engine.reconcile(&roles.app, &ServiceChange::default()).await.is_err() {
            return Ok(());
        }
        let env = engine.env(&roles.app).await.unwrap_or_default();
        env.get(&roles.key_variable).map_or(Ok(()), |key| self.set_server_key(key))
    }
}

/// Returns whether the service itself failed, in which case the previous instance keeps serving.
fn is_rolled_back(kind: EngineErrorKind) -> bool {
    matches!(kind, EngineErrorKind::Exited | EngineErrorKind::Unhealthy | EngineErrorKind::StartupTimeout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lab::StateFolder;
    use lab_core::engine::{APP, KEY_VARIABLE};
    use lab_testkit::engine::{MockEngine, Script};

    fn lab() -> (tempfile::TempDir, Lab) {
        let folder = tempfile::tempdir().unwrap();
        let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
        lab.save(&Record { server_key: Some("v1".to_owned()), ..Record::new("mock", 0) }).unwrap();
        (folder, lab)
    }

    fn keys(lab: &Lab) -> (Option<String>, Option<String>) {
        let record = lab.existing().unwrap();
        (record.server_key, record.next_server_key)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_never_confirmed_is_settled_by_what_the_server_has() {
        for (made, expected) in [(true, "v2"), (false, "v1")] {
            let (_folder, lab) = lab();
            let engine = Arc::new(MockEngine::running("v1"));
            engine.script(APP, Script::Slow(std::time::Duration::from_hours(1)));
            let change = ServiceChange::env(KEY_VARIABLE, "v2");
            // Dropped half way, as by a SIGKILL.
            let cut = tokio::time::timeout(std::time::Duration::from_secs(1), lab.reconcile(&*engine, APP, &change));
            assert!(cut.await.is_err());
            assert_eq!(keys(&lab), (Some("v1".to_owned()), Some("v2".to_owned())), "announced");
            assert_eq!(lab.existing().unwrap().expected_server_key(), Some("v2"));
            if made {
                engine.reconcile(APP, &change).await.unwrap();
            }
            lab.settle_server_key(&*engine).await.unwrap();
            assert_eq!(keys(&lab), (Some(expected.to_owned()), None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_rolled_back_is_announced_no_more() {
        let (_folder, lab) = lab();
        let engine = MockEngine::running("v1");
        engine.script(APP, Script::NeverHealthy);
        let change = ServiceChange::env(KEY_VARIABLE, "v2");
        assert!(matches!(lab.reconcile(&engine, APP, &change).await, Err(ChangeError::Engine(_))));
        assert_eq!(keys(&lab), (Some("v1".to_owned()), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_cannot_be_written_keeps_the_server_as_it_is() {
        let (_folder, lab) = lab();
        let engine = MockEngine::running("v1");
        std::fs::write(lab.folder().path("lab.json"), "{").unwrap();
        let change = ServiceChange::env(KEY_VARIABLE, "v2");
        assert!(matches!(lab.reconcile(&engine, APP, &change).await, Err(ChangeError::Lab(_))));
        assert_eq!(engine.describe().await.unwrap().server_key(), Some("v1"));
    }
}
