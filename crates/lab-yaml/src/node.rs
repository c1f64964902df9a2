//! [`Node`]: a YAML document as a tree. Each node has its place, each scalar its text as written.
//!
//! serde exposes neither, so the text is parsed twice. The first pass determines the shape and enforces the limits.
//! The second pass reads each scalar as text and fails on purpose, because the parser's error carries the scalar's
//! position.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::diagnostics::Diagnostic;
use super::place::{Place, SourceFile};
use super::syntax;

/// Maximum number of nodes, with aliases expanded.
const MAX_NODES: usize = 50_000;
/// Maximum bytes of text, with aliases expanded.
const MAX_TEXT: usize = 2 << 20;
/// Maximum bytes of numbers in the first pass. Each number counts as long as the longest one in the file, because the
/// parser does not report how a number was written.
const MAX_NUMBERS: usize = 64 << 20;
/// Maximum key length in bytes.
const MAX_KEY_LENGTH: usize = 256;

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

/// Parses a text that holds a single document.
pub fn parse(file: &Arc<SourceFile>) -> Result<Node, Diagnostic> {
    if let Some(at) = syntax::too_deep(file.text()) {
        return Err(syntax::depth_error(&Place::new(file, at..at + 1)));
    }
    let limits = Limits { longest_number: syntax::longest_number(file.text()), ..Limits::default() };
    let shape = ShapeSeed { limits: &limits, depth: 0 }
        .deserialize(serde_yaml::Deserializer::from_str(file.text()))
        .map_err(|error| syntax::diagnose(file, &error, limits.problem.take().as_ref()))?;
    let places = Places::new(file);
    let seed = NodeSeed { shape: &shape, places: &places, fallback: Place::new(file, 0..0) };
    seed.deserialize(serde_yaml::Deserializer::from_str(file.text()))
        .map_err(|error| places.refused.take().unwrap_or_else(|| syntax::diagnose(file, &error, None)))
}

/// Shape of a node, found by the first pass.
enum Shape {
    Null,
    Scalar,
    List(Vec<Shape>),
    Mapping(Vec<(Shape, Shape)>),
}

/// Usage counters of the first pass, and the limit that was exceeded.
#[derive(Default)]
struct Limits {
    nodes: Cell<usize>,
    text: Cell<usize>,
    longest_number: usize,
    numbers: Cell<usize>,
    problem: Cell<Option<syntax::Problem>>,
}

impl Limits {
    fn fail<E: de::Error>(&self, problem: syntax::Problem) -> E {
        self.problem.set(Some(problem));
        E::custom("refused")
    }

    fn text<E: de::Error>(&self, bytes: usize) -> Result<Shape, E> {
        self.text.set(self.text.get() + bytes);
        if self.text.get() > MAX_TEXT { Err(self.fail(syntax::Problem::TooMuch)) } else { Ok(Shape::Scalar) }
    }

    fn number<E: de::Error>(&self) -> Result<Shape, E> {
        self.numbers.set(self.numbers.get() + self.longest_number);
        if self.numbers.get() > MAX_NUMBERS { Err(self.fail(syntax::Problem::TooMuch)) } else { Ok(Shape::Scalar) }
    }
}

#[derive(Clone, Copy)]
struct ShapeSeed<'l> {
    limits: &'l Limits,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        self.limits.nodes.set(self.limits.nodes.get() + 1);
        if self.limits.nodes.get() > MAX_NODES {
            return Err(self.limits.fail(syntax::Problem::TooMuch));
        }
        if self.depth > syntax::MAX_DEPTH {
            return Err(self.limits.fail(syntax::Problem::TooDeep));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Shape, E> {
        self.limits.number()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Shape, E> {
        self.limits.number()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Shape, E> {
        self.limits.number()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Shape, E> {
        self.limits.number()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Shape, E> {
        self.limits.number()
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Shape, E> {
        self.limits.text(text.len())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let seed = Self { depth: self.depth + 1, ..self };
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let seed = Self { depth: self.depth + 1, ..self };
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(seed)? {
            if matches!(key, Shape::List(_) | Shape::Mapping(_)) {
                return Err(self.limits.fail(syntax::Problem::ComplexKey));
            }
            entries.push((key, access.next_value_seed(seed)?));
        }
        Ok(Shape::Mapping(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Shape, A::Error> {
        Err(self.limits.fail(syntax::Problem::Tag))
    }
}

/// Second pass: reads a node of a known shape.
struct NodeSeed<'s> {
    shape: &'s Shape,
    places: &'s Places,
    /// Place of the parent, for nodes without a place of their own.
    fallback: Place,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.shape {
            Shape::Null => {
                let text = self.places.read(deserializer)?;
                Ok(Node { place: text.place, kind: NodeKind::Null })
            }
            Shape::Scalar => {
                let text = self.places.read(deserializer)?;
                Ok(Node { place: text.place, kind: NodeKind::Scalar(text.text) })
            }
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Mapping(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same as before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let Shape::List(shapes) = self.shape else { return Err(de::Error::custom("not a list any more")) };
        let mut items: Vec<Node> = Vec::with_capacity(shapes.len());
        for shape in shapes {
            let seed = NodeSeed { shape, places: self.places, fallback: self.fallback.clone() };
            items.extend(access.next_element_seed(seed)?);
        }
        let place = items.first().map_or_else(|| self.places.empty('[', &self.fallback), |item| item.place.clone());
        Ok(Node { place, kind: NodeKind::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let Shape::Mapping(shapes) = self.shape else { return Err(de::Error::custom("not a mapping any more")) };
        let mut entries: Vec<Entry> = Vec::with_capacity(shapes.len());
        for (_, shape) in shapes {
            let Some(key) = access.next_key_seed(KeySeed(self.places))? else { break };
            let value = access.next_value_seed(NodeSeed { shape, places: self.places, fallback: key.place.clone() })?;
            entries.push(Entry { key, value });
        }
        let first = entries.first();
        let place = first.map_or_else(|| self.places.empty('{', &self.fallback), |entry| entry.key.place.clone());
        Ok(Node { place, kind: NodeKind::Mapping(entries) })
    }
}

struct KeySeed<'s>(&'s Places);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        let key = self.0.read(deserializer)?;
        if key.text.len() > MAX_KEY_LENGTH {
            return Err(self.0.refuse(&syntax::Problem::LongKey(MAX_KEY_LENGTH), &key.place));
        }
        Ok(key)
    }
}

/// Marks the errors that carry a scalar's position.
const MARK: char = '\u{1}';

/// Converts the parser's lines and columns to places.
struct Places {
    file: Arc<SourceFile>,
    /// Byte offset of each line start. YAML also breaks lines at characters other than `
    /// `.
    lines: Vec<usize>,
    /// Line, column and byte offset of the previous lookup. Scalars come in order, so a long line is scanned only
    /// once.
    last: Cell<(usize, usize, usize)>,
    /// Byte offset after the last scalar or empty collection.
    scalar_end: Cell<usize>,
    /// Bytes of scalar text so far, with numbers as written.
    text: Cell<usize>,
    /// Set when a limit is exceeded.
    refused: Cell<Option<Diagnostic>>,
}

impl Places {
    fn new(file: &Arc<SourceFile>) -> Self {
        Self {
            file: Arc::clone(file),
            lines: syntax::yaml_lines(file.text()),
            last: Cell::new((1, 1, 0)),
            scalar_end: Cell::new(0),
            text: Cell::new(0),
            refused: Cell::new(None),
        }
    }

    /// Reads a scalar with its place.
    fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Text, D::Error> {
        let taken = RefCell::new(String::new());
        let (line, column) = match deserializer.deserialize_str(CaptureText(&taken)) {
            Ok(()) => (1, 1),
            Err(error) => parse_location(&error.to_string()),
        };
        let text = taken.into_inner();
        let start = self.offset(line, column);
        let span = start..start + syntax::scalar_length(&self.file.text()[start..], &text);
        let place = Place::new(&self.file, span);
        self.scalar_end.set(place.span().end);
        self.text.set(self.text.get() + text.len());
        if self.text.get() > MAX_TEXT {
            return Err(self.refuse(&syntax::Problem::TooMuch, &place));
        }
        Ok(Text { text, place })
    }

    fn refuse<E: de::Error>(&self, problem: &syntax::Problem, place: &Place) -> E {
        // Only the start, because the scalar may be very long.
        let start = place.span().start;
        let place = Place::new(&self.file, start..place.span().end.min(start + MAX_KEY_LENGTH));
        self.refused.set(Some(syntax::limit_error(problem, &place)));
        E::custom("refused")
    }

    /// Place of an empty list or mapping. It holds nothing that has a place, so its bracket is searched for after the
    /// last scalar.
    fn empty(&self, open: char, fallback: &Place) -> Place {
        let from = self.scalar_end.get();
        let Some(at) = self.file.text()[from..].find(open) else { return fallback.clone() };
        self.scalar_end.set(from + at + 1);
        Place::new(&self.file, from + at..from + at + 1)
    }

    fn offset(&self, line: usize, column: usize) -> usize {
        let (last_line, last_column, last_offset) = self.last.get();
        let (known, from) = if line == last_line && column >= last_column {
            (last_column, last_offset)
        } else {
            (1, self.lines.get(line - 1).copied().unwrap_or(self.file.text().len()))
        };
        let rest = &self.file.text()[from..];
        let offset = from + rest.char_indices().nth(column - known).map_or(rest.len(), |(at, _)| at);
        self.last.set((line, column, offset));
        offset
    }
}

/// Extracts line and column from an error such as `… at line 3 column 5`. The parser omits them at the very start of
/// the file.
fn parse_location(message: &str) -> (usize, usize) {
    let numbers = || {
        let (_, after) = message.rsplit_once(MARK)?;
        let (line, column) = after.strip_prefix(" at line ")?.split_once(" column ")?;
        Some((line.parse::<usize>().ok()?.max(1), column.parse::<usize>().ok()?.max(1)))
    };
    numbers().unwrap_or((1, 1))
}

/// Stores the scalar's text, then fails so that the parser reports the position.
struct CaptureText<'t>(&'t RefCell<String>);

impl Visitor<'_> for CaptureText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        text.clone_into(&mut self.0.borrow_mut());
        Err(E::custom(MARK))
    }
}
