//! [`Present`]: a lab that somebody looks at for long. It may go meanwhile, and come back, be it on another engine.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use lab_runner::lab::{Lab, Record};

use super::Connect;
use lab_core::engine::{Description, Engine, EngineErrorKind};

/// A lab, and its engine for as long as it is the same lab.
pub(crate) struct Present {
    lab: Lab,
    known: Option<(DateTime<Utc>, Arc<dyn Engine>)>,
}

impl Present {
    /// A lab, whether it exists or not.
    pub(crate) fn new(lab: &Lab) -> Self {
        Self { lab: lab.clone(), known: None }
    }

    /// The lab.
    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The engine that it had at the last look; none where it did not exist.
    pub(crate) fn engine(&self) -> Option<Arc<dyn Engine>> {
        self.known.as_ref().map(|(_, engine)| engine.clone())
    }

    /// Since when this lab exists, as of the last look.
    pub(crate) fn created(&self) -> Option<DateTime<Utc>> {
        self.known.as_ref().map(|(created, _)| *created)
    }

    /// How it is now, or, for people, why that is not known.
    pub(crate) async fn describe(&mut self) -> Result<(Record, Description), String> {
        let record = self.lab.record().map_err(|error| error.to_string())?;
        let Some(record) = record else {
            self.known = None;
            return Err("it was taken down".to_owned());
        };
        let engine = match &self.known {
            Some((created, engine)) if *created == record.created => engine.clone(),
            _ => {
                let engine = self.lab.engine(&record).map_err(|error| error.to_string())?;
                self.known = Some((record.created, engine.clone()));
                engine
            }
        };
        let now = engine.describe().await.map_err(|error| match error.kind {
            EngineErrorKind::NotUp => "it is down".to_owned(),
            _ => error.to_string(),
        })?;
        Ok((record, now))
    }
}
