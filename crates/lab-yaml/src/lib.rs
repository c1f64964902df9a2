//! Files that people write: a YAML document as a tree in which everything knows its place ([`node`]), read against the keys
//! that it may hold ([`fields`]); what is wrong is a [`Diagnostic`], shown with the line and a caret. What the keys mean is
//! for others.

mod diagnostics;
pub mod fields;
pub mod node;
mod place;
pub mod read;
mod syntax;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use diagnostics::{first, list, meant, near, shown};
pub use place::{Place, SourceFile};
