//! Incremental parser that finds the end of a chunked body (RFC 9112, section 7.1).

use super::response::Malformed;

/// Maximum size of the line before a chunk, including extensions, in bytes.
const MAX_LINE: u32 = 4 << 10;
/// Maximum size of the trailer section in bytes.
const MAX_TRAILERS: u32 = 64 << 10;

/// Position in the body.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    place: Place,
    /// Size of the current chunk.
    size: u64,
    /// Bytes of the current line or of the trailers so far.
    seen: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first digit of a size.
    #[default]
    Begin,
    Digits,
    /// After the digits, in the extensions, which are ignored.
    Extension,
    /// After the carriage return of a size line.
    LineFeed,
    /// Number of bytes of the chunk still missing.
    Data(u64),
    /// After a chunk, before its line break.
    DataEnd,
    DataLineFeed,
    /// At the start of a trailer line.
    Trailer,
    InTrailer,
    /// In the final empty line.
    LastLineFeed,
}

impl Chunked {
    /// Parses the next bytes. Returns the bytes after the body, or `None` if the body is incomplete.
    /// Passes the data of the chunks to `data`.
    pub(super) fn feed<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<Option<&'a [u8]>, Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Place::Data(left) = self.place {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - taken as u64;
                self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                data(&bytes[..taken]);
                bytes = &bytes[taken..];
                continue;
            }
            bytes = rest;
            if self.place == Place::LastLineFeed {
                return if byte == b'\n' { Ok(Some(bytes)) } else { Err(Malformed) };
            }
            self.place = self.step(byte)?;
        }
        Ok(None)
    }

    /// Handles one byte outside the chunk data.
    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        self.seen += 1;
        Ok(match (self.place, byte) {
            (Place::Begin | Place::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.size = self.size.checked_mul(16).ok_or(Malformed)? + u64::from(digit);
                self.line(Place::Digits)?
            }
            (Place::Digits, b';' | b' ' | b'\t') => Place::Extension,
            (Place::Digits | Place::Extension, b'\r') => Place::LineFeed,
            (Place::Extension, byte) if byte != b'\n' => self.line(Place::Extension)?,
            (Place::LineFeed, b'\n') => {
                self.seen = 0;
                if self.size == 0 { Place::Trailer } else { Place::Data(std::mem::take(&mut self.size)) }
            }
            (Place::DataEnd, b'\r') => Place::DataLineFeed,
            (Place::DataLineFeed, b'\n') => {
                self.seen = 0;
                Place::Begin
            }
            (Place::Trailer, b'\r') => Place::LastLineFeed,
            (Place::InTrailer, b'\n') => Place::Trailer,
            (Place::Trailer | Place::InTrailer, _) if self.seen <= MAX_TRAILERS => Place::InTrailer,
            _ => return Err(Malformed),
        })
    }

    fn line(&self, place: Place) -> Result<Place, Malformed> {
        if self.seen > MAX_LINE { Err(Malformed) } else { Ok(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Result<Option<String>, Malformed> {
        let rest = Chunked::default().feed(text.as_bytes(), |_| {})?;
        Ok(rest.map(|rest| String::from_utf8_lossy(rest).into_owned()))
    }

    #[test]
    fn it_ends_after_the_last_chunk_and_its_trailers() {
        assert_eq!(feed("0\r\n\r\n"), Ok(Some(String::new())));
        assert_eq!(feed("a\r\n0123456789\r\n0\r\n\r\nrest"), Ok(Some("rest".to_owned())));
        assert_eq!(feed("000A ;x=\"y\"\r\n0123456789\r\n00\r\nx: y\r\nz: w\r\n\r\n"), Ok(Some(String::new())));
        assert_eq!(feed("a\r\n01234"), Ok(None));
        assert_eq!(feed("0\r\nx: y\r\n"), Ok(None));
    }

    #[test]
    fn the_data_is_passed_on_without_the_framing() {
        let mut data = Vec::new();
        let mut chunked = Chunked::default();
        for part in ["3\r\nab", "c\r\n2;x\r\nde", "\r\n0\r\nt: x\r\n\r\n"] {
            chunked.feed(part.as_bytes(), |bytes| data.extend_from_slice(bytes)).unwrap();
        }
        assert_eq!(data, b"abcde");
    }

    #[test]
    fn invalid_chunks_are_malformed() {
        for text in ["zz\r\n", "\r\n", "-1\r\n", "a\n", "1\r\nxx", "1\r\nx\n0", "11111111111111111\r\n", "0\r\n\rx"] {
            assert_eq!(feed(text), Err(Malformed), "{text:?}");
        }
        assert_eq!(feed(&format!("1;{}", "x".repeat(5000))), Err(Malformed));
        assert_eq!(feed(&"0".repeat(5000)), Err(Malformed), "an endless size");
        assert_eq!(feed(&format!("0\r\n{}", "x: y\r\n".repeat(20_000))), Err(Malformed));
    }
}
