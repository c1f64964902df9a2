//! Scenarios: an outage scripted as steps. [`Source`] says which, [`load`] turns it into a [`Plan`]: [`lab_yaml`]
//! reads the document, `file` is what was written, [`plan`] what it means; between the two every mistake is found, each with its place in the
//! file, before anything is started. [`library`] has the scenarios that come with `lab`.

mod action;
mod callers;
mod check;
pub mod expect;
mod fields;
mod file;
pub mod forecast;
mod late;
pub mod lesson;
pub mod library;
mod pace;
pub mod plan;
pub mod reference;
mod references;
mod resolve;
pub mod schema;
pub mod skeleton;
mod source;
mod template;
pub mod value;
mod words;

pub use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile};
pub use late::{Look, Output, Shown};
pub use plan::{Action, Plan, Step};
pub use resolve::{LoadOptions, load};
pub use source::Source;

#[cfg(test)]
mod tests;
