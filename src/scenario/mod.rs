//! Scenarios: an outage scripted as steps. [`Source`] says which, [`load`] turns it into a [`Plan`]: [`crate::yaml`]
//! reads the document, `file` is what was written, [`plan`] what it means; between the two every mistake is found, each with its place in the
//! file, before anything is started. [`library`] has the scenarios that come with `lab`.

mod action;
mod check;
mod expect;
mod file;
mod keys;
pub mod library;
pub mod plan;
mod resolve;
mod source;
mod template;
pub mod value;

pub use crate::yaml::{Diagnostic, Diagnostics, Place, SourceFile};
pub use plan::{Action, Plan, Step};
pub use resolve::{LoadOptions, load};
pub use source::Source;

#[cfg(test)]
mod tests;
