//! Which engine a lab runs on, and what it is asked to bring up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FIRST_KEY, Lab, Record};
use crate::engine::embedded::{self, Embedded};
use crate::engine::{APP, Engine, EngineError, EngineErrorKind, KEY_VARIABLE, UpRequest};

impl Lab {
    /// The engine that its record names.
    pub fn engine(&self, record: &Record) -> Result<Arc<dyn Engine>, EngineError> {
        match record.engine.as_str() {
            embedded::NAME => Ok(Arc::new(Embedded::new(self.folder()))),
            other => {
                let detail = format!("this version of lab has no engine called {other:?}");
                Err(EngineError::new(EngineErrorKind::Unsupported, detail))
            }
        }
    }

    /// What its engine is to bring up.
    pub fn up_request(&self, record: &Record) -> UpRequest {
        let app = BTreeMap::from([(KEY_VARIABLE.to_owned(), FIRST_KEY.to_owned())]);
        UpRequest { gateway_port: record.gateway_port, env: BTreeMap::from([(APP.to_owned(), app)]), tied: false }
    }
}
