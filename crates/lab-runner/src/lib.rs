//! Runs a plan step by step. Every change is recorded by [`undo`] before the engine applies it. [`lab`] is the state of
//! labs on disk, [`provision`] brings labs up and removes them, [`callers`] sends traffic outside of runs, and [`proof`] checks that a scenario behaves as it claims.
//! Knows neither the concrete engine nor the reports.

#![warn(missing_docs)]

pub mod callers;
pub mod drill;
pub mod lab;
pub mod proof;
pub mod provision;
pub mod runner;
pub mod undo;
