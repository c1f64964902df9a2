//! Starts the stack of a recorded lab again. Shared by everything that does so: `lab up`, temporary labs, the undo and the reset.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Record;
use lab_core::engine::{Engine, EngineError, Roles, UpRequest};

/// Environment of services: service, then variable.
pub(crate) type Environment = BTreeMap<String, BTreeMap<String, String>>;

/// Request to start a recorded lab with its server key. `env` has precedence.
pub(crate) fn up_request(engine: &dyn Engine, record: &Record, mut env: Environment) -> UpRequest {
    let Roles { app, key_variable, .. } = engine.roles();
    // Labs of older versions have no stored server key; the caller's key is the best guess.
    let key = record.expected_server_key().unwrap_or(&record.caller_key);
    env.entry(app).or_default().entry(key_variable).or_insert_with(|| key.to_owned());
    UpRequest { gateway_port: record.gateway_port, env, tied: false }
}

/// Starts the stack if no stack is running. Does nothing to a stack that runs, even partially.
pub(crate) async fn start_if_down(engine: &dyn Engine, record: &Record, env: Environment) -> Result<(), EngineError> {
    match engine.describe().await {
        Err(error) if error.kind.is_down() => {
            engine.up(&up_request(engine, record, env), Arc::new(|_| {})).await.map(drop)
        }
        described => described.map(drop),
    }
}
