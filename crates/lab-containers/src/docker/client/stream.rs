//! Streams from the daemon: logs and container events.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};

use super::lines::Assembler;
pub(in crate::docker) use super::lines::Line;
use super::{CALL_TIMEOUT, Client, Fault, FaultKind, with_idle_timeout};

/// Tolerance for the daemon's clock. No container is killed twice within it.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(2);
/// Time for a stream to begin.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// Number of log lines in an error.
const LAST_LINES: usize = 5;
/// Factor by which more pieces are requested if they contained too few lines.
const PIECES_FACTOR: usize = 4;

/// The end of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct Tail {
    pub(in crate::docker) lines: VecDeque<Line>,
    /// Time of the last line, even if no line was requested.
    pub(in crate::docker) last: Option<DateTime<Utc>>,
}

impl Client {
    /// Reads the last `count` lines of a container's log, optionally since a time, with a resolution of one second.
    pub(in crate::docker) async fn log_tail(
        &self,
        container: &str,
        count: usize,
        since: Option<DateTime<Utc>>,
    ) -> Result<Tail, Fault> {
        // The daemon counts pieces of long lines, and its first piece may be the end of a line.
        let mut requested = count.saturating_add(1);
        loop {
            let mut pieces = self.pieces(container, Some(requested), since, false);
            let mut assembler = Assembler::new(!self.podman);
            let (mut tail, mut received, mut complete) = (Tail::default(), 0, 0);
            let mut take = |lines: Vec<Line>| {
                for line in lines {
                    complete += 1;
                    tail.last = line.time.or(tail.last);
                    tail.lines.push_back(line);
                    // Keep one more than requested: the first may be a fragment.
                    if tail.lines.len() > count + 1 {
                        tail.lines.pop_front();
                    }
                }
            };
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => {
                        received += 1;
                        take(assembler.push(&piece));
                    }
                    Err(fault) if is_spurious(&fault) => break,
                    Err(fault) => return Err(fault),
                }
            }
            take(assembler.finish());
            let is_all = received < requested;
            if is_all || complete > count {
                while tail.lines.len() > count {
                    tail.lines.pop_front();
                }
                return Ok(tail);
            }
            requested = requested.saturating_mul(PIECES_FACTOR);
        }
    }

    /// Last lines of a container's log that are not empty, a few at most.
    pub(in crate::docker) async fn last_lines(&self, container: &str) -> Vec<String> {
        let tail = self.log_tail(container, 2 * LAST_LINES, None).await.unwrap_or_default();
        let mut lines: Vec<String> =
            tail.lines.into_iter().map(|line| line.text).filter(|text| !text.trim().is_empty()).collect();
        lines.split_off(lines.len().saturating_sub(LAST_LINES))
    }

    /// Streams a container's existing log, `since` with a resolution of one second.
    pub(in crate::docker) fn log_past(
        &self,
        container: &str,
        since: Option<DateTime<Utc>>,
    ) -> BoxStream<'static, Result<Line, Fault>> {
        lines(self.pieces(container, None, since, false), Assembler::new(!self.podman)).boxed()
    }

    /// Streams a container's log from a time on, with a resolution of one second, until the container stops.
    pub(in crate::docker) fn log_follow(
        &self,
        container: &str,
        since: Option<DateTime<Utc>>,
    ) -> BoxStream<'static, Result<Line, Fault>> {
        lines(self.pieces(container, None, since, true), Assembler::new(!self.podman)).boxed()
    }

    fn pieces(
        &self,
        container: &str,
        tail: Option<usize>,
        since: Option<DateTime<Utc>>,
        follow: bool,
    ) -> BoxStream<'static, Result<LogOutput, Fault>> {
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
        let pieces = self.docker.clone().with_timeout(HEAD_TIMEOUT).logs(container, Some(options));
        let context = subject.clone();
        let pieces = pieces.map(move |piece| piece.map_err(|error| Fault::from_error(context.clone(), &error))).boxed();
        // A followed log may be silent for any time.
        if follow { pieces } else { with_idle_timeout(CALL_TIMEOUT, subject, pieces) }
    }

    /// Streams the kill events of a container, from a moment ago on.
    pub(super) fn deaths(&self, container: &str) -> BoxStream<'static, Result<(), Fault>> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", ["kill", "die", "destroy"].map(str::to_owned).to_vec()),
            ("container", vec![container.to_owned()]),
        ]);
        // Includes events that happen before the daemon has received this request.
        let since = (Utc::now() - CLOCK_TOLERANCE).timestamp().to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since).build();
        let events = self.docker.events(Some(options));
        events.map(|event| event.map(drop).map_err(|error| Fault::from_error("the daemon's events", &error))).boxed()
    }

    /// Streams start and remove events of the containers with a label, from a moment ago on.
    pub(in crate::docker) fn events(&self, label: &str) -> BoxStream<'static, Result<Event, Fault>> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", ["start", "destroy", "remove"].map(str::to_owned).to_vec()),
            ("label", vec![label.to_owned()]),
        ]);
        let since = (Utc::now() - CLOCK_TOLERANCE).timestamp().to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since).build();
        let events = self.docker.clone().with_timeout(HEAD_TIMEOUT).events(Some(options));
        events
            .filter_map(|event| async move {
                match event {
                    Ok(event) => {
                        let actor = event.actor?;
                        let labels = actor.attributes.unwrap_or_default();
                        // Docker reports destroy, Podman remove.
                        let removed = matches!(event.action.as_deref(), Some("destroy" | "remove"));
                        Some(Ok(Event { id: actor.id?, labels, removed }))
                    }
                    Err(error) => Some(Err(Fault::from_error("the daemon's events", &error))),
                }
            })
            .boxed()
    }
}

/// A container was started or removed.
#[derive(Clone, Debug)]
pub(in crate::docker) struct Event {
    pub(in crate::docker) id: String,
    pub(in crate::docker) labels: HashMap<String, String>,
    /// It was removed, rather than started.
    pub(in crate::docker) removed: bool,
}

/// Returns true for an error that the client library produces when a stream ends with its container.
fn is_spurious(fault: &Fault) -> bool {
    fault.kind == FaultKind::Other && fault.detail.contains("remaining on stream")
}

/// Joins the pieces of a log to lines.
fn lines(
    pieces: BoxStream<'static, Result<LogOutput, Fault>>,
    assembler: Assembler,
) -> impl Stream<Item = Result<Line, Fault>> + Send {
    stream::unfold(Some((pieces, assembler)), |open| async move {
        let (mut pieces, mut assembler) = open?;
        match pieces.next().await {
            Some(Ok(piece)) => Some((ok(assembler.push(&piece)), Some((pieces, assembler)))),
            Some(Err(fault)) if !is_spurious(&fault) => {
                let mut rest = ok(assembler.finish());
                rest.push(Err(fault));
                Some((rest, None))
            }
            Some(Err(_)) | None => Some((ok(assembler.finish()), None)),
        }
    })
    .flat_map(stream::iter)
}

fn ok(lines: Vec<Line>) -> Vec<Result<Line, Fault>> {
    lines.into_iter().map(Ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spurious_error_ends_the_stream() {
        let out = |text: &str| Ok(LogOutput::StdOut { message: text.to_owned().into() });
        let texts = async |pieces: Vec<Result<LogOutput, Fault>>| -> Vec<String> {
            let lines = lines(stream::iter(pieces).boxed(), Assembler::new(true));
            lines.map(|line| line.map_or_else(|fault| fault.detail, |line| line.text)).collect().await
        };
        let spurious = Fault::new(FaultKind::Other, "x", "bytes remaining on stream");
        assert_eq!(texts(vec![out("a\nb"), Err(spurious)]).await, ["a", "b"]);
        let real = Fault::new(FaultKind::Lost, "x", "connection reset");
        assert_eq!(texts(vec![out("a\nb"), Err(real)]).await, ["a", "b", "connection reset"]);
    }
}
