//! Diagnostics for YAML that cannot be read, or that is valid but not accepted.
//!
//! The parser only contributes the position of an error. The cause is found in the text, so that the messages name the
//! mistake in the user's terms.

use std::ops::Range;
use std::sync::Arc;

use super::builder::Open;
use super::diagnostics::Diagnostic;
use super::lexemes::{self, Lexeme, lexemes};
use super::place::{Place, SourceFile};

/// Maximum nesting depth of a document.
pub(crate) const MAX_DEPTH: usize = 16;

/// Valid YAML that is not accepted.
pub(crate) enum Problem {
    /// Too many nodes or too much text, counted with aliases expanded.
    TooMuch,
    /// Length of the key in bytes.
    LongKey(usize),
    /// A mapping or a list as a key.
    ComplexKey,
    /// `!something`.
    Tag,
}

/// Diagnostic for YAML that is valid but not accepted.
pub(crate) fn limit_error(problem: &Problem, place: &Place) -> Diagnostic {
    match problem {
        Problem::TooMuch => Diagnostic::at("the file is too large with its aliases (`*name`) expanded", place)
            .label("the limit is 50,000 values and 2 MiB of text")
            .help("repeat the values instead of using aliases"),
        Problem::LongKey(longest) => {
            Diagnostic::at("a key is too long", place).label(format!("the limit is {longest} bytes"))
        }
        Problem::ComplexKey => Diagnostic::at("a mapping or a list cannot be a key", place)
            .label("expected a word")
            .help("quote values that contain `${…}`: \"${name}\""),
        Problem::Tag => {
            Diagnostic::at("a value starts with `!`, which is a tag in YAML", place).label("quote the value: \"!= 0\"")
        }
    }
}

pub(crate) fn depth_error(place: &Place) -> Diagnostic {
    Diagnostic::at("the file is nested too deeply", place).label(format!("the limit is {MAX_DEPTH} levels"))
}

/// Diagnostic for an alias within the value that it refers to.
pub(crate) fn circular_alias(place: &Place) -> Diagnostic {
    Diagnostic::at("an alias (`*name`) is part of its own value", place).label("it would never end")
}

/// Refuses characters that YAML does not allow.
pub(crate) fn check_characters(file: &Arc<SourceFile>) -> Result<(), Diagnostic> {
    let allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some((at, c)) = file.text().char_indices().find(|(_, c)| !allowed(*c)) else { return Ok(()) };
    let place = Place::new(file, at..at + c.len_utf8());
    Err(not_yaml("it contains a control character", &place).label(format!("U+{:04X}: remove it", u32::from(c))))
}

/// Diagnostic for the second document of a file.
pub(crate) fn second_document(file: &Arc<SourceFile>, start: usize) -> Diagnostic {
    Diagnostic::at("the file contains more than one document", &Place::new(file, start..start + 3))
        .label("a second one starts here")
        .help("remove the `---` line or split the file")
}

/// Diagnostic for content after the end of the document.
pub(crate) fn trailing_content(file: &Arc<SourceFile>, offset: usize) -> Diagnostic {
    not_yaml("the document ends before this", &character(file, offset))
        .label("expected another key of the document, or the end of the file")
        .help("check the indentation, and look for an extra bracket or quote")
}

fn not_yaml(what: &str, place: &Place) -> Diagnostic {
    Diagnostic::at(format!("this is not YAML: {what}"), place)
}

/// Place of the character at an offset. Beyond the last line with content, the end of that line.
fn character(file: &Arc<SourceFile>, offset: usize) -> Place {
    let text = file.text();
    let offset = if offset >= text.len() { text.trim_end().len().min(offset) } else { offset };
    let length = text[offset..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    Place::new(file, offset..offset + length)
}

/// A syntax error with its context.
struct Failure<'f> {
    file: &'f Arc<SourceFile>,
    /// Byte offset at which the parser gave up.
    offset: usize,
    /// Byte offset after the last event. The parser may have read more, because it reads ahead.
    end: usize,
    /// Byte offset of the last scalar.
    last_scalar: usize,
    open: &'f [Open],
    /// Offset and character of the brackets that are open at the error, outermost first.
    brackets: Vec<(usize, char)>,
}

/// End of a collection in brackets.
enum BracketEnd {
    Closed,
    /// Nothing.
    Open,
    /// A bracket of the other kind.
    Mismatch {
        at: usize,
        found: char,
    },
}

/// Explains a syntax error. `end` is the end of the last event, `open` are the collections that it is in.
pub(crate) fn explain(
    file: &Arc<SourceFile>,
    offset: usize,
    end: usize,
    last_scalar: usize,
    open: &[Open],
) -> Diagnostic {
    let text = file.text();
    let bracket = |open: &Open| Some(open.start).zip(text[open.start..].chars().next());
    let brackets = open.iter().filter_map(bracket).filter(|(_, c)| matches!(c, '[' | '{')).collect();
    let offset = offset.min(text.len());
    let (end, last_scalar) = (end.min(offset), last_scalar.min(offset));
    let mut failure = Failure { file, offset, end, last_scalar, open, brackets };
    let quoted = failure.read_ahead();
    quoted
        .or_else(|| unquoted_value(file, &character(file, failure.offset)))
        .or_else(|| failure.tab())
        .or_else(|| failure.alias_or_tag())
        .or_else(|| failure.colon())
        .or_else(|| failure.bracket())
        .unwrap_or_else(|| failure.entry())
}

impl Failure<'_> {
    fn place(&self, start: usize, length: usize) -> Place {
        Place::new(self.file, start..start + length)
    }

    /// The character at the error. `None` at the end of the text.
    fn found(&self) -> Option<char> {
        self.file.text()[self.offset..].chars().next()
    }

    /// The line of the error up to the error.
    fn line_before(&self) -> &str {
        let text = &self.file.text()[..self.offset];
        &text[text.rfind('\n').map_or(0, |at| at + 1)..]
    }

    /// Finds the brackets between the last event and the error. Returns a diagnostic if a quoted scalar is the cause.
    fn read_ahead(&mut self) -> Option<Diagnostic> {
        let text = self.file.text();
        for (span, lexeme) in lexemes(text, self.end) {
            if span.start > self.offset {
                break;
            }
            match lexeme {
                Lexeme::Open(c) if span.start < self.offset => self.brackets.push((span.start, c)),
                Lexeme::Close(_) if span.start < self.offset => drop(self.brackets.pop()),
                Lexeme::Open(_) | Lexeme::Close(_) => {}
                Lexeme::Quoted { closed } => {
                    if let Some(diagnostic) = self.quoted(&span, closed) {
                        return Some(diagnostic);
                    }
                }
            }
        }
        None
    }

    /// Explains an error within a quoted scalar, or right after it.
    fn quoted(&self, span: &Range<usize>, closed: bool) -> Option<Diagnostic> {
        let text = self.file.text();
        let within = self.offset < span.end || !closed;
        let follows = within || text[span.end..self.offset].chars().all(|c| matches!(c, ' ' | '\t'));
        if !closed || (follows && text[span.clone()].contains('\n')) {
            let last = self.file.line_of(span.end.saturating_sub(1));
            let label = if closed { format!("the next quote is on line {last}") } else { String::new() };
            return Some(
                not_yaml("a quote is not closed", &self.place(span.start, 1))
                    .label(label)
                    .help("close the quote on the same line"),
            );
        }
        if within && text[span.start..].starts_with('"') {
            let (at, escape) = lexemes::invalid_escape(text, span)?;
            let message = format!("`{escape}` is not an escape sequence");
            return Some(
                not_yaml(&message, &self.place(at, escape.len()))
                    .label("write `\\\\` for a backslash, or use single quotes"),
            );
        }
        let found = self.found().is_some_and(|c| !c.is_whitespace());
        (follows && !within && found).then(|| {
            not_yaml("there is text after a closing quote", &character(self.file, self.offset))
                .label("quote the whole value")
                .help("write a quote within quotes as `\\\"` or, in single quotes, as `''`")
        })
    }

    /// Explains a tab in the indentation of the line.
    fn tab(&self) -> Option<Diagnostic> {
        let (start, line) = self.file.line(self.file.line_of(self.offset));
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        let at = line[..indentation].find('\t')?;
        Some(not_yaml("a line is indented with a tab", &self.place(start + at, 1)).label("indent with spaces"))
    }

    fn alias_or_tag(&self) -> Option<Diagnostic> {
        let rest = &self.file.text()[self.offset..];
        let word = rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).next().unwrap_or_default();
        match self.found()? {
            '*' => Some(
                not_yaml(&format!("unknown alias `{word}`"), &self.place(self.offset, word.len()))
                    .label("there is no `&name` before it")
                    .help("quote values that start with `*`"),
            ),
            '!' => Some(limit_error(&Problem::Tag, &self.place(self.offset, 1))),
            _ => None,
        }
    }

    /// Explains a `:` within a value.
    fn colon(&self) -> Option<Diagnostic> {
        if self.found() != Some(':') {
            return None;
        }
        let before = self.line_before();
        let flow = !self.brackets.is_empty();
        let entry = &before[before.rfind(['{', '[', ',']).filter(|_| flow).map_or(0, |at| at + 1)..];
        match entry.split_once(": ") {
            // Several words within brackets: a comma is missing.
            Some((_, value)) if flow && value.trim().contains(' ') => None,
            Some(_) => Some(not_yaml("a value contains `: `", &self.place(self.offset, 1)).label("quote the value")),
            None if !flow && self.file.text()[self.last_scalar..self.offset].contains('\n') => {
                let key = entry.trim_start().len();
                Some(
                    not_yaml("a line continues the value of the line above", &self.place(self.offset - key, key))
                        .label("indent it like the other keys"),
                )
            }
            None => None,
        }
    }

    /// Explains a bracket that is not closed or not open, or a missing comma.
    fn bracket(&self) -> Option<Diagnostic> {
        let found = self.found().filter(|c| matches!(c, ']' | '}'));
        let Some((start, open)) = self.brackets.last().copied() else {
            let (closed, opener) = found.map(|c| (c, if c == ']' { '[' } else { '{' }))?;
            let message = format!("`{closed}` has no matching `{opener}`");
            let place = self.place(self.offset, 1);
            return Some(not_yaml(&message, &place).label("remove it, or check the brackets before it"));
        };
        let close = if open == '[' { ']' } else { '}' };
        let opener = self.place(start, 1);
        let inside = format!("the `{open}` is at {opener}");
        match self.end_of_bracket(start) {
            BracketEnd::Closed => {}
            BracketEnd::Open => {
                let message = format!("`{open}` is not closed");
                return Some(not_yaml(&message, &opener).label(format!("expected a matching `{close}`")));
            }
            BracketEnd::Mismatch { at, found } => {
                let message = format!("`{found}` does not match `{open}`");
                let label = format!("expected `{close}`");
                return Some(not_yaml(&message, &self.place(at, 1)).label(label).note(inside));
            }
        }
        let place = character(self.file, self.offset);
        let item = self.file.text()[self.offset..].starts_with("- ");
        Some(if item {
            not_yaml(&format!("`- ` cannot be used within `{open} {close}`"), &place)
                .label("separate the items with `,`")
                .note(inside)
        } else {
            not_yaml("a `,` is missing before this", &place).label(format!("expected `,` or `{close}`")).note(inside)
        })
    }

    /// Finds the bracket that closes the one at `start`.
    fn end_of_bracket(&self, start: usize) -> BracketEnd {
        let mut open = Vec::new();
        for (span, lexeme) in lexemes(self.file.text(), start) {
            match (lexeme, open.last()) {
                (Lexeme::Open(c), _) => open.push(c),
                (Lexeme::Close(']'), Some('[')) | (Lexeme::Close('}'), Some('{')) => drop(open.pop()),
                (Lexeme::Close(found), _) if open.len() == 1 => return BracketEnd::Mismatch { at: span.start, found },
                (Lexeme::Close(_) | Lexeme::Quoted { .. }, _) => {}
            }
            if open.is_empty() {
                return BracketEnd::Closed;
            }
        }
        BracketEnd::Open
    }

    /// Explains a line that is neither an entry nor an item of the collection that it is in.
    fn entry(&self) -> Diagnostic {
        let text = self.file.text();
        let skipped = text[self.end..self.offset].find(|c: char| !c.is_whitespace());
        let at = skipped.map_or(self.offset, |at| self.end + at);
        let line = text[at..].lines().next().unwrap_or_default().trim_end();
        if self.open.last().is_some_and(|open| !open.is_list())
            && !line.starts_with(['#', '-', ':', '?'])
            && !line.is_empty()
            && !line.contains(": ")
            && !line.ends_with(':')
        {
            return not_yaml("a line has no `: `", &self.place(at, line.len())).label("expected `key: value`");
        }
        let place = character(self.file, self.offset);
        let Some(open) = self.open.last() else {
            return not_yaml("the content is not understood", &place).label("expected `key: value`");
        };
        let first = self.place(open.start, 0);
        let expected = if open.is_list() { "`- `" } else { "`key: value`" };
        let inside = format!("the {} starts at {first}", if open.is_list() { "list" } else { "mapping" });
        let indentation = self.line_before();
        if indentation.chars().all(|c| c == ' ') && indentation.len() + 1 != first.column() {
            return not_yaml("the indentation matches no line above", &place)
                .label(format!("expected {expected} in column {}", first.column()))
                .note(inside);
        }
        not_yaml(&format!("expected {expected}"), &place).note(inside)
    }
}

/// Detects a value that needs quotes, on the line of the error or the one before.
fn unquoted_value(file: &Arc<SourceFile>, place: &Place) -> Option<Diagnostic> {
    let number = place.line();
    [number, number.saturating_sub(1)].into_iter().filter(|number| *number > 0).find_map(|number| {
        let (start, line) = file.line(number);
        let bare = |opener: &str| {
            line.match_indices(opener).find(|(at, _)| line[..*at].trim_end().ends_with([':', ',', '[', '{', '-']))
        };
        let flow = line.replace("${", "").contains(['{', '[']);
        if let Some((at, _)) = bare("${").filter(|_| flow) {
            let end = line[at..].find('}').map_or(line.len(), |end| at + end + 1);
            let found = &line[at..end];
            let place = Place::new(file, start + at..start + end);
            return Some(
                Diagnostic::at(format!("`{found}` is not quoted"), &place)
                    .label(format!("quote it: \"{found}\""))
                    .note("within `{ }` and `[ ]`, YAML interprets the braces of `${…}`"),
            );
        }
        let folds = |at: &usize| line[at + 1..].trim_matches([' ', '-', '+']).is_empty();
        let (at, found) =
            bare(">").filter(|(at, _)| !folds(at)).or_else(|| bare("%")).or_else(|| bare("@")).or_else(|| bare("`"))?;
        let place = Place::new(file, start + at..start + at + found.len());
        Some(
            Diagnostic::at(format!("a value that starts with `{found}` is not quoted"), &place)
                .label("quote it")
                .help("write a comparator in quotes: \">= 95%\""),
        )
    })
}
