//! Test doubles: a mock engine and a mock wire that drive the real app and gateway, and recorded runs.

pub mod engine;
pub mod sample_drills;
pub mod sample_runs;
pub mod wire;
