//! What is wrong with a text before it means anything: YAML that cannot be read, or that nobody needs to read. Says it in
//! words of its own where it knows the usual cause.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::diagnostics::Diagnostic;
use super::place::{Place, SourceFile};

/// How deep a document may nest.
pub(crate) const DEEPEST: usize = 16;

/// What YAML allows and our files do not.
pub(crate) enum Problem {
    /// Too many nodes or too much text, aliases written out.
    TooMuch,
    /// Nested too deep.
    TooDeep,
    /// A key of too many bytes.
    LongKey(usize),
    /// A mapping or a list as a key.
    ComplexKey,
    /// `!something`.
    Tag,
}

/// The byte at which each line starts, as YAML counts lines.
pub(crate) fn yaml_lines(text: &str) -> Vec<usize> {
    let mut lines = vec![0];
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let joined = c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
        if matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') && !joined {
            lines.push(at + c.len_utf8());
        }
    }
    lines
}

/// The byte at which `[` and `{` nest absurdly deep. The reader's time grows with the square of that depth, so it is looked
/// at first; quoted texts and comments are left out.
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    const ABSURD: usize = 100;
    let (mut depth, mut quote, mut comment, mut token, mut previous) = (0_usize, None, false, true, ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) => {
                let escaped = open == '"' && previous == '\\';
                quote = quote.filter(|_| c != open || escaped);
                previous = if escaped { ' ' } else { c };
                continue;
            }
            (None, '\n') => comment = false,
            (None, _) if comment => {}
            (None, '#') if previous.is_whitespace() => comment = true,
            (None, '"' | '\'') if token => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > ABSURD {
            return Some(at);
        }
        // Only at the start of a scalar does a quote open one.
        token = if c.is_whitespace() { token } else { matches!(c, '[' | '{' | ',' | ':' | '-' | '?') };
        previous = c;
    }
    None
}

/// An upper bound of the bytes of each number in a text: the longest run of what numbers consist of.
pub(crate) fn longest_number(text: &str) -> usize {
    let other = |c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    text.split(other).map(str::len).max().unwrap_or(0)
}

/// How many bytes a scalar takes in its file, from `rest` on: at most to the end of its line, and not all of a very long one.
pub(crate) fn scalar_length(rest: &str, value: &str) -> usize {
    const LONGEST: usize = 1000;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    if quote.is_none() && rest.starts_with(value) && !value.contains('\n') {
        return value.len();
    }
    if rest.starts_with(['|', '>']) {
        return 1;
    }
    let (mut escaped, mut end) = (false, 0);
    for (at, c) in rest.char_indices().take(LONGEST) {
        if matches!(c, '\n' | '\r') {
            break;
        }
        if !c.is_whitespace() {
            end = at + c.len_utf8();
        }
        if Some(c) == quote && at > 0 && !escaped {
            break;
        }
        escaped = c == '\\' && quote == Some('"') && !escaped;
    }
    end
}

/// A mistake of the reader, or one of ours, as a person understands it.
pub(crate) fn diagnose(file: &Arc<SourceFile>, error: &serde_yaml::Error, problem: Option<&Problem>) -> Diagnostic {
    let place = place_of(file, error);
    problem.map_or_else(|| from_reader(file, error, &place), |problem| refused(problem, &place))
}

/// What is not ours to read, here.
pub(crate) fn refused(problem: &Problem, place: &Place) -> Diagnostic {
    match problem {
        Problem::TooMuch => Diagnostic::at("the file holds too much, its aliases (`*name`) written out", place)
            .label("the limit is 50,000 values and 2 MiB of text")
            .help("write the values out instead of naming them by an alias"),
        Problem::TooDeep => too_deep_at(place),
        Problem::LongKey(longest) => {
            Diagnostic::at("a key is too long", place).label(format!("the limit is {longest} bytes"))
        }
        Problem::ComplexKey => Diagnostic::at("a mapping or a list cannot be a key", place)
            .label("expected a word")
            .help("quote a value that holds `${…}`: \"${name}\""),
        Problem::Tag => {
            Diagnostic::at("a value starts with `!`, which is a tag in YAML", place).label("quote the value: \"!= 0\"")
        }
    }
}

/// The file nests too deep, here.
pub(crate) fn too_deep_at(place: &Place) -> Diagnostic {
    Diagnostic::at("the file nests too deep", place).label(format!("the limit is {DEEPEST} levels"))
}

fn place_of(file: &Arc<SourceFile>, error: &serde_yaml::Error) -> Place {
    let text = file.text();
    let offset = error.location().map_or(0, |location| {
        let start = yaml_lines(text).get(location.line().saturating_sub(1)).copied().unwrap_or(text.len());
        let rest = &text[start..];
        start + rest.char_indices().nth(location.column().saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    });
    // The reader often stops at the end of the text, behind the last line: there the last line with something on it is shown.
    let offset = if offset >= text.len() { text.trim_end().len().min(offset) } else { offset };
    let length = text[offset..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    Place::new(file, offset..offset + length)
}

fn from_reader(file: &Arc<SourceFile>, error: &serde_yaml::Error, place: &Place) -> Diagnostic {
    let message = error.to_string();
    if message.contains("more than one document") {
        let Some(place) = second_document(file) else { return after_the_end(file, place) };
        return Diagnostic::at("the file holds more than one document", &place)
            .label("a second one starts here")
            .help("one file is one document: remove the `---` line, or split the file");
    }
    if message.contains("repetition limit") {
        return refused(&Problem::TooMuch, place);
    }
    if message.contains("recursion limit") {
        return too_deep_at(place);
    }
    let what = message.split(" at line ").next().unwrap_or_default();
    let what = what.split(" at position ").next().unwrap_or_default();
    unquoted(file, place).unwrap_or_else(|| {
        let diagnostic = Diagnostic::at(format!("this is not YAML: {what}"), place).label(cause(what));
        let (_, line) = file.line(place.line());
        if line.trim_start_matches(' ').starts_with('\t') {
            diagnostic.help("YAML is indented with spaces, not with tabs")
        } else if what.contains("mapping values are not allowed") {
            diagnostic.help("quote a value that holds `: `")
        } else {
            diagnostic
        }
    })
}

/// What a message of the reader means to the person who wrote the file.
fn cause(what: &str) -> &'static str {
    const CAUSES: [(&str, &str); 8] = [
        ("',' or '}'", "a `,` is missing, or a `{` is not closed"),
        ("',' or ']'", "a `,` is missing, or a `[` is not closed"),
        ("expected key", "expected `key: value` at the indentation of the keys above"),
        ("'-' indicator", "expected `- ` at the indentation of the list"),
        ("quoted scalar", "a quote is not closed"),
        ("unexpected end of stream", "a quote is not closed"),
        ("could not find expected ':'", "expected `: ` and a value"),
        ("unknown anchor", "no `&name` before it"),
    ];
    CAUSES.iter().find(|(part, _)| what.contains(part)).map_or("", |(_, cause)| cause)
}

/// The usual causes: a value that must be quoted and is not, on the line of the mistake or the one before.
fn unquoted(file: &Arc<SourceFile>, place: &Place) -> Option<Diagnostic> {
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
                    .note("within `{ }` and `[ ]`, YAML takes the braces of `${…}` for its own"),
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

/// What the reader takes for a second document without a `---` is something that does not belong to the first.
fn after_the_end(file: &Arc<SourceFile>, place: &Place) -> Diagnostic {
    let second = serde_yaml::Deserializer::from_str(file.text()).nth(1);
    let error = second.and_then(|document| IgnoredAny::deserialize(document).err());
    let place = error.map_or_else(|| place.clone(), |error| place_of(file, &error));
    Diagnostic::at("this is not YAML: the document has ended before this", &place)
        .label("expected a key of the document, or nothing more")
        .help("look at the indentation, and for a bracket or a quote too many")
}

fn second_document(file: &Arc<SourceFile>) -> Option<Place> {
    let (mut seen, mut offset) = (false, 0);
    for line in file.text().split_inclusive('\n') {
        let marker = line.trim_end() == "---" || line.starts_with("--- ");
        if marker && seen {
            return Some(Place::new(file, offset..offset + 3));
        }
        seen |= marker || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        offset += line.len();
    }
    None
}
