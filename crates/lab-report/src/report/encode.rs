//! JSON output. Integral numbers have no fraction (`40`, not `40.0`); others are rounded to six decimals, which is a microsecond
//! for seconds. Fields keep their order.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::term::is_invisible;

/// Encodes a value as one line of NDJSON, including the newline.
pub fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    encode(value, CompactFormatter)
}

/// Encodes a value as an indented document.
pub fn document<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    encode(value, PrettyFormatter::new())
}

fn encode<T: Serialize>(value: &T, formatter: impl Formatter) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Numbers(formatter)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Replaces every string value of a document. Field names, numbers, order and layout are unchanged.
pub fn map_texts(json: &[u8], replace: impl Fn(&str) -> String) -> Vec<u8> {
    let json = String::from_utf8_lossy(json);
    let mut mapped = String::with_capacity(json.len());
    let mut rest = json.as_ref();
    while let Some(start) = rest.find('"') {
        mapped.push_str(&rest[..start]);
        let length = string_length(&rest[start..]);
        let (text, after) = rest[start..].split_at(length);
        let is_name = after.trim_start().starts_with(':');
        match serde_json::from_str::<String>(text) {
            Ok(found) if !is_name => {
                let new = replace(&found);
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

/// Length in bytes of the JSON string at the start, including its quotes.
fn string_length(json: &str) -> usize {
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

/// Formatter that rounds numbers, and escapes every character that a terminal would interpret or not show.
struct Numbers<F>(F);

type Writer<'a, W> = &'a mut W;

fn is_escaped(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

impl<F: Formatter> Formatter for Numbers<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: Writer<'_, W>, value: f64) -> io::Result<()> {
        // Larger doubles are not precise to six decimals.
        let rounded = if value.abs() < 1e9 { (value * 1e6).round() / 1e6 } else { value };
        // Adding zero turns -0 into 0. Rust prints the shortest digits that parse to the same value, without an exponent.
        write!(writer, "{}", rounded + 0.0)
    }

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
    fn numbers_have_at_most_six_decimals() {
        let bytes = line(&[40.0, -0.0, 0.1 + 0.2, 1.0 / 3.0, 2.000_000_04, 1e15, f64::NAN]).expect("in memory");
        assert_eq!(String::from_utf8_lossy(&bytes), "[40,0,0.3,0.333333,2,1000000000000000,null]\n");
    }

    #[test]
    fn documents_are_indented() {
        let bytes = document(&serde_json::json!({ "a": [1.5], "b": {} })).expect("in memory");
        assert_eq!(String::from_utf8_lossy(&bytes), "{\n  \"a\": [\n    1.5\n  ],\n  \"b\": {}\n}\n");
    }
}
