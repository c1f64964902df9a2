//! What the app says of itself. [`scrape`] takes one exposition in, a [`Snapshot`] is one scrape of every instance, and
//! [`delta`] is the difference of two, correct across a counter reset.

pub mod delta;
pub mod names;
pub mod scrape;
pub mod snapshot;

pub use delta::Deltas;
pub use scrape::{Exposition, ScrapeError};
pub use snapshot::{Series, Snapshot};
