//! [`Diagnostics`]: every mistake found in a file, each with its place, what was found, what was expected, and the
//! name that was probably meant. Rendered with the line of the file and a caret under the mistake.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::place::Place;

/// How many are rendered; the rest is counted.
const RENDERED: usize = 50;
/// How many are kept: whoever has more has one that is repeated.
const KEPT: usize = 10_000;
/// How many names a message lists of those that a file may have any number of.
const LISTED: usize = 20;
/// How much of a line is shown around the caret, in characters on each side.
const CONTEXT: usize = 200;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, and what was found.
    pub message: String,
    /// Where; none for what was typed on the command line.
    pub place: Option<Place>,
    /// What was expected there; may be empty.
    pub label: String,
    /// Other places that have to do with it, and where a value came from.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: String::new(), notes: Vec::new(), help: Vec::new() }
    }

    pub fn at(message: impl Into<String>, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..Self::new(message) }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The file's name, where it has a place.
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.file().name())
    }

    /// The line, from 1, where it has a place.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(Place::line)
    }

    /// The column in characters, from 1, where it has a place.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(Place::column)
    }

    /// As people read it, with the line of the file.
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

/// The line of a place, its number, and the place's span within it. All before the span is kept, so that the column is
/// right, unless the line is very long.
fn excerpt(place: &Place) -> (usize, &str, std::ops::Range<usize>) {
    let number = place.line();
    let (start, line) = place.file().line(number);
    let from = (place.span().start - start).min(line.len());
    let to = (place.span().end - start).clamp(from, line.len());
    let end = line[to..].char_indices().nth(CONTEXT).map_or(line.len(), |(at, _)| to + at);
    (number, &line[..end], from..to)
}

/// Every mistake found; not empty where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    /// No more are taken.
    closed: bool,
}

impl Diagnostics {
    /// In the order of the file; those of included files after those of the file that includes them.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// As people read them, an empty line between two, no line end after the last.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> = self.items.iter().take(RENDERED).map(|item| item.render(color)).collect();
        if self.items.len() > RENDERED {
            parts.push(format!("and {} more", self.items.len() - RENDERED));
        }
        parts.join("\n\n")
    }

    pub fn push(&mut self, item: Diagnostic) {
        if !self.closed {
            self.items.push(item);
            self.closed = self.items.len() >= KEPT;
        }
    }

    /// The last one: what would be found after it only follows from it.
    pub fn push_last(&mut self, item: Diagnostic) {
        self.push(item);
        self.closed = true;
    }

    /// Whether no more are taken: nobody has to look for them.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether one more would be read. Only then is it worth while to look for the name that was probably meant.
    pub fn are_few(&self) -> bool {
        self.items.len() < RENDERED
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Sorted by file and place; a mistake in a file that is included twice is one mistake.
    pub fn tidy(&mut self) {
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

/// The candidate that was probably meant by `name`, where one is near enough.
pub fn near<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
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

/// `did you mean …?` where a candidate is near, else what was expected.
pub fn meant<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>, expected: &str) -> String {
    near(name, candidates).map_or_else(|| expected.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// Names in a row, for messages: `a`, `b`, `c`.
pub fn list<'k>(keys: impl IntoIterator<Item = &'k str>) -> String {
    keys.into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// The first of so many names in a row, and how many more there are: for those that a file may have any number of.
pub fn first<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    let mut names = names.into_iter();
    let first = list(names.by_ref().take(LISTED));
    match names.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A value as a message shows it: on one line, special characters escaped, cut where it is long.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::{near, shown};

    #[test]
    fn a_near_miss_is_near() {
        let keys = ["requests", "rate", "rotate_key", "key"];
        assert_eq!(near("reqests", keys), Some("requests"));
        assert_eq!(near("Rotate-Key", keys), Some("rotate_key"));
        assert_eq!(near("banana", keys), None);
        assert_eq!(near("", keys), None);
    }

    #[test]
    fn values_are_shown_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 63);
    }
}
