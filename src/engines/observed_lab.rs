//! A lab that is observed over time. It may be removed and recreated meanwhile, even on another engine.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use lab_runner::lab::{Lab, Record};

use super::Connect;
use lab_core::engine::{Description, Engine, EngineErrorKind};

/// Caches the engine as long as the lab is the same.
pub(crate) struct ObservedLab {
    lab: Lab,
    known: Option<(DateTime<Utc>, Arc<dyn Engine>)>,
}

impl ObservedLab {
    /// The lab need not exist.
    pub(crate) fn new(lab: &Lab) -> Self {
        Self { lab: lab.clone(), known: None }
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Engine at the last [`ObservedLab::describe`], if the lab existed.
    pub(crate) fn engine(&self) -> Option<Arc<dyn Engine>> {
        self.known.as_ref().map(|(_, engine)| engine.clone())
    }

    /// Creation time of the lab at the last [`ObservedLab::describe`].
    pub(crate) fn created(&self) -> Option<DateTime<Utc>> {
        self.known.as_ref().map(|(created, _)| *created)
    }

    /// Current state of the lab.
    pub(crate) async fn describe(&mut self) -> anyhow::Result<(Record, Description)> {
        let Some(record) = self.lab.record()? else {
            self.known = None;
            anyhow::bail!("the lab was removed");
        };
        let engine = match &self.known {
            Some((created, engine)) if *created == record.created => engine.clone(),
            _ => {
                let engine = self.lab.engine(&record)?;
                self.known = Some((record.created, engine.clone()));
                engine
            }
        };
        let now = engine.describe().await.map_err(|error| match error.kind {
            EngineErrorKind::NotUp => anyhow::anyhow!("the lab is down"),
            _ => error.into(),
        })?;
        Ok((record, now))
    }
}
