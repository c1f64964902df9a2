//! [`Diagnostics`]: all errors of a file, with place, expected value and suggestion, rendered with the source line and
//! a caret.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::place::Place;

/// Maximum number of rendered errors; the rest is only counted.
const MAX_RENDERED: usize = 50;
/// Maximum number of stored errors. Beyond that, the same error repeats.
const MAX_KEPT: usize = 10_000;
/// Maximum number of names listed in a message.
const MAX_LISTED: usize = 20;
/// Characters of the source line shown on each side of the caret.
const CONTEXT: usize = 200;

/// An error in a file or on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The problem and the value found.
    pub message: String,
    /// `None` for command-line arguments.
    pub place: Option<Place>,
    /// The expected value, shown under the caret; may be empty.
    pub label: String,
    /// Related places and the origin of values.
    pub notes: Vec<String>,
    /// Advice, each on a line of its own.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Creates an error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: String::new(), notes: Vec::new(), help: Vec::new() }
    }

    /// Creates an error at a place.
    pub fn at(message: impl Into<String>, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..Self::new(message) }
    }

    /// Sets the expected value, shown under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a related place or the origin of a value.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Name of the file, if there is a place.
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.file().name())
    }

    /// Line from 1, if there is a place.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(Place::line)
    }

    /// Column in characters from 1, if there is a place.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(Place::column)
    }

    /// Renders the error for a terminal, with the source line.
    pub fn render(&self, color: bool) -> String {
        let mut group = Level::ERROR.primary_title(&self.message).elements(self.place.as_ref().map(|place| {
            let (number, line, span) = excerpt(place);
            let mut annotation = AnnotationKind::Primary.span(span);
            if !self.label.is_empty() {
                annotation = annotation.label(&self.label);
            }
            Snippet::source(line).line_start(number).path(place.file().name()).annotation(annotation)
        }));
        if self.place.is_none() && !self.label.is_empty() {
            group = group.element(Level::NOTE.message(&self.label));
        }
        let group = group
            .elements(self.notes.iter().map(|note| Level::NOTE.message(note)))
            .elements(self.help.iter().map(|help| Level::HELP.message(help)));
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// Line number, line text and the span within that text. Text before the span is kept so that the column stays right;
/// text after it is cut after [`CONTEXT`] characters.
fn excerpt(place: &Place) -> (usize, &str, std::ops::Range<usize>) {
    let number = place.line();
    let (start, line) = place.file().line(number);
    let from = (place.span().start - start).min(line.len());
    let to = (place.span().end - start).clamp(from, line.len());
    let end = line[to..].char_indices().nth(CONTEXT).map_or(line.len(), |(at, _)| to + at);
    (number, &line[..end], from..to)
}

/// A list of errors. Never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    /// Set once no more errors are accepted.
    closed: bool,
}

impl Diagnostics {
    /// In file order; errors of included files follow those of the including file.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Returns true if there are no errors.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Renders all errors, separated by an empty line, without a trailing newline.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> = self.items.iter().take(MAX_RENDERED).map(|item| item.render(color)).collect();
        if self.items.len() > MAX_RENDERED {
            parts.push(format!("and {} more", self.items.len() - MAX_RENDERED));
        }
        parts.join("\n\n")
    }

    /// Adds an error, unless no more are accepted.
    pub fn push(&mut self, item: Diagnostic) {
        if !self.closed {
            self.items.push(item);
            self.closed = self.items.len() >= MAX_KEPT;
        }
    }

    /// Adds an error and ignores all later ones, which would only be consequences of it.
    pub fn push_last(&mut self, item: Diagnostic) {
        self.push(item);
        self.closed = true;
    }

    /// Returns true if no more errors are accepted, so that callers can stop looking.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns true if another error would still be rendered. Suggestions are only computed in that case.
    pub fn are_few(&self) -> bool {
        self.items.len() < MAX_RENDERED
    }

    /// Number of stored errors.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Sorts by file and place, and removes duplicates from files that are included more than once.
    pub fn sort(&mut self) {
        let mut order: Vec<String> = Vec::new();
        for file in self.items.iter().filter_map(Diagnostic::file) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
        self.items.sort_by_key(|item| {
            let file = order.iter().position(|name| Some(name.as_str()) == item.file());
            (file, item.place.as_ref().map(|place| place.span().start))
        });
        self.items.dedup();
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(item: Diagnostic) -> Self {
        Self { items: vec![item], closed: false }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Candidate closest to `name`, if one is similar enough.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    let most = |candidate: &str| candidate.chars().count().max(3) / 3;
    let length = wanted.chars().count();
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= most(candidate))
        .map(|candidate| (strsim::osa_distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= most(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` if a candidate is similar enough, else `expected`.
pub fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>, expected: &str) -> String {
    nearest(name, candidates).map_or_else(|| expected.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// Formats names for messages: `a`, `b`, `c`.
pub fn quote_list<'k>(keys: impl IntoIterator<Item = &'k str>) -> String {
    keys.into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// Like [`quote_list`], but lists only the first [`MAX_LISTED`] names and counts the rest. For lists of unlimited
/// length.
pub fn quote_first<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    let mut names = names.into_iter();
    let first = quote_list(names.by_ref().take(MAX_LISTED));
    match names.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Formats a value for messages: in backticks, on one line, control characters escaped, long values truncated.
pub fn quote(text: &str) -> String {
    const MAX_LENGTH: usize = 60;
    let mut shown: String = text
        .chars()
        .take(MAX_LENGTH)
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(MAX_LENGTH).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::{nearest, quote};

    #[test]
    fn similar_names_are_suggested() {
        let keys = ["requests", "rate", "rotate_key", "key"];
        assert_eq!(nearest("reqests", keys), Some("requests"));
        assert_eq!(nearest("Rotate-Key", keys), Some("rotate_key"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn values_are_shown_on_one_line() {
        assert_eq!(quote("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 63);
    }
}
