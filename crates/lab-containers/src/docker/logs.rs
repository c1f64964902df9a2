//! The logs of a lab: of several services in the order in which their lines were written, and on as they come, also those of
//! containers that start later. Lines are read as they are asked for; of the past, one a service is held.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::Inner;
use super::client::{Client, Event, Fault, FaultKind, Line};
use super::naming::SERVICE_LABEL;
use super::survey::{Found, Survey};
use lab_core::engine::logs::merge;
use lab_core::engine::{EngineError, EngineErrorKind, LogLine, LogLines, LogRequest};

/// Lines that may wait for a reader, before containers' logs are read no further.
const BACKLOG: usize = 256;
/// Starts and ends of containers that may wait until the past has been read.
const EVENTS: usize = 1024;

type Sender = mpsc::Sender<Result<LogLine, EngineError>>;
type Events = mpsc::Receiver<Result<Event, Fault>>;

impl Inner {
    pub(super) async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        for name in &request.services {
            if self.service(name).is_none() {
                let known: Vec<&str> = self.stack.services.iter().map(|service| service.name.as_str()).collect();
                let detail = format!("there is no such service; there are {}", known.join(", "));
                return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(name));
            }
        }
        let client = self.client().await?;
        // Before the containers are listed, so that none that starts in between is missed.
        let events = request.follow.then(|| received(client.events(&self.names.filter())));
        let survey = Survey::of(client, &self.names).await?;
        if survey.serving.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        let wanted = survey.serving.values().filter(|found| request.wants(&found.service));
        let (mut past, containers): (Vec<LogLines>, Vec<Follow>) =
            wanted.map(|found| past(client, found, request)).unzip();
        let unread = survey.unread.iter().filter(|(service, _)| request.wants(service));
        past.extend(unread.map(|(_, unread)| stream::iter([Err(unread.error.clone())]).boxed()));
        let past = merge(past);
        let Some(events) = events else { return Ok(past.boxed()) };
        let there = survey.serving.values().map(|found| (found.id().to_owned(), found.container.started)).collect();
        let (client, request) = (client.clone(), request.clone());
        let follow = stream::once(async move { follow(client, request, containers, there, events) }).flatten();
        Ok(past.chain(follow).boxed())
    }
}

/// A container whose log is followed.
struct Follow {
    service: String,
    id: String,
    told: Arc<Mutex<Told>>,
}

/// How far a container's log has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Lines up to then have been read.
    after: Option<DateTime<Utc>>,
    /// It cannot be read.
    failed: bool,
}

impl Follow {
    fn new(service: &str, id: &str, after: Option<DateTime<Utc>>) -> Self {
        let told = Arc::new(Mutex::new(Told { after, failed: false }));
        Self { service: service.to_owned(), id: id.to_owned(), told }
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of a container's log that are there, and how to go on from them.
fn past(client: &Client, found: &Found, request: &LogRequest) -> (LogLines, Follow) {
    let since = request.since;
    let before = since.and_then(|since| since.checked_sub_signed(TimeDelta::nanoseconds(1)));
    let follow = Follow::new(&found.service, found.id(), before);
    let lines = match request.tail {
        Some(count) => {
            let (client, id, told) = (client.clone(), follow.id.clone(), Arc::clone(&follow.told));
            let tail = async move {
                match client.log_tail(&id, count, since).await {
                    Ok(tail) => {
                        let mut told = lock(&told);
                        told.after = told.after.max(tail.last);
                        stream::iter(tail.lines.into_iter().map(Ok)).boxed()
                    }
                    Err(fault) => stream::iter([Err(fault)]).boxed(),
                }
            };
            stream::once(tail).flatten().boxed()
        }
        None => client.log_past(found.id(), since),
    };
    let (service, told) = (follow.service.clone(), Arc::clone(&follow.told));
    // The daemon gives whole seconds.
    let is_old = move |line: &Result<Line, Fault>| {
        let time = line.as_ref().ok().and_then(|line| line.time);
        time.zip(since).is_some_and(|(time, since)| time < since)
    };
    let lines = lines.skip_while(move |line| ready(is_old(line))).filter_map(move |line| {
        let line = match line {
            Ok(line) => {
                let mut told = lock(&told);
                told.after = told.after.max(line.time);
                Some(Ok(LogLine { service: service.clone(), time: line.time, text: line.text }))
            }
            Err(fault) if is_gone(&fault) => None,
            Err(fault) => {
                lock(&told).failed = true;
                Some(Err(fault.service(&service)))
            }
        };
        ready(line)
    });
    (lines.boxed(), follow)
}

/// Whether a container was removed meanwhile, or is being removed.
fn is_gone(fault: &Fault) -> bool {
    fault.is(FaultKind::NotFound) || fault.detail.contains("dead or marked for removal")
}

/// Receives events from now on, also while nothing reads them.
fn received(mut events: BoxStream<'static, Result<Event, Fault>>) -> Events {
    let (sender, receiver) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                () = sender.closed() => return,
                event = events.next() => event,
            };
            let Some(event) = event else { return };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Each container of the lab, and when it was started last.
type There = BTreeMap<String, Option<DateTime<Utc>>>;

/// What comes to the logs from now on. Ends when no container of the lab is left, or the daemon is gone.
fn follow(
    client: Client,
    request: LogRequest,
    containers: Vec<Follow>,
    there: There,
    events: Events,
) -> impl Stream<Item = Result<LogLine, EngineError>> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(watch(client, request, containers, there, events, sender));
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|line| (line, receiver)) })
}

async fn watch(
    client: Client,
    request: LogRequest,
    containers: Vec<Follow>,
    mut there: There,
    mut events: Events,
    sender: Sender,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for container in containers.into_iter().filter(|container| !lock(&container.told).failed) {
        tasks.spawn(tell(client.clone(), container, sender.clone()));
    }
    while !there.is_empty() {
        let event = tokio::select! {
            // The reader has gone.
            () = sender.closed() => return,
            event = events.recv() => event,
        };
        let started = match event {
            Some(Ok(event)) if event.gone => {
                there.remove(&event.id);
                continue;
            }
            Some(Ok(event)) => started(&client, event, &mut there).await,
            Some(Err(fault)) => Err(fault),
            None => return,
        };
        match started {
            Ok(Some(container)) if request.wants(&container.service) => {
                tasks.spawn(tell(client.clone(), container, sender.clone()));
            }
            Ok(_) => {}
            Err(fault) => {
                let _ = sender.send(Err(fault.into())).await;
                return;
            }
        }
    }
    // What the last of them wrote at their end.
    while tasks.join_next().await.is_some() {}
}

/// The container of an event of a start, unless this start is known.
async fn started(client: &Client, event: Event, there: &mut There) -> Result<Option<Follow>, Fault> {
    let Some(service) = event.labels.get(SERVICE_LABEL) else { return Ok(None) };
    let Some(found) = client.inspect(&event.id).await? else { return Ok(None) };
    let before = there.insert(event.id.clone(), found.started);
    // One that was started again goes on with its own log.
    let after = before.and(found.started);
    Ok((before != Some(found.started)).then(|| Follow::new(service, &event.id, after)))
}

async fn tell(client: Client, container: Follow, sender: Sender) {
    let after = lock(&container.told).after;
    let mut lines = client.log_follow(&container.id, after);
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(fault) if is_gone(&fault) => return,
            Err(fault) => {
                let _ = sender.send(Err(fault.service(&container.service))).await;
                return;
            }
        };
        // The daemon gives whole seconds; what has been told is in there again.
        if line.time.zip(after).is_some_and(|(time, after)| time <= after) {
            continue;
        }
        let line = LogLine { service: container.service.clone(), time: line.time, text: line.text };
        if sender.send(Ok(line)).await.is_err() {
            return;
        }
    }
}
