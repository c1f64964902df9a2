//! For tests alone: a mock engine and a mock wire behind which the real app and gateway answer, and recorded runs.

pub mod engine;
pub mod stories;
pub mod wire;
