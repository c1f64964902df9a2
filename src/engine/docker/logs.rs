//! The logs of a lab: of several services in the order in which their lines were written, and on as they come, also those of
//! containers that start later.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::Inner;
use super::client::{Client, Event, Fault, FaultKind, Line};
use super::naming::SERVICE_LABEL;
use super::survey::Survey;
use crate::engine::{EngineError, EngineErrorKind, LogLine, LogRequest};

/// Lines that may wait for a reader, before containers' logs are read no further.
const BACKLOG: usize = 256;

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;
type Sender = mpsc::Sender<Result<LogLine, EngineError>>;

impl Inner {
    pub(super) async fn logs(&self, request: &LogRequest) -> Result<Lines, EngineError> {
        for name in &request.services {
            if self.service(name).is_none() {
                let known: Vec<&str> = self.stack.services.iter().map(|service| service.name.as_str()).collect();
                let detail = format!("there is no such service; there are {}", known.join(", "));
                return Err(EngineError::new(EngineErrorKind::Unsupported, detail).of(name));
            }
        }
        let client = self.client().await?;
        // Before the containers are looked at: one that starts in between is seen twice rather than never.
        let events = request.follow.then(|| client.events(&self.names.filter()));
        let survey = Survey::of(client, &self.names).await?;
        if survey.serving.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        let wanted = survey.serving.values().filter(|found| request.wants(&found.service));
        // The last lines of those that are new enough are not the new ones of the last.
        let tail = request.tail.filter(|_| request.since.is_none());
        let past = try_join_all(wanted.map(async |found| {
            let service = found.service.clone();
            let lines = client.log_tail(found.id(), tail, request.since).await?;
            let line = |line: Line| LogLine { service: service.clone(), time: line.time, text: line.text };
            let lines: Vec<LogLine> = lines.into_iter().map(line).collect();
            Ok::<_, EngineError>((service, found.id().to_owned(), lines))
        }))
        .await?;
        let shortened = request.tail.is_some() || request.since.is_some();
        let followed: Vec<Follow> = past
            .iter()
            .map(|(service, id, lines)| Follow {
                service: service.clone(),
                id: id.clone(),
                after: lines.iter().filter_map(|line| line.time).max().or_else(|| shortened.then(Utc::now)),
            })
            .collect();
        let past = request.pick(past.into_iter().map(|(_, _, lines)| lines).collect());
        let past = stream::iter(past.into_iter().map(Ok));
        let there = survey.serving.values().map(|found| found.id().to_owned()).collect();
        Ok(match events {
            Some(events) => past.chain(follow(client.clone(), request.clone(), followed, there, events)).boxed(),
            None => past.boxed(),
        })
    }
}

/// A container whose log is followed.
struct Follow {
    service: String,
    id: String,
    /// What came up to then has been told.
    after: Option<DateTime<Utc>>,
}

/// What comes to the logs from now on. Ends when no container of the lab is left, or the daemon is gone. `there`: every
/// container of the lab.
fn follow(
    client: Client,
    request: LogRequest,
    containers: Vec<Follow>,
    there: BTreeSet<String>,
    events: BoxStream<'static, Result<Event, Fault>>,
) -> impl Stream<Item = Result<LogLine, EngineError>> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(watch(client, request, containers, there, events, sender));
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|line| (line, receiver)) })
}

async fn watch(
    client: Client,
    request: LogRequest,
    containers: Vec<Follow>,
    mut there: BTreeSet<String>,
    mut events: BoxStream<'static, Result<Event, Fault>>,
    sender: Sender,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for container in containers {
        tasks.spawn(tell(client.clone(), container, sender.clone()));
    }
    while !there.is_empty() {
        let event = tokio::select! {
            // The reader has gone.
            () = sender.closed() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) if event.gone => {
                there.remove(&event.id);
            }
            Some(Ok(event)) => {
                // One that starts again goes on with its own log.
                let after = if there.insert(event.id.clone()) { None } else { Some(Utc::now()) };
                let Some(service) = event.labels.get(SERVICE_LABEL).filter(|name| request.wants(name)) else {
                    continue;
                };
                let container = Follow { service: service.clone(), id: event.id, after };
                tasks.spawn(tell(client.clone(), container, sender.clone()));
            }
            Some(Err(fault)) => {
                let _ = sender.send(Err(fault.into())).await;
                return;
            }
            None => return,
        }
    }
    // What the last of them wrote at their end.
    while tasks.join_next().await.is_some() {}
}

async fn tell(client: Client, container: Follow, sender: Sender) {
    let mut lines = client.log_follow(&container.id, container.after);
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(fault) if fault.is(FaultKind::NotFound) => return,
            Err(fault) => {
                let _ = sender.send(Err(fault.service(&container.service))).await;
                return;
            }
        };
        // The daemon gives whole seconds; what has been told is in there again.
        if line.time.zip(container.after).is_some_and(|(time, after)| time <= after) {
            continue;
        }
        let line = LogLine { service: container.service.clone(), time: line.time, text: line.text };
        if sender.send(Ok(line)).await.is_err() {
            return;
        }
    }
}
