//! A lab as it is seen while it runs, from outside: [`Feed`] is what its app says of itself second by second, [`Runs`] what its
//! runs write as they happen, [`Alerts`] what its alerts are said to be. The views (`watch`, `board`) show it; neither the app nor a run knows of them.

mod alerts;
mod feed;
mod runs;

pub use alerts::{Alert, AlertState, Alerts};
pub use feed::{Feed, Point};
pub use runs::{Runs, Told};
