//! Source positions: a [`SourceFile`] is a named text, a [`Place`] is a span of it. Lines and columns count from 1;
//! columns count characters.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A named text, usually read from a file.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
    /// Byte offset of each line start. Lines end with `
    /// `, as in editors and terminals.
    lines: Vec<usize>,
}

impl SourceFile {
    /// `name` is the name shown in messages. Its control characters are replaced, so that the name of a file cannot send
    /// escape sequences to a terminal.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let name = name.into().replace(char::is_control, "\u{fffd}");
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { name, text, lines })
    }

    /// Name for messages, without control characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line number (from 1) of the byte at `offset`.
    pub fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// Byte offset and text of a line (from 1), without its line ending.
    pub fn line(&self, number: usize) -> (usize, &str) {
        let start = self.lines[number.clamp(1, self.lines.len()) - 1];
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        (start, line.strip_suffix('\r').unwrap_or(line))
    }

    /// Number of lines, at least 1. A final line break starts another, empty line.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A span of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: Arc<SourceFile>,
    span: Range<usize>,
}

impl Place {
    /// Creates a place from a byte span. The span is moved to character boundaries within the file.
    pub fn new(file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        let floor = |at: usize| (0..=at.min(file.text.len())).rev().find(|at| file.text.is_char_boundary(*at));
        let start = floor(span.start).unwrap_or(0);
        let end = floor(span.end).unwrap_or(0).max(start);
        Self { file: Arc::clone(file), span: start..end }
    }

    /// File that the place is in.
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Span in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// First line, from 1.
    pub fn line(&self) -> usize {
        self.file.line_of(self.span.start)
    }

    /// First column in characters, from 1.
    pub fn column(&self) -> usize {
        let (start, _) = self.file.line(self.line());
        self.file.text[start..self.span.start].chars().count() + 1
    }

    /// Line and column just past the end.
    pub fn end(&self) -> (usize, usize) {
        let end = Self { file: Arc::clone(&self.file), span: self.span.end..self.span.end };
        (end.line(), end.column())
    }

    /// Narrows the place to the first occurrence of `part`. Returns the whole place if `part` does not occur in it.
    #[must_use]
    pub fn narrow(&self, part: &str) -> Self {
        match self.file.text[self.span()].find(part) {
            Some(at) => Self::new(&self.file, self.span.start + at..self.span.start + at + part.len()),
            None => self.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.line(), self.column())
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, SourceFile};

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let file = SourceFile::new("a.yaml", "é: 1\r\nfoo: 2\n");
        let place = Place::new(&file, 4..5);
        assert_eq!(place.to_string(), "a.yaml:1:4");
        assert_eq!(place.end(), (1, 5));
        assert_eq!(Place::new(&file, 7..10).to_string(), "a.yaml:2:1");
        assert_eq!(file.line(1), (0, "é: 1"));
        assert_eq!(Place::new(&file, 1..900).span(), 0..14, "spans end on characters and within the file");
    }
}
