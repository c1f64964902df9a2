//! The keys that a lab remembers: what its callers send, and what its server expects. A change of the server's key is
//! announced in the record before it is made and confirmed after, so that neither a full disk nor a SIGKILL leaves a record
//! that contradicts the server.

use super::{Lab, LabError, Record};
use lab_core::engine::{Engine, EngineError, EngineErrorKind, Reconciliation, ServiceChange};

/// Why a service could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The record cannot be written, so nothing was changed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The engine's own reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Lab {
    /// The key that callers send as `X-API-Key`, unless a scenario gave them one of their own.
    pub fn caller_key(&self) -> Result<String, LabError> {
        Ok(self.existing()?.caller_key)
    }

    /// Remembers another key for the caller.
    pub fn set_caller_key(&self, key: &str) -> Result<(), LabError> {
        let record = self.existing()?;
        self.save(&Record { caller_key: key.to_owned(), ..record })
    }

    /// Remembers another key for a caller of a scenario; none: there is no such caller any more.
    pub fn set_named_key(&self, caller: &str, key: Option<&str>) -> Result<(), LabError> {
        let mut record = self.existing()?;
        match key {
            Some(key) => record.callers.insert(caller.to_owned(), key.to_owned()),
            None => record.callers.remove(caller),
        };
        self.save(&record)
    }

    /// Remembers the key that the server has now, with which it is made again if nothing of it is left. A change that was
    /// announced is over.
    pub fn set_server_key(&self, key: &str) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.server_key.as_deref() == Some(key) && record.next_server_key.is_none() {
            return Ok(());
        }
        self.save(&Record { server_key: Some(key.to_owned()), next_server_key: None, ..record })
    }

    /// Changes a service, under the change lock. If that gives the server another key, the record names that key before the
    /// change; how an interrupted change ended is found out later, by [`Lab::settle_server_key`].
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
                // If this cannot be written, what was announced holds.
                let _ = self.set_server_key(key);
                Ok(ensured)
            }
            Err(error) => {
                // The engine's error is what matters; an announcement that stays is settled by a later command.
                let _ = if is_rolled_back(error.kind) { self.withdraw() } else { Ok(()) };
                Err(error.into())
            }
        }
    }

    /// Forgets a change of the server's key that was announced and not made.
    fn withdraw(&self) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.next_server_key.is_none() {
            return Ok(());
        }
        self.save(&Record { next_server_key: None, ..record })
    }

    /// Makes the record agree with the server after a change of its key that was interrupted, under the change lock. A server
    /// that cannot be asked is left for later.
    pub async fn settle_server_key(&self, engine: &dyn Engine) -> Result<(), LabError> {
        if self.existing()?.next_server_key.is_none() {
            return Ok(());
        }
        let roles = engine.roles();
        // An empty change comes after the interrupted one, which an engine may still be making, or completes its rollback.
        if engine.reconcile(&roles.app, &ServiceChange::default()).await.is_err() {
            return Ok(());
        }
        let env = engine.env(&roles.app).await.unwrap_or_default();
        env.get(&roles.key_variable).map_or(Ok(()), |key| self.set_server_key(key))
    }
}

/// Whether the service itself failed, so that the one before it serves on.
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
        let lab = StateFolder::at(folder.path().to_owned()).unwrap().lab("default").unwrap();
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
