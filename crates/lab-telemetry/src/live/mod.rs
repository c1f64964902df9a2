//! Live view of a lab, observed from outside: [`Feed`] has the app's metrics second by second, [`Runs`] the events of its runs
//! and [`Alerts`] the states of its alerts. `lab watch` and the dashboard display them.

mod alerts;
mod feed;
mod runs;

pub use alerts::{Alert, AlertState, Alerts};
pub use feed::{Feed, Point};
pub use runs::{Runs, Told};
