//! [`Watch`]: a lab with everything that a referee needs, and the tasks that it waits for.

use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};

use crate::lab::Lab;
use lab_core::engine::Engine;
use lab_scenario::Plan;
use lab_telemetry::wire::Wire;

/// A lab with a drill.
#[derive(Clone)]
pub struct Watch {
    /// State on disk.
    pub lab: Lab,
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// Access to the network. The referee marks its requests as probes.
    pub wire: Arc<dyn Wire>,
    /// Scenario of the incident, with the values of this drill.
    pub plan: Arc<Plan>,
}

/// Waits for a task, if there is one, and removes it.
pub(super) async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}
