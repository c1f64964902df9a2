//! Scenarios: outages scripted as steps. [`load`] reads a [`Source`] into a [`Plan`] and reports every error with its
//! place before anything starts. [`lab_yaml`] parses the document, `file` holds it as written, `resolve` flattens
//! includes and fills in parameters, [`plan`] is the result. [`library`] holds the built-in scenarios. This crate
//! knows no engine and executes nothing.

#![warn(missing_docs)]

mod actions;
mod callers;
mod check;
mod deferred;
pub mod expect;
mod expected;
mod file;
pub mod forecast;
pub mod json_schema;
pub mod lesson;
pub mod library;
mod limits;
mod lint;
mod pace;
pub mod plan;
mod reader;
pub mod reference;
mod references;
mod resolve;
mod schema;
pub mod skeleton;
mod source;
mod template;
pub mod value;
pub mod vary;

pub use deferred::{Output, OutputKind, OutputLookup, UnknownOutput, Unresolved};
pub use expected::Expected;
pub use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile};
pub use plan::{Action, Plan, Step};
pub use resolve::{LoadOptions, load};
pub use source::Source;

#[cfg(test)]
mod tests;
