//! The runner over a mock engine and a mock wire, in tokio's paused time: a run of seconds passes at once, and exactly.

mod crashes;
mod endings;
mod faults;
mod interrupts;
mod others;
mod random;
mod stories;
mod support;
mod wire;
