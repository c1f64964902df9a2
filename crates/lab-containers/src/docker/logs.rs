//! Logs of a lab, merged in the order in which the lines were written. Following includes containers that start later. Lines are
//! read lazily; of existing logs, one line per service is buffered.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::Inner;
use super::client::{Client, Event, Fault, FaultKind, Line};
use super::names::SERVICE_LABEL;
use super::observed_state::{ObservedState, ServiceContainer};
use lab_core::engine::logs::merge;
use lab_core::engine::{EngineError, EngineErrorKind, LogLine, LogLines, LogRequest};

/// Number of buffered lines, after which reading from the containers pauses.
const BACKLOG: usize = 256;
/// Number of start and remove events that are buffered while existing lines are read.
const EVENTS: usize = 1024;

type Sender = mpsc::Sender<Result<LogLine, EngineError>>;
type Events = mpsc::Receiver<Result<Event, Fault>>;

impl Inner {
    pub(super) async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        for name in &request.services {
            if self.service(name).is_none() {
                let known: Vec<&str> = self.stack.services.iter().map(|service| service.name.as_str()).collect();
                let detail = format!("the service does not exist; this lab has {}", known.join(", "));
                return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(name));
            }
        }
        let client = self.client().await?;
        // Subscribe before the containers are listed, so that no start in between is missed.
        let events = request.follow.then(|| buffer(client.events(&self.names.filter())));
        let observed = ObservedState::inspect(client, &self.names).await?;
        if observed.active.is_empty() {
            return Err(EngineError::new(EngineErrorKind::NotUp, "").hint("lab up"));
        }
        let included = observed.active.values().filter(|found| request.includes(&found.service));
        let (mut past, containers): (Vec<LogLines>, Vec<FollowedLog>) =
            included.map(|found| existing_lines(client, found, request)).unzip();
        let unreadable = observed.unreadable.iter().filter(|(service, _)| request.includes(service));
        past.extend(unreadable.map(|(_, unreadable)| stream::iter([Err(unreadable.error.clone())]).boxed()));
        let past = merge(past);
        let Some(events) = events else { return Ok(past.boxed()) };
        let known = observed.active.values().map(|found| (found.id().to_owned(), found.container.started)).collect();
        let (client, request) = (client.clone(), request.clone());
        let follow = stream::once(async move { follow(client, request, containers, known, events) }).flatten();
        Ok(past.chain(follow).boxed())
    }
}

/// A container whose log is followed.
struct FollowedLog {
    service: String,
    id: String,
    state: Arc<Mutex<ReadState>>,
}

/// Progress of reading one container's log.
#[derive(Clone, Copy, Debug, Default)]
struct ReadState {
    /// Time up to which lines have been read.
    after: Option<DateTime<Utc>>,
    /// The log cannot be read.
    failed: bool,
}

impl FollowedLog {
    fn new(service: &str, id: &str, after: Option<DateTime<Utc>>) -> Self {
        let state = Arc::new(Mutex::new(ReadState { after, failed: false }));
        Self { service: service.to_owned(), id: id.to_owned(), state }
    }
}

fn lock(state: &Mutex<ReadState>) -> MutexGuard<'_, ReadState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams the existing lines of a container's log, and returns the state for following it.
fn existing_lines(client: &Client, found: &ServiceContainer, request: &LogRequest) -> (LogLines, FollowedLog) {
    let since = request.since;
    let before = since.and_then(|since| since.checked_sub_signed(TimeDelta::nanoseconds(1)));
    let follow = FollowedLog::new(&found.service, found.id(), before);
    let lines = match request.tail {
        Some(count) => {
            let (client, id, state) = (client.clone(), follow.id.clone(), Arc::clone(&follow.state));
            let tail = async move {
                match client.log_tail(&id, count, since).await {
                    Ok(tail) => {
                        let mut state = lock(&state);
                        state.after = state.after.max(tail.last);
                        stream::iter(tail.lines.into_iter().map(Ok)).boxed()
                    }
                    Err(fault) => stream::iter([Err(fault)]).boxed(),
                }
            };
            stream::once(tail).flatten().boxed()
        }
        None => client.log_past(found.id(), since),
    };
    let (service, state) = (follow.service.clone(), Arc::clone(&follow.state));
    // The daemon's filter has a resolution of one second.
    let is_old = move |line: &Result<Line, Fault>| {
        let time = line.as_ref().ok().and_then(|line| line.time);
        time.zip(since).is_some_and(|(time, since)| time < since)
    };
    let lines = lines.skip_while(move |line| ready(is_old(line))).filter_map(move |line| {
        let line = match line {
            Ok(line) => {
                let mut state = lock(&state);
                state.after = state.after.max(line.time);
                Some(Ok(LogLine { service: service.clone(), time: line.time, text: line.text }))
            }
            Err(fault) if is_gone(&fault) => None,
            Err(fault) => {
                lock(&state).failed = true;
                Some(Err(fault.service(&service)))
            }
        };
        ready(line)
    });
    (lines.boxed(), follow)
}

/// Returns true if a container was removed, or is being removed.
fn is_gone(fault: &Fault) -> bool {
    fault.is(FaultKind::NotFound) || fault.detail.contains("dead or marked for removal")
}

/// Buffers events from now on, even while nothing reads them.
fn buffer(mut events: BoxStream<'static, Result<Event, Fault>>) -> Events {
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

/// Containers of the lab with the time of their last start.
type KnownStarts = BTreeMap<String, Option<DateTime<Utc>>>;

/// Streams new lines. Ends when no container of the lab is left, or the daemon is gone.
fn follow(
    client: Client,
    request: LogRequest,
    containers: Vec<FollowedLog>,
    known: KnownStarts,
    events: Events,
) -> impl Stream<Item = Result<LogLine, EngineError>> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(watch(client, request, containers, known, events, sender));
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|line| (line, receiver)) })
}

async fn watch(
    client: Client,
    request: LogRequest,
    containers: Vec<FollowedLog>,
    mut known: KnownStarts,
    mut events: Events,
    sender: Sender,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for container in containers.into_iter().filter(|container| !lock(&container.state).failed) {
        tasks.spawn(forward(client.clone(), container, sender.clone()));
    }
    while !known.is_empty() {
        let event = tokio::select! {
            // The reader is gone.
            () = sender.closed() => return,
            event = events.recv() => event,
        };
        let started = match event {
            Some(Ok(event)) if event.removed => {
                known.remove(&event.id);
                continue;
            }
            Some(Ok(event)) => new_container(&client, event, &mut known).await,
            Some(Err(fault)) => Err(fault),
            None => return,
        };
        match started {
            Ok(Some(container)) if request.includes(&container.service) => {
                tasks.spawn(forward(client.clone(), container, sender.clone()));
            }
            Ok(_) => {}
            Err(fault) => {
                let _ = sender.send(Err(fault.into())).await;
                return;
            }
        }
    }
    // Drain the last lines of the containers.
    while tasks.join_next().await.is_some() {}
}

/// Returns the container of a start event, unless this start is already known.
async fn new_container(client: &Client, event: Event, known: &mut KnownStarts) -> Result<Option<FollowedLog>, Fault> {
    let Some(service) = event.labels.get(SERVICE_LABEL) else { return Ok(None) };
    let Some(found) = client.inspect(&event.id).await? else { return Ok(None) };
    let before = known.insert(event.id.clone(), found.started);
    // A restarted container continues its log.
    let after = before.and(found.started);
    Ok((before != Some(found.started)).then(|| FollowedLog::new(service, &event.id, after)))
}

async fn forward(client: Client, container: FollowedLog, sender: Sender) {
    let after = lock(&container.state).after;
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
        // The daemon's filter has a resolution of one second, so it repeats lines.
        if line.time.zip(after).is_some_and(|(time, after)| time <= after) {
            continue;
        }
        let line = LogLine { service: container.service.clone(), time: line.time, text: line.text };
        if sender.send(Ok(line)).await.is_err() {
            return;
        }
    }
}
