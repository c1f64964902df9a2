//! What comes from the daemon piece by piece: logs, and what happens to containers.

use std::collections::HashMap;

use bollard::container::LogOutput;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};

use super::{CALL_TIMEOUT, Client, Fault, FaultKind};

/// A longer line is given in pieces.
const MAX_LINE: usize = 1 << 20;
/// By so much a daemon's clock may be behind, and no container is killed twice.
const MOMENT: TimeDelta = TimeDelta::seconds(2);
/// So many lines tell how a container ended.
const LAST_WORDS: usize = 5;

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::docker) struct Line {
    /// When the daemon took it.
    pub(in crate::engine::docker) time: Option<DateTime<Utc>>,
    pub(in crate::engine::docker) text: String,
}

impl Client {
    /// The last lines of a container's log, of all where `tail` is none; `since` to the second.
    pub(in crate::engine::docker) async fn log_tail(
        &self,
        container: &str,
        tail: Option<usize>,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Line>, Fault> {
        let subject = format!("the log of container {container}");
        let reading = self.log(container, tail, since, false).collect::<Vec<_>>();
        match tokio::time::timeout(CALL_TIMEOUT, reading).await {
            Ok(lines) => lines.into_iter().collect(),
            Err(_) => Err(Fault::timeout(subject)),
        }
    }

    /// The last lines that a container wrote, without those that are empty; a few at most.
    pub(in crate::engine::docker) async fn last_words(&self, container: &str) -> Vec<String> {
        let lines = self.log_tail(container, Some(2 * LAST_WORDS), None).await.unwrap_or_default();
        let mut lines: Vec<String> =
            lines.into_iter().map(|line| line.text).filter(|text| !text.trim().is_empty()).collect();
        lines.split_off(lines.len().saturating_sub(LAST_WORDS))
    }

    /// A container's log from a time on, and as it grows, until the container ends.
    pub(in crate::engine::docker) fn log_follow(
        &self,
        container: &str,
        since: Option<DateTime<Utc>>,
    ) -> BoxStream<'static, Result<Line, Fault>> {
        self.log(container, None, since, true)
    }

    fn log(
        &self,
        container: &str,
        tail: Option<usize>,
        since: Option<DateTime<Utc>>,
        follow: bool,
    ) -> BoxStream<'static, Result<Line, Fault>> {
        let tail = tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
        let since = since.and_then(|time| i32::try_from(time.timestamp()).ok()).unwrap_or_default();
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(follow)
            .since(since)
            .tail(&tail)
            .build();
        let subject = format!("the log of container {container}");
        let pieces = self.docker.logs(container, Some(options));
        let pieces = pieces.map(move |piece| piece.map_err(|error| Fault::of(subject.clone(), &error)));
        lines(pieces.boxed()).boxed()
    }

    /// That a container is killed, from a moment ago on.
    pub(super) fn deaths(&self, container: &str) -> BoxStream<'static, Result<(), Fault>> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", ["kill", "die", "destroy"].map(str::to_owned).to_vec()),
            ("container", vec![container.to_owned()]),
        ]);
        // What happens before the daemon has read this is told as well.
        let since = (Utc::now() - MOMENT).timestamp().to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since).build();
        let events = self.docker.events(Some(options));
        events.map(|event| event.map(drop).map_err(|error| Fault::of("the daemon's events", &error))).boxed()
    }

    /// The containers with a label, as they start and as they are removed.
    pub(in crate::engine::docker) fn events(&self, label: &str) -> BoxStream<'static, Result<Event, Fault>> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", ["start", "destroy", "remove"].map(str::to_owned).to_vec()),
            ("label", vec![label.to_owned()]),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let events = self.docker.events(Some(options));
        events
            .filter_map(|event| async move {
                match event {
                    Ok(event) => {
                        let actor = event.actor?;
                        let labels = actor.attributes.unwrap_or_default();
                        // Docker says destroy, Podman remove.
                        let gone = matches!(event.action.as_deref(), Some("destroy" | "remove"));
                        Some(Ok(Event { id: actor.id?, labels, gone }))
                    }
                    Err(error) => Some(Err(Fault::of("the daemon's events", &error))),
                }
            })
            .boxed()
    }
}

/// A container has started, or is gone.
#[derive(Clone, Debug)]
pub(in crate::engine::docker) struct Event {
    pub(in crate::engine::docker) id: String,
    pub(in crate::engine::docker) labels: HashMap<String, String>,
    /// It was removed; else it has started.
    pub(in crate::engine::docker) gone: bool,
}

/// Pieces of a log are cut where they happened to be written: stdout and stderr each are put together to lines.
fn lines(pieces: BoxStream<'static, Result<LogOutput, Fault>>) -> impl Stream<Item = Result<Line, Fault>> + Send {
    let rests: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    stream::unfold((Some(pieces), rests), |(pieces, mut rests)| async move {
        let mut pieces = pieces?;
        match pieces.next().await {
            Some(Ok(piece)) => {
                let which = usize::from(matches!(piece, LogOutput::StdErr { .. }));
                let done = whole_lines(&mut rests[which], piece.as_ref());
                Some((done, (Some(pieces), rests)))
            }
            // A stream may end in an error of its own making where the container ended.
            Some(Err(fault)) if fault.kind == FaultKind::Other && fault.detail.contains("remaining on stream") => {
                Some((last_lines(&rests), (None, [Vec::new(), Vec::new()])))
            }
            Some(Err(fault)) => Some((vec![Err(fault)], (None, rests))),
            None => Some((last_lines(&rests), (None, [Vec::new(), Vec::new()]))),
        }
    })
    .flat_map(stream::iter)
}

fn whole_lines(rest: &mut Vec<u8>, piece: &[u8]) -> Vec<Result<Line, Fault>> {
    let mut done = Vec::new();
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        rest.extend_from_slice(part);
        if part.ends_with(b"\n") || rest.len() > MAX_LINE {
            done.push(Ok(line(&std::mem::take(rest))));
        }
    }
    done
}

fn last_lines(rests: &[Vec<u8>; 2]) -> Vec<Result<Line, Fault>> {
    rests.iter().filter(|rest| !rest.is_empty()).map(|rest| Ok(line(rest))).collect()
}

/// `2026-11-24T08:00:00.123456789Z text`.
fn line(bytes: &[u8]) -> Line {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    match text.split_once(' ').map(|(time, rest)| (time.parse::<DateTime<Utc>>(), rest)) {
        Some((Ok(time), rest)) => Line { time: Some(time), text: rest.to_owned() },
        // An empty line is its time alone.
        _ => match text.parse::<DateTime<Utc>>() {
            Ok(time) => Line { time: Some(time), text: String::new() },
            Err(_) => Line { time: None, text: text.to_owned() },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "pieces of a stream are results")]
    fn out(text: &str) -> Result<LogOutput, Fault> {
        Ok(LogOutput::StdOut { message: text.to_owned().into() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "pieces of a stream are results")]
    fn err(text: &str) -> Result<LogOutput, Fault> {
        Ok(LogOutput::StdErr { message: text.to_owned().into() })
    }

    async fn texts(pieces: Vec<Result<LogOutput, Fault>>) -> Vec<String> {
        lines(stream::iter(pieces).boxed())
            .map(|line| line.map_or_else(|fault| fault.detail, |line| line.text))
            .collect()
            .await
    }

    #[tokio::test]
    async fn pieces_become_lines_each_stream_for_itself() {
        let time = "2026-11-24T08:00:00.123456789Z";
        let pieces = vec![
            out(&format!("{time} a")),
            err(&format!("{time} E\n")),
            out("b\n"),
            out(&format!("{time} \n")),
            out("c"),
        ];
        assert_eq!(texts(pieces).await, ["E", "ab", "", "c"]);
    }

    #[tokio::test]
    async fn an_error_of_the_streams_own_making_is_its_end() {
        let spurious = Fault::new(FaultKind::Other, "x", "bytes remaining on stream");
        assert_eq!(texts(vec![out("a\nb"), Err(spurious)]).await, ["a", "b"]);
        let real = Fault::new(FaultKind::Lost, "x", "connection reset");
        assert_eq!(texts(vec![out("a\nb"), Err(real)]).await, ["a", "connection reset"]);
    }
}
