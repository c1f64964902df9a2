//! YAML errors and limits, turned into diagnostics. Common causes get their own explanation instead of the parser's
//! message.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::diagnostics::Diagnostic;
use super::place::{Place, SourceFile};

/// Maximum nesting depth of a document.
pub(crate) const MAX_DEPTH: usize = 16;

/// Valid YAML that is not accepted.
pub(crate) enum Problem {
    /// Too many nodes or too much text, counted with aliases expanded.
    TooMuch,
    TooDeep,
    /// Length of the key in bytes.
    LongKey(usize),
    /// A mapping or a list as a key.
    ComplexKey,
    /// `!something`.
    Tag,
}

/// Byte offset of each line start, by YAML's definition of a line break.
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

/// Byte offset at which `[` and `{` nest too deep. Checked before parsing, because the parser's time grows with the
/// square of that depth. Quoted text and comments are ignored.
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    const MAX_FLOW_DEPTH: usize = 100;
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
        if depth > MAX_FLOW_DEPTH {
            return Some(at);
        }
        // A quote only opens at the start of a scalar.
        token = if c.is_whitespace() { token } else { matches!(c, '[' | '{' | ',' | ':' | '-' | '?') };
        previous = c;
    }
    None
}

/// Upper bound for the length of a number in `text`: the longest run of number characters.
pub(crate) fn longest_number(text: &str) -> usize {
    let other = |c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    text.split(other).map(str::len).max().unwrap_or(0)
}

/// Length of a scalar in the source, in bytes. Stops at the end of the line and at 1,000 characters.
pub(crate) fn scalar_length(rest: &str, value: &str) -> usize {
    const MAX_LENGTH: usize = 1000;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    if quote.is_none() && rest.starts_with(value) && !value.contains('\n') {
        return value.len();
    }
    if rest.starts_with(['|', '>']) {
        return 1;
    }
    let (mut escaped, mut end) = (false, 0);
    for (at, c) in rest.char_indices().take(MAX_LENGTH) {
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

/// Explains a parser error, or the limit that caused it.
pub(crate) fn diagnose(file: &Arc<SourceFile>, error: &serde_yaml::Error, problem: Option<&Problem>) -> Diagnostic {
    let place = place_of(file, error);
    problem.map_or_else(|| syntax_error(file, error, &place), |problem| limit_error(problem, &place))
}

/// Diagnostic for YAML that is valid but not accepted.
pub(crate) fn limit_error(problem: &Problem, place: &Place) -> Diagnostic {
    match problem {
        Problem::TooMuch => Diagnostic::at("the file is too large with its aliases (`*name`) expanded", place)
            .label("the limit is 50,000 values and 2 MiB of text")
            .help("repeat the values instead of using aliases"),
        Problem::TooDeep => depth_error(place),
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

fn place_of(file: &Arc<SourceFile>, error: &serde_yaml::Error) -> Place {
    let text = file.text();
    let offset = error.location().map_or(0, |location| {
        let start = yaml_lines(text).get(location.line().saturating_sub(1)).copied().unwrap_or(text.len());
        let rest = &text[start..];
        start + rest.char_indices().nth(location.column().saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    });
    // The parser often stops past the last line. Point at the last line with content instead.
    let offset = if offset >= text.len() { text.trim_end().len().min(offset) } else { offset };
    let length = text[offset..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    Place::new(file, offset..offset + length)
}

fn syntax_error(file: &Arc<SourceFile>, error: &serde_yaml::Error, place: &Place) -> Diagnostic {
    let message = error.to_string();
    if message.contains("more than one document") {
        let Some(place) = second_document(file) else { return trailing_content(file, place) };
        return Diagnostic::at("the file contains more than one document", &place)
            .label("a second one starts here")
            .help("remove the `---` line or split the file");
    }
    if message.contains("repetition limit") {
        return limit_error(&Problem::TooMuch, place);
    }
    if message.contains("recursion limit") {
        return depth_error(place);
    }
    let what = message.split(" at line ").next().unwrap_or_default();
    let what = what.split(" at position ").next().unwrap_or_default();
    unquoted_value(file, place).unwrap_or_else(|| {
        let diagnostic = Diagnostic::at(format!("this is not YAML: {what}"), place).label(cause(what));
        let (_, line) = file.line(place.line());
        if line.trim_start_matches(' ').starts_with('\t') {
            diagnostic.help("YAML is indented with spaces, not tabs")
        } else if what.contains("mapping values are not allowed") {
            diagnostic.help("quote values that contain `: `")
        } else {
            diagnostic
        }
    })
}

/// Likely cause of a parser message, in the user's terms.
fn cause(what: &str) -> &'static str {
    const CAUSES: [(&str, &str); 8] = [
        ("',' or '}'", "a `,` is missing, or a `{` is not closed"),
        ("',' or ']'", "a `,` is missing, or a `[` is not closed"),
        ("expected key", "expected `key: value` at the indentation of the keys above"),
        ("'-' indicator", "expected `- ` at the indentation of the list"),
        ("quoted scalar", "a quote is not closed"),
        ("unexpected end of stream", "a quote is not closed"),
        ("could not find expected ':'", "expected `: ` and a value"),
        ("unknown anchor", "there is no `&name` before it"),
    ];
    CAUSES.iter().find(|(part, _)| what.contains(part)).map_or("", |(_, cause)| cause)
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

/// Explains content after the end of the document. The parser reports it as a second document.
fn trailing_content(file: &Arc<SourceFile>, place: &Place) -> Diagnostic {
    let second = serde_yaml::Deserializer::from_str(file.text()).nth(1);
    let error = second.and_then(|document| IgnoredAny::deserialize(document).err());
    let place = error.map_or_else(|| place.clone(), |error| place_of(file, &error));
    Diagnostic::at("this is not YAML: the document ends before this", &place)
        .label("expected another key of the document, or the end of the file")
        .help("check the indentation, and look for an extra bracket or quote")
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
