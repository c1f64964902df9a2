//! HTTP load generator. A [`Job`] describes the requests and their rate ([`Load`] is the simple form that scenarios use), an
//! [`Outcome`] holds the results and a [`Summary`] the totals. Rendering them is left to other crates.

#![warn(missing_docs)]

mod chunked;
mod client;
mod control;
mod job;
mod limits;
mod mix;
mod outage;
mod outcome;
mod profile;
mod random;
mod request;
mod resolver;
mod response;
mod retry;
mod run;
mod schedule;
mod summary;
mod tally;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod timeline;
mod worker;

pub use control::{TrafficCommands, TrafficControl, traffic_control};
pub use job::{Amount, Arrivals, Caller, Job, Load, Pace, RequestSpec, Stage};
pub use lab_http::Cause;
pub use limits::raise_file_limit;
pub use outcome::{BodySample, CallerCounts, CallerOutcome, Interval, Outcome, TrafficProgress, Update};
pub use retry::Retry;
pub use run::{run, run_controlled, run_job};
pub use summary::{Summary, is_success, quantile};
pub use target::LoadError;
pub use targets::{TargetsError, read_body, read_targets};
pub use timeline::{TimeSlice, Timeline};
