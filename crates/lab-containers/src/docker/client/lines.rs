//! [`Assembler`] of log lines from pieces.
//!
//! Docker splits a line of more than 16 KiB into pieces and sends each in its own frame with a timestamp. Only the last piece ends
//! with a newline. Podman does the same with other sizes, or joins the pieces itself.

use bollard::container::LogOutput;
use chrono::{DateTime, Utc};

/// Maximum length; a longer line is split.
const MAX_LINE: usize = 1 << 20;
/// Size of Docker's smallest line buffer, minus the space that an unsplit character may leave. A shorter piece without a newline
/// is the last output of a process.
const FULL_PIECE: usize = 16 * 1024 - 4;

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Line {
    /// Time at which the daemon received it, or its first piece.
    pub(in crate::docker) time: Option<DateTime<Utc>>,
    pub(in crate::docker) text: String,
}

/// Joins pieces to lines, separately for stdout and stderr.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: [Option<Open>; 2],
    /// Only a piece of at least [`FULL_PIECE`] bytes can continue.
    full_pieces: bool,
}

/// An incomplete line.
#[derive(Debug)]
struct Open {
    time: Option<DateTime<Utc>>,
    text: Vec<u8>,
    /// Size of its last piece.
    last: usize,
}

impl Assembler {
    /// `full_pieces`: only full pieces continue, as with Docker.
    pub(super) fn new(full_pieces: bool) -> Self {
        Self { full_pieces, ..Self::default() }
    }

    /// Adds a piece and returns the completed lines.
    pub(super) fn push(&mut self, piece: &LogOutput) -> Vec<Line> {
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

    /// Returns the incomplete lines at the end of the log.
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

/// Splits `2026-11-24T08:00:00.123456789Z text` into time and text. An empty line may consist of the time only.
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
        let mut lines: Vec<Line> = pieces.iter().flat_map(|piece| assembler.push(piece)).collect();
        lines.extend(assembler.finish());
        lines
    }

    fn texts(full_pieces: bool, pieces: &[LogOutput]) -> Vec<String> {
        lines(full_pieces, pieces).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn pieces_become_lines_per_stream() {
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
        // The application's own output may begin with a time.
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
        assert_eq!(found[1].time, TIME.parse().ok(), "time of the first piece");
        // The sizes of Podman's pieces are those of its reads.
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
    fn an_endless_line_is_split() {
        let full = "x".repeat(16 * 1024);
        let pieces: Vec<LogOutput> = (0..130).map(|_| out(&format!("{TIME} {full}"))).collect();
        let found = texts(true, &pieces);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|text| text.bytes().all(|byte| byte == b'x')));
        assert_eq!(found.iter().map(String::len).sum::<usize>(), 130 * full.len());
    }
}
