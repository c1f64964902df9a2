//! [`Builder`]: builds the tree from the parser's events, expands aliases and enforces the limits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Span, Tag};

use super::diagnostics::Diagnostic;
use super::lexemes;
use super::node::{Entry, Node, NodeKind, Text};
use super::place::{Place, SourceFile};
use super::syntax::{self, MAX_DEPTH, Problem};

/// Maximum number of nodes, with aliases expanded.
const MAX_NODES: usize = 50_000;
/// Maximum bytes of text, with aliases expanded.
const MAX_TEXT: usize = 2 << 20;
/// Maximum key length in bytes.
const MAX_KEY_LENGTH: usize = 256;

/// Number of nodes and bytes of text.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

/// A complete node. Unlike a [`Node`], a null keeps its text, because it may become a key.
#[derive(Clone)]
enum Item {
    Scalar { text: Text, null: bool },
    Collection(Node),
}

impl Item {
    fn into_node(self) -> Node {
        match self {
            Self::Scalar { text, null: true } => Node { place: text.place, kind: NodeKind::Null },
            Self::Scalar { text, null: false } => Node { place: text.place, kind: NodeKind::Scalar(text.text) },
            Self::Collection(node) => node,
        }
    }

    fn place(&self) -> &Place {
        match self {
            Self::Scalar { text, .. } => &text.place,
            Self::Collection(node) => &node.place,
        }
    }

    /// Levels of nesting below the node.
    fn height(&self) -> usize {
        fn height(node: &Node) -> usize {
            let below = match &node.kind {
                NodeKind::Null | NodeKind::Scalar(_) => None,
                NodeKind::List(items) => items.iter().map(height).max(),
                NodeKind::Mapping(entries) => entries.iter().map(|entry| height(&entry.value)).max(),
            };
            below.map_or(0, |below| below + 1)
        }
        match self {
            Self::Scalar { .. } => 0,
            Self::Collection(node) => height(node),
        }
    }
}

/// A node with an anchor (`&name`).
struct Anchored {
    item: Item,
    size: Size,
}

/// A collection whose end has not been read yet.
pub(crate) struct Open {
    /// Byte offset of its bracket, or of its first entry.
    pub(crate) start: usize,
    collection: Collection,
    /// Identifier of its anchor; 0 if it has none.
    anchor: usize,
    /// Size of the document before it.
    before: Size,
}

enum Collection {
    List(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        /// Key whose value follows.
        key: Option<Text>,
    },
}

impl Open {
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.collection, Collection::List(_))
    }
}

/// A tree under construction.
pub(crate) struct Builder<'f> {
    file: &'f Arc<SourceFile>,
    /// Outermost first.
    open: Vec<Open>,
    /// Complete nodes by the identifier of their anchor.
    anchors: BTreeMap<usize, Anchored>,
    root: Option<Node>,
    size: Size,
    /// Byte offset after the last event.
    end: usize,
    /// Byte offset of the last scalar.
    last_scalar: usize,
    /// The document has started, and has ended.
    documents: (bool, bool),
}

impl<'f> Builder<'f> {
    pub(crate) fn new(file: &'f Arc<SourceFile>) -> Self {
        Self {
            file,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
            size: Size::default(),
            end: 0,
            last_scalar: 0,
            documents: (false, false),
        }
    }

    /// Returns the root. It is null if the text has no content.
    pub(crate) fn finish(self) -> Node {
        self.root.unwrap_or_else(|| Node { place: Place::new(self.file, 0..0), kind: NodeKind::Null })
    }

    /// Explains a syntax error.
    pub(crate) fn explain(&self, error: &ScanError) -> Diagnostic {
        let offset = error.marker().byte_offset().unwrap_or(self.end);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return syntax::depth_error(&self.first_character(offset));
        }
        if self.documents.1 {
            return syntax::trailing_content(self.file, offset);
        }
        syntax::explain(self.file, offset, self.end, self.last_scalar, &self.open)
    }

    /// Reads an event. Fails if the document exceeds a limit.
    pub(crate) fn read(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let tag_start = span.tag_start().and_then(|start| start.byte_offset());
        let span = span.byte_range().unwrap_or(self.end..self.end);
        let tag_start = tag_start.unwrap_or(span.start);
        match event {
            Event::DocumentStart(..) if self.documents.0 => return Err(syntax::second_document(self.file, span.start)),
            Event::DocumentStart(..) => self.documents.0 = true,
            Event::DocumentEnd => self.documents.1 = true,
            Event::Alias(anchor) => self.alias(anchor, &span)?,
            Event::Scalar(text, style, anchor, tag) => {
                let null = self.is_null(&text, style, tag.as_deref(), tag_start)?;
                let text = self.scalar(&text, style, span);
                let size = Size { nodes: 1, text: text.text.len() };
                self.end = self.end.max(text.place.span().end);
                self.last_scalar = text.place.span().start;
                self.grow(size, &text.place, 0)?;
                self.complete(Item::Scalar { text, null }, anchor, size)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag_name(tag.as_deref(), tag_start)?;
                self.start(Collection::List(Vec::new()), anchor, &span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag_name(tag.as_deref(), tag_start)?;
                self.start(Collection::Mapping { entries: Vec::new(), key: None }, anchor, &span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
            // The others are only emitted with options that are not set.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, collection: Collection, anchor: usize, span: &Range<usize>) -> Result<(), Diagnostic> {
        let before = self.size;
        self.grow(Size { nodes: 1, text: 0 }, &self.first_character(span.start), 0)?;
        self.open.push(Open { start: span.start, collection, anchor, before });
        self.end = self.end.max(span.end);
        Ok(())
    }

    fn close(&mut self, span: &Range<usize>) -> Result<(), Diagnostic> {
        let Some(Open { start, collection, anchor, before }) = self.open.pop() else { return Ok(()) };
        let (first, kind) = match collection {
            Collection::List(items) => (items.first().map(|item| item.place.clone()), NodeKind::List(items)),
            Collection::Mapping { entries, .. } => {
                (entries.first().map(|entry| entry.key.place.clone()), NodeKind::Mapping(entries))
            }
        };
        let place = first.unwrap_or_else(|| self.first_character(start));
        self.end = self.end.max(span.end);
        let size = Size { nodes: self.size.nodes - before.nodes, text: self.size.text - before.text };
        self.complete(Item::Collection(Node { place, kind }), anchor, size)
    }

    /// Adds the node that an alias refers to.
    fn alias(&mut self, anchor: usize, span: &Range<usize>) -> Result<(), Diagnostic> {
        let place = Place::new(self.file, span.clone());
        self.end = self.end.max(span.end);
        let Some(anchored) = self.anchors.get(&anchor) else { return Err(syntax::circular_alias(&place)) };
        let (item, size) = (anchored.item.clone(), anchored.size);
        self.grow(size, &place, item.height())?;
        self.complete(item, 0, size)
    }

    /// Counts a node of the given height, and checks the limits.
    fn grow(&mut self, size: Size, place: &Place, height: usize) -> Result<(), Diagnostic> {
        if self.open.len() + height > MAX_DEPTH {
            return Err(syntax::depth_error(&self.first_character(place.span().start)));
        }
        self.size.nodes += size.nodes;
        self.size.text += size.text;
        if self.size.nodes > MAX_NODES || self.size.text > MAX_TEXT {
            return Err(syntax::limit_error(&Problem::TooMuch, &self.beginning(place)));
        }
        Ok(())
    }

    /// Adds a complete node to the collection that it is in.
    fn complete(&mut self, item: Item, anchor: usize, size: Size) -> Result<(), Diagnostic> {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { item: item.clone(), size });
        }
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(item.into_node()),
            Some(Collection::List(items)) => items.push(item.into_node()),
            Some(Collection::Mapping { entries, key }) => match (key.take(), item) {
                (Some(key), item) => entries.push(Entry { key, value: item.into_node() }),
                (None, Item::Scalar { text, .. }) if text.text.len() <= MAX_KEY_LENGTH => *key = Some(text),
                (None, Item::Scalar { text, .. }) => {
                    return Err(syntax::limit_error(&Problem::LongKey(MAX_KEY_LENGTH), &self.beginning(&text.place)));
                }
                (None, item @ Item::Collection(_)) => {
                    return Err(syntax::limit_error(&Problem::ComplexKey, item.place()));
                }
            },
        }
        Ok(())
    }

    /// Text and place of a scalar. The parser's span of a quoted scalar includes the rest of the line, and that of an
    /// omitted one may be the next token.
    fn scalar(&self, text: &str, style: ScalarStyle, span: Range<usize>) -> Text {
        let source = self.file.text();
        let omitted = |at: usize| Text { text: String::new(), place: Place::new(self.file, at..at) };
        let end = match style {
            ScalarStyle::Plain => match source.get(span.clone()) {
                _ if text.is_empty() => return omitted(self.end),
                Some(written) if text == "~" && written != "~" => {
                    let after = span.start + usize::from(source[span.start..].starts_with([':', '-']));
                    let indicated = after > self.end && source[..after].ends_with([':', '-']);
                    return omitted(if indicated { after } else { self.end });
                }
                _ => span.end,
            },
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                lexemes::end_of_quoted(source, span.start).unwrap_or(span.end)
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                span.start + source.get(span.clone()).map_or(0, |written| written.trim_end().len())
            }
        };
        Text { text: text.to_owned(), place: Place::new(self.file, span.start..end) }
    }

    /// Returns true for an omitted scalar, `null` and `~`. Other plain scalars get their type from the key that they
    /// are read for.
    fn is_null(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, tag_start: usize) -> Result<bool, Diagnostic> {
        let named = matches!(text, "null" | "Null" | "NULL" | "~");
        Ok(match self.tag_name(tag, tag_start)?.as_deref() {
            None => style == ScalarStyle::Plain && (named || text.is_empty()),
            Some(name) => name == "tag:yaml.org,2002:null" && named,
        })
    }

    /// Full name of a tag. Refuses tags that are not YAML's own, because they are usually unquoted values.
    fn tag_name(&self, tag: Option<&Tag>, start: usize) -> Result<Option<String>, Diagnostic> {
        let Some(tag) = tag else { return Ok(None) };
        let name = format!("{}{}", tag.handle(), tag.suffix());
        if name.starts_with('!') {
            return Err(syntax::limit_error(&Problem::Tag, &self.first_character(start)));
        }
        Ok(Some(name))
    }

    fn first_character(&self, start: usize) -> Place {
        let length = self.file.text()[start..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        Place::new(self.file, start..start + length)
    }

    /// First characters of a place that may be very long.
    fn beginning(&self, place: &Place) -> Place {
        let span = place.span();
        Place::new(self.file, span.start..span.end.min(span.start + MAX_KEY_LENGTH))
    }
}
