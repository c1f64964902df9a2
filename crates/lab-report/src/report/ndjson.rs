//! Events as NDJSON, one object per line. [`read_events`] also reads files of later versions, and files that a crash
//! truncated.

use std::io::{self, BufRead, Write};

use serde::Deserialize;

use super::{Sink, encode};
use lab_core::event::Event;

/// Sink that writes and flushes one line per event.
#[derive(Debug)]
pub struct Ndjson<W> {
    out: W,
}

impl<W: Write> Ndjson<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Sink for Ndjson<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.out.write_all(&encode::line(event)?)?;
        self.out.flush()
    }
}

/// Error while reading events.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the events cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line before the last is not an event.
    #[error("line {line} is not an event: {source}")]
    Line {
        /// Line number, starting at 1.
        line: usize,
        /// Parse error.
        source: serde_json::Error,
    },
}

/// Names of the known kinds of events. A test compares them with [`lab_core::event::EventKind`].
const KINDS: [&str; 9] = [
    "run_started",
    "step_started",
    "step_finished",
    "notice",
    "undo_started",
    "undo_item",
    "run_finished",
    "alert",
    "logged",
];

/// Reads events in order. Unknown kinds and fields are ignored, and so is an incomplete last
/// line. Any other line that is not an event is an error.
pub fn read_events(mut input: impl BufRead) -> Result<Vec<Event>, ReadError> {
    let mut events = Vec::new();
    let mut torn = None;
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(error) = torn.take() {
            return Err(error);
        }
        match parse(&bytes) {
            Ok(event) => events.extend(event),
            Err(source) => torn = Some(ReadError::Line { line, source }),
        }
    }
    Ok(events)
}

/// Parses a line. `None` for an unknown kind.
fn parse(line: &[u8]) -> Result<Option<Event>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind {
        event: String,
    }
    let kind: Kind = serde_json::from_slice(line)?;
    if KINDS.contains(&kind.event.as_str()) { serde_json::from_slice(line).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Ndjson, ReadError, read_events};
    use crate::report::{encode, replay};
    use lab_core::event::EventKind;
    use lab_testkit::sample_runs;

    #[test]
    fn every_kind_is_known() {
        let name = |kind: &EventKind| match kind {
            EventKind::RunStarted(_) => KINDS[0],
            EventKind::StepStarted(_) => KINDS[1],
            EventKind::StepFinished(_) => KINDS[2],
            EventKind::Notice { .. } => KINDS[3],
            EventKind::UndoStarted { .. } => KINDS[4],
            EventKind::UndoItem(_) => KINDS[5],
            EventKind::RunFinished(_) => KINDS[6],
            EventKind::Alert(_) => KINDS[7],
            EventKind::Logged(_) => KINDS[8],
        };
        for event in sample_runs::everything() {
            let line = encode::line(&event).expect("in memory");
            let written = format!("\"event\":\"{}\"", name(&event.kind));
            assert!(String::from_utf8_lossy(&line).contains(&written), "{written}");
        }
    }

    #[test]
    fn events_survive_a_round_trip() {
        let events = sample_runs::everything();
        let mut bytes = Vec::new();
        replay(&events, &mut Ndjson::new(&mut bytes)).expect("in memory");
        let again = read_events(bytes.as_slice()).expect("just written");
        assert_eq!(again.len(), events.len());
        let lines: Vec<u8> = again.iter().flat_map(|event| encode::line(event).expect("in memory")).collect();
        assert_eq!(String::from_utf8_lossy(&lines), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn lines_are_as_documented() {
        let events = sample_runs::rotate_key();
        let line = encode::line(&events[6]).expect("in memory");
        insta::assert_snapshot!(String::from_utf8_lossy(&line));
    }

    #[test]
    fn only_the_last_line_may_be_truncated() {
        let mut bytes: Vec<u8> =
            sample_runs::rotate_key().iter().flat_map(|e| encode::line(e).expect("in memory")).collect();
        let whole = read_events(bytes.as_slice()).expect("whole").len();
        bytes.truncate(bytes.len() - 20);
        assert_eq!(read_events(bytes.as_slice()).expect("torn").len(), whole - 1);
        bytes.extend_from_slice(b"\n\0\0\0\n");
        match read_events(bytes.as_slice()) {
            Err(ReadError::Line { line, .. }) => assert_eq!(line, whole),
            other => panic!("expected an error of line {whole}: {other:?}"),
        }
    }

    #[test]
    fn a_later_version_may_add_fields_and_kinds() {
        let text = r#"{"at":"2026-11-24T10:15:30Z","elapsed":1,"event":"notice","message":"hello","mood":"good"}
            {"at":"2026-11-24T10:15:30Z","elapsed":1,"event":"weather","sky":"blue"}
            "#;
        assert_eq!(read_events(text.as_bytes()).expect("known and unknown").len(), 1);
    }
}
