//! The results of a room as files: a table, a document for programs, and a page.

mod chart;
mod csv;
mod html;
mod json;
mod results;
mod sheet;

pub use csv::csv;
pub use html::html;
pub use json::json;
pub use results::Outcome;

#[cfg(test)]
mod tests;
