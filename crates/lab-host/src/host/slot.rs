//! The active process of a service, with its run state and status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::child::Child;
use crate::log::Log;
use lab_core::engine::{Observed, RunState, ServiceStatus};

/// Holder of a service's active process.
#[derive(Default)]
pub(super) struct Slot {
    inner: Mutex<SlotState>,
}

#[derive(Clone, Default)]
struct SlotState {
    child: Option<Arc<Child>>,
    paused: bool,
}

impl Slot {
    /// The active process, unless it has exited.
    pub(super) fn child(&self) -> Option<Arc<Child>> {
        self.lock().child.clone().filter(|child| child.exit_status().is_none())
    }

    /// Exit status of the last process if it exited unexpectedly.
    pub(super) fn crash_status(&self) -> Option<std::process::ExitStatus> {
        self.lock().child.as_ref().and_then(|child| child.exit_status())
    }

    pub(super) fn put(&self, child: Option<Arc<Child>>) {
        *self.lock() = SlotState { child, paused: false };
    }

    pub(super) fn state(&self) -> RunState {
        let paused = self.lock().paused;
        match self.child() {
            None => RunState::Stopped,
            Some(_) if paused => RunState::Paused,
            Some(_) => RunState::Running,
        }
    }

    /// State on which a plan is based.
    pub(super) fn observed(&self) -> Observed {
        match self.state() {
            RunState::Stopped if self.crash_status().is_some() => Observed::Failed,
            state @ (RunState::Stopped | RunState::Running | RunState::Paused) => state.into(),
        }
    }

    pub(super) fn set_paused(&self, paused: bool) {
        if let Some(child) = self.child() {
            if paused {
                child.freeze();
            } else {
                child.thaw();
            }
            self.lock().paused = paused;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SlotState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Status of a service that runs as a process.
pub(super) fn status(name: &str, slot: &Slot, env: BTreeMap<String, String>, log: &Log) -> ServiceStatus {
    let child = slot.child();
    let detail = slot.crash_status().map(|exit| {
        let last = log.last_line().map(|line| format!(": {line}")).unwrap_or_default();
        format!("it exited unexpectedly ({exit}){last}")
    });
    ServiceStatus {
        name: name.to_owned(),
        state: slot.state(),
        health: lab_core::engine::Health::Unhealthy,
        detail,
        instance: child.as_ref().map(|child| child.instance.clone()),
        env,
        address: child.as_ref().map(|child| child.address.clone()),
        pid: child.as_ref().map(|child| child.pid),
        since: child.as_ref().map(|child| child.since),
        image: None,
        restarts: None,
    }
}
