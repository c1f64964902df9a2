//! What comes from the daemon piece by piece: logs, and what happens to containers.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};

use super::lines::Assembler;
pub(in crate::docker) use super::lines::Line;
use super::{CALL_TIMEOUT, Client, Fault, FaultKind, within};

/// By so much a daemon's clock may be behind, and no container is killed twice.
const MOMENT: TimeDelta = TimeDelta::seconds(2);
/// How long a stream may take to begin.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// So many lines tell how a container ended.
const LAST_WORDS: usize = 5;
/// How many times as many pieces are asked for if those that came were too few lines.
const MORE_PIECES: usize = 4;

/// The end of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct Tail {
    pub(in crate::docker) lines: VecDeque<Line>,
    /// When the last line was written, also if no line was asked for; none if there is none.
    pub(in crate::docker) last: Option<DateTime<Utc>>,
}

impl Client {
    /// The last `count` lines of a container's log, of those since a time to the second.
    pub(in crate::docker) async fn log_tail(
        &self,
        container: &str,
        count: usize,
        since: Option<DateTime<Utc>>,
    ) -> Result<Tail, Fault> {
        // The daemon counts the pieces of long lines, and the first piece that it gives may be the end of a line.
        let mut asked = count.saturating_add(1);
        loop {
            let mut pieces = self.pieces(container, Some(asked), since, false);
            let mut assembler = Assembler::new(!self.podman);
            let (mut tail, mut came, mut complete) = (Tail::default(), 0, 0);
            let mut take = |lines: Vec<Line>| {
                for line in lines {
                    complete += 1;
                    tail.last = line.time.or(tail.last);
                    tail.lines.push_back(line);
                    // One more than asked for: the first may be a fragment.
                    if tail.lines.len() > count + 1 {
                        tail.lines.pop_front();
                    }
                }
            };
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => {
                        came += 1;
                        take(assembler.take(&piece));
                    }
                    Err(fault) if is_spurious(&fault) => break,
                    Err(fault) => return Err(fault),
                }
            }
            take(assembler.finish());
            let is_all = came < asked;
            if is_all || complete > count {
                while tail.lines.len() > count {
                    tail.lines.pop_front();
                }
                return Ok(tail);
            }
            asked = asked.saturating_mul(MORE_PIECES);
        }
    }

    /// The last lines that a container wrote, without those that are empty; a few at most.
    pub(in crate::docker) async fn last_words(&self, container: &str) -> Vec<String> {
        let tail = self.log_tail(container, 2 * LAST_WORDS, None).await.unwrap_or_default();
        let mut lines: Vec<String> =
            tail.lines.into_iter().map(|line| line.text).filter(|text| !text.trim().is_empty()).collect();
        lines.split_off(lines.len().saturating_sub(LAST_WORDS))
    }

    /// A container's log as far as it goes now, `since` to the second.
    pub(in crate::docker) fn log_past(
        &self,
        container: &str,
        since: Option<DateTime<Utc>>,
    ) -> BoxStream<'static, Result<Line, Fault>> {
        lines(self.pieces(container, None, since, false), Assembler::new(!self.podman)).boxed()
    }

    /// A container's log from a time on, to the second, and as it grows, until the container ends.
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
        let of = subject.clone();
        let pieces = pieces.map(move |piece| piece.map_err(|error| Fault::of(of.clone(), &error))).boxed();
        // A log that is followed may be silent for any time.
        if follow { pieces } else { within(CALL_TIMEOUT, subject, pieces) }
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

    /// The containers with a label, as they start and as they are removed, from a moment ago on.
    pub(in crate::docker) fn events(&self, label: &str) -> BoxStream<'static, Result<Event, Fault>> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", ["start", "destroy", "remove"].map(str::to_owned).to_vec()),
            ("label", vec![label.to_owned()]),
        ]);
        let since = (Utc::now() - MOMENT).timestamp().to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since).build();
        let events = self.docker.clone().with_timeout(HEAD_TIMEOUT).events(Some(options));
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
pub(in crate::docker) struct Event {
    pub(in crate::docker) id: String,
    pub(in crate::docker) labels: HashMap<String, String>,
    /// It was removed; else it has started.
    pub(in crate::docker) gone: bool,
}

/// An error of the stream's own making, with which it may end if the container ended.
fn is_spurious(fault: &Fault) -> bool {
    fault.kind == FaultKind::Other && fault.detail.contains("remaining on stream")
}

/// Puts the pieces of a log together to lines.
fn lines(
    pieces: BoxStream<'static, Result<LogOutput, Fault>>,
    assembler: Assembler,
) -> impl Stream<Item = Result<Line, Fault>> + Send {
    stream::unfold(Some((pieces, assembler)), |open| async move {
        let (mut pieces, mut assembler) = open?;
        match pieces.next().await {
            Some(Ok(piece)) => Some((ok(assembler.take(&piece)), Some((pieces, assembler)))),
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
    async fn an_error_of_the_streams_own_making_is_its_end() {
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
