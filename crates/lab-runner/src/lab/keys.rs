//! Keys stored for a lab: what its callers send and what its server expects. A change of the server key is announced in
//! the record before it is made and confirmed afterwards.

use super::revisions::Author;
use super::{Lab, LabError, Record};
use chrono::{DateTime, Utc};
use lab_core::engine::{Engine, Roles, ServiceChange, ServiceStatus, secret};

/// Key that the app accepts besides its own at a time, during a rotation without an outage.
pub fn previous_key(app: &ServiceStatus, roles: &Roles, now: DateTime<Utc>) -> Option<String> {
    let variable = secret::previous_key_variable(roles);
    let key = app.env.get(&variable).filter(|key| !key.is_empty())?;
    let expires = app.env.get(&format!("{variable}_EXPIRES")).filter(|text| !text.is_empty());
    let is_expired = expires.is_some_and(|text| {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return at <= now;
        }
        // A lifetime that begins with the instance. The app rejects anything else.
        let lifetime = lab_scenario::value::duration(text).ok().and_then(|it| chrono::TimeDelta::from_std(it).ok());
        lifetime.zip(app.since).is_some_and(|(lifetime, since)| since + lifetime <= now)
    });
    (!is_expired).then(|| key.clone())
}

impl Lab {
    /// Key that callers send as `X-API-Key`, except for named callers with their own key.
    pub fn caller_key(&self) -> Result<String, LabError> {
        Ok(self.existing()?.caller_key)
    }

    /// Changes the caller key, under the change lock.
    pub fn set_caller_key(&self, key: &str, author: &Author) -> Result<(), LabError> {
        self.change_callers(author, |record| key.clone_into(&mut record.caller_key))
    }

    /// Changes the key of a named caller, under the change lock; `None` removes the caller.
    pub fn set_named_key(&self, caller: &str, key: Option<&str>, author: &Author) -> Result<(), LabError> {
        self.change_callers(author, |record| match key {
            Some(key) => drop(record.callers.insert(caller.to_owned(), key.to_owned())),
            None => drop(record.callers.remove(caller)),
        })
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

    /// Announces a change of the server key in the record, before it is made.
    pub(super) fn announce_key(&self, key: &str) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.expected_server_key() == Some(key) {
            return Ok(());
        }
        self.save(&Record { next_server_key: Some(key.to_owned()), ..record })
    }

    /// Removes the announcement of a key change that was not made.
    pub(super) fn withdraw_key(&self) -> Result<(), LabError> {
        let record = self.existing()?;
        if record.next_server_key.is_none() {
            return Ok(());
        }
        self.save(&Record { next_server_key: None, ..record })
    }

    /// Aligns the record with the server after an interrupted key change, under the change lock. Does nothing if the
    /// server is not reachable.
    pub(super) async fn settle_server_key(&self, engine: &dyn Engine) -> Result<(), LabError> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lab::{ChangeError, StateFolder};
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
            let (changes, author) = ([change.clone()], Author::hand("lab key rotate"));
            let change_lab = lab.reconcile(&*engine, APP, &changes, &author);
            let cut = tokio::time::timeout(std::time::Duration::from_secs(1), change_lab);
            assert!(cut.await.is_err());
            assert_eq!(keys(&lab), (Some("v1".to_owned()), Some("v2".to_owned())), "announced");
            assert_eq!(lab.existing().unwrap().expected_server_key(), Some("v2"));
            if made {
                engine.reconcile(APP, &change).await.unwrap();
            }
            lab.settle(&*engine).await.unwrap();
            assert_eq!(keys(&lab), (Some(expected.to_owned()), None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_rolled_back_is_announced_no_more() {
        let (_folder, lab) = lab();
        let engine = MockEngine::running("v1");
        engine.script(APP, Script::NeverHealthy);
        let change = [ServiceChange::env(KEY_VARIABLE, "v2")];
        let author = Author::hand("lab key rotate");
        assert!(matches!(lab.reconcile(&engine, APP, &change, &author).await, Err(ChangeError::Engine(_))));
        assert_eq!(keys(&lab), (Some("v1".to_owned()), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_cannot_be_written_keeps_the_server_as_it_is() {
        let (_folder, lab) = lab();
        let engine = MockEngine::running("v1");
        std::fs::write(lab.folder().path("lab.json"), "{").unwrap();
        let change = [ServiceChange::env(KEY_VARIABLE, "v2")];
        let author = Author::hand("lab key rotate");
        assert!(matches!(lab.reconcile(&engine, APP, &change, &author).await, Err(ChangeError::Lab(_))));
        assert_eq!(engine.describe().await.unwrap().server_key(), Some("v1"));
    }
}
