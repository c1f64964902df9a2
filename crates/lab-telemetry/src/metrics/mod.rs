//! The app's metrics. [`scrape`] parses one page, a [`Snapshot`] is one scrape of every instance, and [`delta`] computes the
//! difference of two snapshots, correct across counter resets. [`Moment`] is the time of a scrape.

#[cfg(test)]
mod corpus;
pub mod delta;
mod format;
mod moment;
pub mod names;
pub mod scrape;
pub mod snapshot;
#[cfg(test)]
mod tests;

pub use delta::Deltas;
pub use moment::Moment;
pub use scrape::{Exposition, NotMetrics, Page, ScrapeError};
pub use snapshot::{Series, Snapshot};
