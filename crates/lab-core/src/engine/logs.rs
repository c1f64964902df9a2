//! Log requests and lines, and what the engines share: timestamps, and merging the lines of several services.

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use super::EngineError;

/// Stream of log lines. An error concerns one service; lines of other services may follow.
pub type LogLines = BoxStream<'static, Result<LogLine, EngineError>>;

/// Selects log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// Services to include; empty for all.
    pub services: Vec<String>,
    /// Maximum number of lines per service, counted from the end. `None` for all.
    pub tail: Option<usize>,
    /// Only lines written at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Keeps streaming new lines until the stream is dropped.
    pub follow: bool,
}

/// Line of a service's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Service that wrote the line.
    pub service: String,
    /// Time of the line, or of the previous line if unknown.
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
    /// Without the line ending.
    pub text: String,
}

impl LogLine {
    /// The text without a leading timestamp, if that equals `time`.
    pub fn without_time(&self) -> &str {
        let split =
            self.text.split_once(' ').filter(|(first, _)| first.parse().ok() == self.time && self.time.is_some());
        split.map_or(&self.text, |(_, rest)| rest)
    }
}

impl LogRequest {
    /// Returns whether the request includes this service.
    pub fn includes(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == service)
    }

    /// Selects the requested lines and merges them by time. Lines of one service keep their order.
    pub fn select(&self, services: Vec<Vec<LogLine>>) -> Vec<LogLine> {
        let mut selected = Vec::new();
        for lines in services {
            let mut lines = timed(lines);
            // Times never decrease here, so lines that are too old come first.
            let old = self.since.map_or(0, |since| lines.partition_point(|(time, _)| *time < since));
            let more = self.tail.map_or(0, |tail| (lines.len() - old).saturating_sub(tail));
            selected.extend(lines.drain(old + more..));
        }
        selected.sort_by_key(|(time, _)| *time);
        selected.into_iter().map(|(_, line)| line).collect()
    }
}

/// Assigns non-decreasing times, so that lines of one service keep their order.
fn timed(lines: Vec<LogLine>) -> Vec<(DateTime<Utc>, LogLine)> {
    // Leading lines without a time sort directly before the next line.
    let mut last = lines.iter().find_map(|line| line.time).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let with_time = |mut line: LogLine| {
        last = line.time.unwrap_or(last).max(last);
        line.time = Some(last).filter(|time| *time > DateTime::<Utc>::MIN_UTC);
        (last, line)
    };
    lines.into_iter().map(with_time).collect()
}

/// Merges the lines of several services by time; each service keeps its order. At most one line per service is
/// buffered. If a log fails, its stream ends with the error and the others continue.
pub fn merge(services: Vec<LogLines>) -> impl Stream<Item = Result<LogLine, EngineError>> + Send {
    let sources: Vec<Source> = services.into_iter().map(Source::new).collect();
    stream::unfold(sources, |mut sources| async move {
        join_all(sources.iter_mut().map(Source::fill)).await;
        let first = sources.iter_mut().filter(|source| source.head.is_some()).min_by_key(|source| source.order())?;
        let line = first.head.take()?;
        Some((line, sources))
    })
}

/// Line stream of one service with one line of lookahead.
struct Source {
    lines: Option<LogLines>,
    head: Option<Result<LogLine, EngineError>>,
    /// Time of the last line; later lines are never earlier.
    last: DateTime<Utc>,
}

impl Source {
    fn new(lines: LogLines) -> Self {
        Self { lines: Some(lines), head: None, last: DateTime::<Utc>::MIN_UTC }
    }

    /// Reads the next line, unless one is buffered or the stream has ended.
    async fn fill(&mut self) {
        let (None, Some(lines)) = (&self.head, &mut self.lines) else { return };
        self.head = lines.next().await;
        match &mut self.head {
            Some(Ok(line)) => {
                self.last = line.time.unwrap_or(self.last).max(self.last);
                line.time = Some(self.last).filter(|time| *time > DateTime::<Utc>::MIN_UTC);
            }
            Some(Err(_)) | None => self.lines = None,
        }
    }

    /// Errors sort before all remaining lines.
    fn order(&self) -> DateTime<Utc> {
        if matches!(self.head, Some(Err(_))) { DateTime::<Utc>::MIN_UTC } else { self.last }
    }
}

/// Timestamp in a line of lab's own services: the first word, or the first member of a JSON object.
pub fn time_in(text: &str) -> Option<DateTime<Utc>> {
    let time = match text.strip_prefix("{\"time\":\"") {
        Some(rest) => rest.split_once('"')?.0,
        None => text.split_once(' ')?.0,
    };
    time.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds, 0)
    }

    fn line(service: &str, time: Option<DateTime<Utc>>, text: &str) -> LogLine {
        LogLine { service: service.to_owned(), time, text: text.to_owned() }
    }

    fn selected(request: &LogRequest) -> Vec<String> {
        let app = vec![line("app", at(1), "a1"), line("app", None, "a1b"), line("app", at(5), "a5")];
        let db = vec![line("db", None, "d"), line("db", at(4), "d4"), line("db", at(3), "d3, the clock was set")];
        request.select(vec![app, db]).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_merged_by_time_and_a_service_keeps_its_order() {
        let texts = selected(&LogRequest::default());
        assert_eq!(texts, ["a1", "a1b", "d", "d4", "d3, the clock was set", "a5"]);
    }

    #[test]
    fn tail_counts_only_lines_after_since() {
        let request = LogRequest { since: at(4), ..LogRequest::default() };
        assert_eq!(selected(&request), ["d", "d4", "d3, the clock was set", "a5"]);
        assert_eq!(selected(&LogRequest { tail: Some(1), ..request.clone() }), ["d3, the clock was set", "a5"]);
        assert_eq!(selected(&LogRequest { since: at(6), ..request }), Vec::<String>::new());
        assert_eq!(selected(&LogRequest { tail: Some(0), ..LogRequest::default() }), Vec::<String>::new());
    }

    #[tokio::test]
    async fn streams_are_merged_by_time_and_a_failed_one_does_not_end_the_others() {
        use super::super::EngineErrorKind;

        let read = Arc::new(AtomicUsize::new(0));
        let counted = |lines: Vec<Result<LogLine, EngineError>>| {
            let read = Arc::clone(&read);
            stream::iter(lines)
                .inspect(move |_| {
                    read.fetch_add(1, Ordering::Relaxed);
                })
                .boxed()
        };
        let app = [(1, "a1"), (1, "a1b"), (5, "a5"), (9, "a9")].map(|(time, text)| Ok(line("app", at(time), text)));
        let db = [(4, "d4"), (3, "d3, the clock was set")].map(|(time, text)| Ok(line("db", at(time), text)));
        let none = EngineError::new(EngineErrorKind::System, "no log").for_service("none");
        let cut =
            [Ok(line("cut", at(2), "c2")), Err(EngineError::new(EngineErrorKind::System, "broken").for_service("cut"))];
        let sources = vec![counted(app.into()), counted(vec![Err(none)]), counted(db.into()), counted(cut.into())];
        let mut merged = std::pin::pin!(merge(sources));
        let mut found = Vec::new();
        while let Some(line) = merged.next().await {
            let held = read.load(Ordering::Relaxed) - found.len();
            assert!(held <= 4, "at most one line of each service is buffered, not {held}");
            found.push(line.map_or_else(|error| error.detail, |line| line.text));
        }
        assert_eq!(found, ["no log", "a1", "a1b", "c2", "broken", "d4", "d3, the clock was set", "a5", "a9"]);
    }

    #[test]
    fn a_line_of_labs_own_services_has_its_time() {
        let time = "2026-11-24T11:31:12.621Z";
        assert_eq!(time_in(&format!("{time} access status=200")), time.parse().ok());
        assert_eq!(time_in(&format!("{{\"time\":\"{time}\",\"note\":\"x\"}}")), time.parse().ok());
        assert_eq!(time_in("ready 127.0.0.1:43301"), None);
        assert_eq!(time_in("{\"time\":\""), None);
    }
}
