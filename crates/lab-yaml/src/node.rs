//! [`Node`]: a YAML document as a tree in which everything knows its place and every scalar its text as written.
//!
//! serde shows neither, so a text is read twice. The first reading learns the shape, within limits; the second takes every
//! scalar as text and then fails on purpose, because the error of the reader says where the scalar stands.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::diagnostics::Diagnostic;
use super::place::{Place, SourceFile};
use super::syntax;

/// Nodes in a document, aliases written out.
const MOST_NODES: usize = 50_000;
/// Bytes of text in a document, aliases written out.
const MOST_TEXT: usize = 2 << 20;
/// Bytes of numbers that the first reading may go through. Each counts like the longest of the file: the reader does not tell
/// how a number was written.
const MOST_NUMBERS: usize = 64 << 20;
/// The longest key, in bytes.
const LONGEST_KEY: usize = 256;

/// A scalar as it was written, unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub place: Place,
}

/// A part of a document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Of a mapping or a list: where its first entry is.
    pub place: Place,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    /// No value, `null` or `~`.
    Null,
    Scalar(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value. Keys may come twice: that is found later.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Text,
    pub value: Node,
}

impl Node {
    /// What it is, for messages.
    pub fn describe(&self) -> String {
        match &self.kind {
            NodeKind::Null => "nothing".to_owned(),
            NodeKind::Scalar(text) => super::diagnostics::shown(text),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads a text that holds one document.
pub fn parse(file: &Arc<SourceFile>) -> Result<Node, Diagnostic> {
    if let Some(at) = syntax::too_deep(file.text()) {
        return Err(syntax::too_deep_at(&Place::new(file, at..at + 1)));
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

/// What the first reading learns.
enum Shape {
    Null,
    Scalar,
    List(Vec<Shape>),
    Mapping(Vec<(Shape, Shape)>),
}

/// What a document has used of what it may use, and what was wrong with it beyond its syntax.
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
        if self.text.get() > MOST_TEXT { Err(self.fail(syntax::Problem::TooMuch)) } else { Ok(Shape::Scalar) }
    }

    fn number<E: de::Error>(&self) -> Result<Shape, E> {
        self.numbers.set(self.numbers.get() + self.longest_number);
        if self.numbers.get() > MOST_NUMBERS { Err(self.fail(syntax::Problem::TooMuch)) } else { Ok(Shape::Scalar) }
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
        if self.limits.nodes.get() > MOST_NODES {
            return Err(self.limits.fail(syntax::Problem::TooMuch));
        }
        if self.depth > syntax::DEEPEST {
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

/// The second reading, along the shape that the first has found.
struct NodeSeed<'s> {
    shape: &'s Shape,
    places: &'s Places,
    /// Where the parent is.
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
        if key.text.len() > LONGEST_KEY {
            return Err(self.0.refuse(&syntax::Problem::LongKey(LONGEST_KEY), &key.place));
        }
        Ok(key)
    }
}

/// Stands in the message of the error that carries a place, so that the place is told from the rest of the message.
const MARK: char = '\u{1}';

/// Turns the reader's lines and columns into places.
struct Places {
    file: Arc<SourceFile>,
    /// Where each line starts, as YAML counts lines: other characters than `\n` end one too.
    lines: Vec<usize>,
    /// The last line, column and byte found: scalars come in order, so a long line is walked through once.
    last: Cell<(usize, usize, usize)>,
    /// Behind the last scalar or empty list or mapping.
    behind: Cell<usize>,
    /// Bytes of text so far: of every scalar, numbers as they are written.
    text: Cell<usize>,
    /// What is beyond the limits.
    refused: Cell<Option<Diagnostic>>,
}

impl Places {
    fn new(file: &Arc<SourceFile>) -> Self {
        Self {
            file: Arc::clone(file),
            lines: syntax::yaml_lines(file.text()),
            last: Cell::new((1, 1, 0)),
            behind: Cell::new(0),
            text: Cell::new(0),
            refused: Cell::new(None),
        }
    }

    /// Takes a scalar, its text and its place.
    fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Text, D::Error> {
        let taken = RefCell::new(String::new());
        let (line, column) = match deserializer.deserialize_str(Take(&taken)) {
            Ok(()) => (1, 1),
            Err(error) => located(&error.to_string()),
        };
        let text = taken.into_inner();
        let start = self.offset(line, column);
        let span = start..start + syntax::scalar_length(&self.file.text()[start..], &text);
        let place = Place::new(&self.file, span);
        self.behind.set(place.span().end);
        self.text.set(self.text.get() + text.len());
        if self.text.get() > MOST_TEXT {
            return Err(self.refuse(&syntax::Problem::TooMuch, &place));
        }
        Ok(Text { text, place })
    }

    fn refuse<E: de::Error>(&self, problem: &syntax::Problem, place: &Place) -> E {
        // The beginning is enough: it may be very long.
        let start = place.span().start;
        let place = Place::new(&self.file, start..place.span().end.min(start + LONGEST_KEY));
        self.refused.set(Some(syntax::refused(problem, &place)));
        E::custom("refused")
    }

    /// An empty list or mapping: nothing in it has a place, so it is looked for behind what was last read.
    fn empty(&self, open: char, fallback: &Place) -> Place {
        let from = self.behind.get();
        let Some(at) = self.file.text()[from..].find(open) else { return fallback.clone() };
        self.behind.set(from + at + 1);
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

/// Line and column in an error's text: `… at line 3 column 5`, or nothing at the very start of the file.
fn located(message: &str) -> (usize, usize) {
    let numbers = || {
        let (_, after) = message.rsplit_once(MARK)?;
        let (line, column) = after.strip_prefix(" at line ")?.split_once(" column ")?;
        Some((line.parse::<usize>().ok()?.max(1), column.parse::<usize>().ok()?.max(1)))
    };
    numbers().unwrap_or((1, 1))
}

/// Keeps the text of a scalar, and fails, so that the reader says where it was.
struct Take<'t>(&'t RefCell<String>);

impl Visitor<'_> for Take<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        text.clone_into(&mut self.0.borrow_mut());
        Err(E::custom(MARK))
    }
}
