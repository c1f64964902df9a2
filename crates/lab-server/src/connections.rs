//! [`Connections`]: the open connections of one listener, at most so many at once. A new one is let in at the cost of the one
//! that has been idle longest, so that clients who connect and say nothing keep nobody out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Descriptors that a process needs beside its connections: files, pipes, databases, connections of its own.
const RESERVE: u64 = 64;
/// The fewest connections of a listener, however few descriptors there are.
const FEWEST: usize = 8;

/// How many connections a listener may have, if `1 / parts` of the process's descriptors are for them and `most` are enough.
/// Raises the process's soft limit of descriptors to its hard one.
pub fn capacity(parts: u64, most: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is, which is what is then shared out.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let share = limit.saturating_sub(RESERVE) / parts;
    usize::try_from(share).unwrap_or(usize::MAX).clamp(FEWEST, most)
}

/// The open connections of one listener.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    /// A request that takes longer than this no longer protects its connection; none: it does for as long as it takes.
    stall: Option<Duration>,
    begun: Instant,
    table: Mutex<Table>,
    left: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<State>>,
}

/// What is known of one connection.
struct State {
    closed: CancellationToken,
    /// A request is being answered.
    busy: AtomicBool,
    /// It had a request already.
    used: AtomicBool,
    /// When it came, or its last request began or ended, in milliseconds since the listener began.
    since: AtomicU64,
}

/// A connection that was let in. It leaves when this is dropped.
pub struct Admission {
    id: u64,
    state: Arc<State>,
    shared: Arc<Shared>,
}

/// A request that is being answered. It ends when this is dropped.
pub struct Busy {
    state: Arc<State>,
    shared: Arc<Shared>,
}

impl Connections {
    pub fn new(capacity: usize, stall: Option<Duration>) -> Self {
        let (table, left) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { capacity, stall, begun: Instant::now(), table, left }) }
    }

    /// Lets a connection in. If there is no room, the one that is idle longest is closed; if all are busy, this waits.
    pub async fn admit(&self) -> Admission {
        loop {
            let left = self.shared.left.notified();
            if let Some(admission) = self.try_admit() {
                return admission;
            }
            // Also without a departure: a request may have stalled by then.
            let _ = tokio::time::timeout(Duration::from_secs(1), left).await;
        }
    }

    fn try_admit(&self) -> Option<Admission> {
        let shared = &self.shared;
        let mut table = shared.lock();
        if table.open.len() >= shared.capacity {
            let id = shared.least_active(&table)?;
            // Its task closes it at once; the reserve of descriptors is for the moment in between.
            table.open.remove(&id)?.closed.cancel();
        }
        let id = table.next;
        table.next += 1;
        let (busy, used, since) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(shared.now()));
        let state = Arc::new(State { closed: CancellationToken::new(), busy, used, since });
        table.open.insert(id, state.clone());
        Some(Admission { id, state, shared: shared.clone() })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The connection to close first: one that never had a request, then an idle one, then one whose request has stalled; of
    /// several the one that has been so longest.
    fn least_active(&self, table: &Table) -> Option<u64> {
        let now = self.now();
        let rank = |state: &State| {
            let since = state.since.load(Ordering::Relaxed);
            if !state.busy.load(Ordering::Relaxed) {
                return Some((u8::from(state.used.load(Ordering::Relaxed)), since));
            }
            let stalled = self.stall.is_some_and(|stall| u128::from(now.saturating_sub(since)) > stall.as_millis());
            stalled.then_some((2, since))
        };
        let ranked = table.open.iter().filter_map(|(id, state)| Some((rank(state)?, *id)));
        ranked.min().map(|(_, id)| id)
    }
}

impl Admission {
    /// Waits until the connection is to close, since another one needs its place.
    pub async fn closed(&self) {
        self.state.closed.cancelled().await;
    }

    /// Begins a request.
    pub fn busy(&self) -> Busy {
        self.state.since.store(self.shared.now(), Ordering::Relaxed);
        self.state.busy.store(true, Ordering::Relaxed);
        self.state.used.store(true, Ordering::Relaxed);
        Busy { state: self.state.clone(), shared: self.shared.clone() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.since.store(self.shared.now(), Ordering::Relaxed);
        self.state.busy.store(false, Ordering::Relaxed);
        self.shared.left.notify_one();
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.lock().open.remove(&self.id);
        self.shared.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_makes_room_first_and_who_is_being_answered_never() {
        let connections = Connections::new(3, None);
        let busy = connections.admit().await;
        let request = busy.busy();
        let idle = connections.admit().await;
        drop(idle.busy());
        let silent = connections.admit().await;
        let fourth = connections.admit().await;
        silent.closed().await;
        assert!(!idle.state.closed.is_cancelled() && !busy.state.closed.is_cancelled());
        let _fourth_request = fourth.busy();
        let fifth = connections.admit().await;
        idle.closed().await;
        let _fifth_request = fifth.busy();
        // All are busy: the next one waits for the end of a request.
        assert!(connections.try_admit().is_none());
        drop(request);
        let _sixth = connections.admit().await;
        busy.closed().await;
        assert_eq!(connections.shared.lock().open.len(), 3);
    }

    #[tokio::test]
    async fn a_request_that_stalls_protects_its_connection_no_longer() {
        let connections = Connections::new(1, Some(Duration::ZERO));
        let slow = connections.admit().await;
        let _request = slow.busy();
        let _next = connections.admit().await;
        slow.closed().await;
    }
}
