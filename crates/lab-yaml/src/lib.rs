//! YAML files written by users. [`node`] parses a document into a tree with source positions, [`fields`] checks
//! mappings against the allowed keys, and errors are [`Diagnostic`]s rendered with the source line and a caret. This
//! crate knows nothing about the meaning of the keys.

#![warn(missing_docs)]

mod builder;
mod diagnostics;
pub mod fields;
mod lexemes;
pub mod node;
mod place;
pub mod read;
mod syntax;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use diagnostics::{did_you_mean, nearest, quote, quote_first, quote_list};
pub use place::{Place, SourceFile};
