//! Scenarios: an outage scripted as steps. [`Source`] says which, [`load`] turns it into a [`Plan`]: `node` is the document,
//! `file` what was written, [`plan`] what it means; between the two every mistake is found, each with its place in the
//! file, before anything is started. [`library`] has the scenarios that come with `lab`.

mod action;
mod check;
mod diagnostics;
mod expect;
mod fields;
mod file;
mod keys;
pub mod library;
mod node;
mod place;
pub mod plan;
mod resolve;
mod source;
mod syntax;
mod template;
pub mod value;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use place::{Place, SourceFile};
pub use plan::{Action, Plan, Step};
pub use resolve::{LoadOptions, load};
pub use source::Source;

#[cfg(test)]
mod tests;
