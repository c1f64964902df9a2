//! Sends HTTP requests and counts what comes back. [`Job`] says what to send and how fast ([`Load`] is its simple form, for
//! scenarios), [`Outcome`] is what was seen, [`Summary`] its essence; a reporter renders it elsewhere.

mod chunked;
mod client;
mod course;
mod job;
mod limits;
mod mix;
mod outage;
mod outcome;
mod profile;
mod reins;
mod resolver;
mod response;
mod run;
mod schedule;
mod summary;
mod tally;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod worker;

pub use course::{Course, Piece};
pub use job::{Amount, Arrivals, Caller, Job, Load, Pace, RequestSpec, Stage};
pub use lab_http::Cause;
pub use limits::make_room;
pub use outcome::{CallerOutcome, Interval, Outcome, TrafficProgress, Update};
pub use reins::{Orders, Reins, reins};
pub use run::{ongoing, run, run_job};
pub use summary::Summary;
pub use target::LoadError;
pub use targets::{TargetsError, read_body, read_targets};
