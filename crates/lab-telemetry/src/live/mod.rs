//! Live view of a lab, observed from outside: [`Feed`] has the metrics of the edge and the app second by second, [`Runs`] the events of its runs
//! and [`Alerts`] the states of its alerts. `lab watch` and the dashboard display them.

mod alerts;
mod feed;
mod map;
mod runs;

pub use alerts::{Alert, AlertState, Alerts};
pub use feed::{EdgePoint, Feed, Point};
pub use map::{Headline, Hop, Level, PathState};
pub use runs::{RunEvent, Runs};
