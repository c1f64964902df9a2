//! JSON as our documents have it: whole numbers are written whole (`40`, not `40.0`), others to the sixth decimal, which
//! for seconds is the microsecond. Fields keep their order.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::term::is_invisible;

/// One line, its end included: for `ndjson`.
pub fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    encode(value, CompactFormatter)
}

/// A document that people can read too.
pub fn document<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    encode(value, PrettyFormatter::new())
}

fn encode<T: Serialize>(value: &T, formatter: impl Formatter) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Numbers(formatter)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A document with each of its texts replaced; names of fields, numbers and order stay.
pub fn map_texts(json: &[u8], replaced: impl Fn(&str) -> String) -> Vec<u8> {
    let json = String::from_utf8_lossy(json);
    let mut mapped = String::with_capacity(json.len());
    let mut rest = json.as_ref();
    while let Some(start) = rest.find('"') {
        mapped.push_str(&rest[..start]);
        let length = length_of_text(&rest[start..]);
        let (text, after) = rest[start..].split_at(length);
        let is_name = after.trim_start().starts_with(':');
        match serde_json::from_str::<String>(text) {
            Ok(found) if !is_name => {
                let new = replaced(&found);
                let written =
                    if new == found { None } else { line(&new).ok().and_then(|line| String::from_utf8(line).ok()) };
                mapped.push_str(written.as_deref().map_or(text, str::trim_end));
            }
            _ => mapped.push_str(text),
        }
        rest = after;
    }
    mapped.push_str(rest);
    mapped.into_bytes()
}

/// The length of a text in JSON, its quotes included.
fn length_of_text(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// Another formatter, with our numbers, and with texts in which a terminal finds nothing to obey.
struct Numbers<F>(F);

type Writer<'a, W> = &'a mut W;

fn is_escaped(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

impl<F: Formatter> Formatter for Numbers<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>, value: f64) -> io::Result<()> {
        // Beyond this a double has no sixth decimal to round to.
        let rounded = if value.abs() < 1e9 { (value * 1e6).round() / 1e6 } else { value };
        // Adding zero makes -0 a plain 0. Rust prints the shortest digits that read back the same, without exponent.
        write!(writer, "{}", rounded + 0.0)
    }

    /// What JSON itself leaves unescaped and a terminal would obey, or not show, is escaped as well.
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: Writer<'_, W>,
        fragment: &str,
    ) -> io::Result<()> {
        let mut from = 0;
        for (at, found) in fragment.char_indices().filter(|(_, c)| is_escaped(*c)) {
            writer.write_all(&fragment.as_bytes()[from..at])?;
            let mut units = [0; 2];
            for unit in found.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            from = at + found.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[from..])
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::{document, line};

    #[test]
    fn whole_numbers_are_written_whole_and_others_short() {
        let bytes = line(&[40.0, -0.0, 0.1 + 0.2, 1.0 / 3.0, 2.000_000_04, 1e15, f64::NAN]).expect("in memory");
        assert_eq!(String::from_utf8_lossy(&bytes), "[40,0,0.3,0.333333,2,1000000000000000,null]\n");
    }

    #[test]
    fn documents_are_indented() {
        let bytes = document(&serde_json::json!({ "a": [1.5], "b": {} })).expect("in memory");
        assert_eq!(String::from_utf8_lossy(&bytes), "{\n  \"a\": [\n    1.5\n  ],\n  \"b\": {}\n}\n");
    }
}
