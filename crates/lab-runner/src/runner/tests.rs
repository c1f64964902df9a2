//! The runner over a mock engine and a mock wire, in tokio's paused time: a run of seconds passes at once, and exactly.

mod alerts;
mod callers;
mod checks;
mod crashes;
mod deploys;
mod endings;
mod faults;
mod hangs;
mod interrupts;
mod language;
mod others;
mod processes;
mod random;
mod stories;
mod support;
mod waiting;
