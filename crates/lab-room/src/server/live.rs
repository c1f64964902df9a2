//! Server-sent events: the fragments of a page that have changed. A connection begins with all of them, so that a page that was
//! disconnected is current again.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::host::{Fragments, Host, Page};

/// Interval at which an idle connection shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time after which a browser connects again.
const RETRY: Duration = Duration::from_secs(2);
/// Most connections of one page. The oldest one is closed for another one.
const STREAMS: usize = 16;

/// Open connections, by their pages. Those of strangers to the board are counted apart.
#[derive(Default)]
pub(super) struct Streams {
    open: Arc<Mutex<BTreeMap<Key, VecDeque<CancellationToken>>>>,
}

type Key = (Page, bool);

/// Guard of one connection.
struct Open {
    key: Key,
    closed: CancellationToken,
    streams: Arc<Mutex<BTreeMap<Key, VecDeque<CancellationToken>>>>,
}

impl Streams {
    fn open(&self, key: Key) -> Open {
        let closed = CancellationToken::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let page = open.entry(key).or_default();
        if page.len() >= STREAMS
            && let Some(oldest) = page.pop_front()
        {
            oldest.cancel();
        }
        page.push_back(closed.clone());
        Open { key, closed, streams: Arc::clone(&self.open) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Only the tokens of dropped connections are cancelled here, so this finds its own.
        self.closed.cancel();
        let mut open = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = open.get_mut(&self.key) {
            page.retain(|closed| !closed.is_cancelled());
            if page.is_empty() {
                open.remove(&self.key);
            }
        }
    }
}

/// One connection.
struct Connection {
    fragments: watch::Receiver<Fragments>,
    /// The version that the page has.
    sent: Fragments,
    events: VecDeque<Event>,
    /// The events are the last ones, because the room is closed.
    is_last: bool,
    host: Arc<Host>,
    open: Open,
    end: CancellationToken,
}

impl Connection {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some((Ok(event), self));
            }
            if self.is_last {
                return None;
            }
            tokio::select! {
                biased;
                // Also at the end of the server, so that pages show that the room is closed.
                changed = self.fragments.changed() => changed.ok()?,
                () = self.open.closed.cancelled() => return None,
                () = self.end.cancelled() => return None,
            }
            self.is_last = self.host.is_closed();
            let current = Arc::clone(&self.fragments.borrow_and_update());
            for fragment in current.iter().filter(|fragment| !self.sent.contains(fragment)) {
                // A carriage return would end a line of the event.
                let data = fragment.html.replace('\r', " ");
                self.events.push_back(Event::default().event(fragment.id).data(data));
            }
            self.sent = current;
            if self.is_last {
                // The script does not connect again.
                self.events.push_back(Event::default().event("closed").data("closed"));
            }
        }
    }
}

/// Answers with the fragments of a page. `is_known` is set for participants and the trainer.
pub(super) fn stream(server: &Server, page: Page, is_known: bool) -> Response {
    let mut fragments = server.host.subscribe(page);
    fragments.mark_changed();
    let connection = Connection {
        fragments,
        sent: Fragments::default(),
        events: VecDeque::from([Event::default().retry(RETRY).comment("connected")]),
        is_last: false,
        host: Arc::clone(&server.host),
        open: server.streams.open((page, is_known)),
        end: server.end.clone(),
    };
    let events = stream::unfold(connection, Connection::next);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
