//! The runner over a mock engine and a mock wire, in tokio's paused time: a run of seconds passes at once, and exactly.

mod alerts;
mod callers;
mod checks;
mod completion;
mod crashes;
mod deploys;
mod events;
mod faults;
mod hangs;
mod interrupts;
mod language;
mod manual_changes;
mod processes;
mod random;
mod support;
mod waiting;
