//! Reports for people and programs, and the terminal they are printed on. A report of a run only knows the run's events; it
//! never talks to an engine.

#![warn(missing_docs)]

pub mod report;
pub mod term;
