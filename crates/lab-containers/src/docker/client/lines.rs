//! [`Assembler`]: whole lines from the pieces of a container's log.
//!
//! Docker stores a line of more than 16 KiB in pieces, and sends each in a frame of its own, each with a timestamp before it.
//! Only the last one ends with a newline. Podman does the same with pieces of other sizes, or joins them itself.

use bollard::container::LogOutput;
use chrono::{DateTime, Utc};

/// A longer line is given in parts.
const MAX_LINE: usize = 1 << 20;
/// The size of Docker's smallest buffer for a line, less what a character that is not split may leave of it. A shorter piece
/// without a newline is the last output of a process.
const FULL_PIECE: usize = 16 * 1024 - 4;

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Line {
    /// When the daemon received it; of a line in pieces, the first.
    pub(in crate::docker) time: Option<DateTime<Utc>>,
    pub(in crate::docker) text: String,
}

/// Joins pieces to lines, of stdout and stderr separately.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: [Option<Open>; 2],
    /// A piece that goes on is at least [`FULL_PIECE`] long.
    full_pieces: bool,
}

/// A line without its end.
#[derive(Debug)]
struct Open {
    time: Option<DateTime<Utc>>,
    text: Vec<u8>,
    /// The size of its last piece.
    last: usize,
}

impl Assembler {
    /// `full_pieces`: only full pieces go on, as with Docker.
    pub(super) fn new(full_pieces: bool) -> Self {
        Self { full_pieces, ..Self::default() }
    }

    /// The lines that are complete with one more piece.
    pub(super) fn take(&mut self, piece: &LogOutput) -> Vec<Line> {
        let open = &mut self.open[usize::from(matches!(piece, LogOutput::StdErr { .. }))];
        let mut lines = Vec::new();
        for part in piece.as_ref().split_inclusive(|byte| *byte == b'\n') {
            let (time, content) = split_time(part);
            let is_over = |open: &mut Open| time.is_some() && self.full_pieces && open.last < FULL_PIECE;
            lines.extend(open.take_if(is_over).map(Open::finish));
            let line = open.get_or_insert_with(|| Open { time, text: Vec::new(), last: 0 });
            line.last = content.len();
            line.text.extend_from_slice(content);
            if content.ends_with(b"\n") || line.text.len() > MAX_LINE {
                lines.extend(open.take().map(Open::finish));
            }
        }
        lines
    }

    /// The lines that the log ended in.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        self.open.iter_mut().filter_map(Option::take).map(Open::finish).collect()
    }
}

impl Open {
    fn finish(self) -> Line {
        let text = String::from_utf8_lossy(&self.text);
        Line { time: self.time, text: text.trim_end_matches(['\n', '\r']).to_owned() }
    }
}

/// `2026-11-24T08:00:00.123456789Z text` as time and text. An empty line may be its time alone.
fn split_time(part: &[u8]) -> (Option<DateTime<Utc>>, &[u8]) {
    let end = part.iter().position(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(part.len());
    let (word, rest) = part.split_at(end);
    match std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()) {
        Some(time) => (Some(time), rest.strip_prefix(b" ").unwrap_or(rest)),
        None => (None, part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-24T08:00:00.123456789Z";
    const LATER: &str = "2026-11-24T08:00:00.200000000Z";

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: text.to_owned().into() }
    }

    fn err(text: &str) -> LogOutput {
        LogOutput::StdErr { message: text.to_owned().into() }
    }

    fn lines(full_pieces: bool, pieces: &[LogOutput]) -> Vec<Line> {
        let mut assembler = Assembler::new(full_pieces);
        let mut lines: Vec<Line> = pieces.iter().flat_map(|piece| assembler.take(piece)).collect();
        lines.extend(assembler.finish());
        lines
    }

    fn texts(full_pieces: bool, pieces: &[LogOutput]) -> Vec<String> {
        lines(full_pieces, pieces).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn pieces_become_lines_each_stream_for_itself() {
        let pieces = [
            out(&format!("{TIME} a")),
            err(&format!("{TIME} E\n")),
            out("b\n"),
            out(&format!("{TIME} \n{TIME}\n")),
            out("c"),
        ];
        assert_eq!(texts(true, &pieces), ["E", "ab", "", "", "c"]);
    }

    #[test]
    fn a_long_line_has_one_time() {
        let full = "x".repeat(16 * 1024);
        // What an application writes may itself begin with a time.
        let end = format!("{TIME} is its own");
        let pieces = [
            out(&format!("{TIME} {full}")),
            err(&format!("{TIME} beside it\n")),
            out(&format!("{LATER} {full}")),
            out(&format!("{LATER} {end}\n")),
            out(&format!("{LATER} next\n")),
        ];
        let found = lines(true, &pieces);
        let text: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(text, ["beside it", &format!("{full}{full}{end}"), "next"]);
        assert_eq!(found[1].time, TIME.parse().ok(), "the time of its first piece");
        // Podman's pieces have the sizes of its reads.
        let pieces = [out(&format!("{TIME} some")), out(&format!("{LATER} thing\n"))];
        assert_eq!(texts(false, &pieces), ["something"]);
    }

    #[test]
    fn the_last_output_of_a_process_is_a_line_of_its_own() {
        let full = "x".repeat(16 * 1024);
        let pieces = [
            out(&format!("{TIME} {full}")),
            out(&format!("{TIME} no newline")),
            out(&format!("{LATER} started again\n")),
        ];
        assert_eq!(texts(true, &pieces), [format!("{full}no newline"), "started again".to_owned()]);
    }

    #[test]
    fn a_line_without_an_end_is_given_in_parts() {
        let full = "x".repeat(16 * 1024);
        let pieces: Vec<LogOutput> = (0..130).map(|_| out(&format!("{TIME} {full}"))).collect();
        let found = texts(true, &pieces);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|text| text.bytes().all(|byte| byte == b'x')));
        assert_eq!(found.iter().map(String::len).sum::<usize>(), 130 * full.len());
    }
}
