//! Ids of runs, and the names that follow from them.

use super::{Lab, LabError, StateFolder};
use lab_core::event::short_id;

/// From this many past runs on, a short id may not be unique.
const MANY_RUNS: usize = 10_000;

impl StateFolder {
    /// New id of a run: `20261124T101530.123Z-7f3a`. It sorts by start time and ends in a short id that no other run has.
    pub fn new_run_id(&self) -> Result<String, LabError> {
        Ok(self.new_run_ids(1)?.remove(0))
    }

    /// New ids for runs that take place at the same time, each with its own short id.
    pub fn new_run_ids(&self, count: usize) -> Result<Vec<String>, LabError> {
        let runs = self.runs()?;
        let mut ids: Vec<String> = Vec::with_capacity(count);
        while ids.len() < count {
            let mut bytes = [0; 2];
            getrandom::fill(&mut bytes).map_err(LabError::Random)?;
            let id = format!("{}-{:04x}", chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ"), u16::from_le_bytes(bytes));
            // With thousands of runs, short ids repeat and more of the id has to be typed.
            let known = ids.iter().chain(runs.iter().take_while(|_| runs.len() < MANY_RUNS));
            let is_known = known.into_iter().any(|known| short_id(known) == short_id(&id));
            if !is_known && !self.temporary_lab(&id)?.folder().root().exists() {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Temporary lab of a run, whether it exists or not.
    pub fn temporary_lab(&self, id: &str) -> Result<Lab, LabError> {
        self.lab(&format!("run-{}", short_id(id)))
    }
}

/// Name of a run in its lab's lock.
pub fn run_holder(id: &str) -> String {
    format!("run {}", short_id(id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_at_the_same_time_have_different_labs() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path()).unwrap();
        let ids = state.new_run_ids(30).unwrap();
        let labs: BTreeSet<String> = ids.iter().map(|id| state.temporary_lab(id).unwrap().name().to_owned()).collect();
        assert_eq!(labs.len(), 30, "{ids:?}");
    }
}
