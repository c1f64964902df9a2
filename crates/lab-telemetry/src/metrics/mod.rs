//! What the app says of itself. [`scrape`] takes one exposition in, a [`Snapshot`] is one scrape of every instance, and
//! [`delta`] is the difference of two, correct across a counter reset. [`Moment`] is the time of a look.

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
