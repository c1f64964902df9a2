//! Scenarios: an outage scripted as steps. `file` is what was written, [`plan`] is what it means; between the two
//! every mistake is found, each with its place in the file, before anything is started.

pub mod plan;

pub use plan::{Action, Plan, Step};
