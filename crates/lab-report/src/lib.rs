//! Reports of a run for people and programs, all of them sinks of one stream of events, and the terminal that they are
//! written to.

pub mod report;
pub mod term;
