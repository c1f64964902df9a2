//! [`Node`]: a YAML document as a tree. Each node has its place, each scalar its text without quotes and escapes.

use std::sync::Arc;

use granit_parser::{Parser, options};

use super::builder::Builder;
use super::diagnostics::Diagnostic;
use super::place::{Place, SourceFile};
use super::syntax;

/// A scalar without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The value, with escapes and folding resolved.
    pub text: String,
    /// Place in the source, with its quotes.
    pub place: Place,
}

/// A node of the document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Start of the first entry for a mapping or a list.
    pub place: Place,
    /// Content of the node.
    pub kind: NodeKind,
}

/// Content of a [`Node`].
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Empty, `null` or `~`.
    Null,
    /// Any other scalar, as text.
    Scalar(String),
    /// A list, in block or flow style.
    List(Vec<Node>),
    /// A mapping, in file order.
    Mapping(Vec<Entry>),
}

/// A key and its value. Duplicate keys are kept here and reported by [`super::fields`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key, always a scalar.
    pub key: Text,
    /// The value; null if nothing follows the key.
    pub value: Node,
}

impl Node {
    /// Short description for messages.
    pub fn describe(&self) -> String {
        match &self.kind {
            NodeKind::Null => "nothing".to_owned(),
            NodeKind::Scalar(text) => super::diagnostics::quote(text),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// Parses a text that holds a single document. Its size, depth and key lengths are limited, with aliases expanded.
pub fn parse(file: &Arc<SourceFile>) -> Result<Node, Diagnostic> {
    syntax::check_characters(file)?;
    let mut builder = Builder::new(file);
    let options = options! {
        // As libyaml does. `serde_yaml`, which reads alert rules, is based on it.
        bom_inside_document_as_content: true,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: syntax::MAX_DEPTH + 1,
        block_nesting_limit: syntax::MAX_DEPTH + 1,
    };
    for event in Parser::new_from_str_with_options(file.text(), options) {
        match event {
            Ok((event, span)) => builder.read(event, span)?,
            Err(error) => return Err(builder.explain(&error)),
        }
    }
    Ok(builder.finish())
}

#[cfg(test)]
mod tests;
