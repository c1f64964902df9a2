//! Runs a plan step by step: changes through an engine, each recorded by [`undo`] first. [`lab`] is the state of labs on
//! disk, [`proof`] shows that a scenario does what it claims. It knows neither which engine it holds nor which reports listen.

pub mod lab;
pub mod proof;
pub mod runner;
pub mod undo;
