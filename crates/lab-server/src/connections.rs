//! Bounded set of a listener's open connections. When [`Connections`] is full, a new connection evicts the one that has been
//! idle longest, so that silent clients cannot lock others out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// File descriptors reserved for everything but inbound connections: files, pipes, databases, outbound connections.
const RESERVE: u64 = 64;
/// Minimum number of connections of a listener, even if descriptors are scarce.
const FEWEST: usize = 8;

/// Returns the number of connections that a listener may hold: `1 / parts` of the process's descriptors, at most `most`.
/// Raises the process's soft descriptor limit to the hard limit.
pub fn capacity(parts: u64, most: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // If raising fails, the current limit applies.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let share = limit.saturating_sub(RESERVE) / parts;
    usize::try_from(share).unwrap_or(usize::MAX).clamp(FEWEST, most)
}

/// Open connections of one listener. Clones share the same set.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    /// Requests older than this no longer protect their connection from eviction. `None` means no limit.
    stall: Option<Duration>,
    started: Instant,
    table: Mutex<Table>,
    left: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<State>>,
}

/// State of one connection.
struct State {
    closed: CancellationToken,
    /// A request is in progress.
    busy: AtomicBool,
    /// The connection has served a request.
    used: AtomicBool,
    /// Time of the last change (opened, request started or ended), in milliseconds since the listener started.
    since: AtomicU64,
}

/// Guard of an admitted connection. Dropping it frees the slot.
pub struct Admission {
    id: u64,
    state: Arc<State>,
    shared: Arc<Shared>,
}

/// Guard of a request in progress. Dropping it marks the connection idle.
pub struct Busy {
    state: Arc<State>,
    shared: Arc<Shared>,
}

impl Connections {
    /// Creates a limit of `capacity` connections. Requests older than `stall` no longer protect their connection from
    /// eviction; `None` means that they always do.
    pub fn new(capacity: usize, stall: Option<Duration>) -> Self {
        let (table, left) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { capacity, stall, started: Instant::now(), table, left }) }
    }

    /// Admits a connection. If the set is full, evicts the connection that has been idle longest; if all are busy, waits.
    pub async fn admit(&self) -> Admission {
        loop {
            let left = self.shared.left.notified();
            if let Some(admission) = self.try_admit() {
                return admission;
            }
            // Check again even if no connection left: a request may have stalled by then.
            let _ = tokio::time::timeout(Duration::from_secs(1), left).await;
        }
    }

    fn try_admit(&self) -> Option<Admission> {
        let shared = &self.shared;
        let mut table = shared.lock();
        if table.open.len() >= shared.capacity {
            let id = shared.eviction_candidate(&table)?;
            // Its task closes it at once. Until then it uses one of the reserved descriptors.
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
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Selects the connection to evict: first unused ones, then idle ones, then stalled ones, the longest in that state first.
    fn eviction_candidate(&self, table: &Table) -> Option<u64> {
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
    /// Completes when the connection must close to make room for another one.
    pub async fn evicted(&self) {
        self.state.closed.cancelled().await;
    }

    /// Marks the connection busy until the guard is dropped.
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
    async fn unused_connections_are_evicted_first_and_busy_ones_never() {
        let connections = Connections::new(3, None);
        let busy = connections.admit().await;
        let request = busy.busy();
        let idle = connections.admit().await;
        drop(idle.busy());
        let silent = connections.admit().await;
        let fourth = connections.admit().await;
        silent.evicted().await;
        assert!(!idle.state.closed.is_cancelled() && !busy.state.closed.is_cancelled());
        let _fourth_request = fourth.busy();
        let fifth = connections.admit().await;
        idle.evicted().await;
        let _fifth_request = fifth.busy();
        // All are busy: the next connection waits for a request to end.
        assert!(connections.try_admit().is_none());
        drop(request);
        let _sixth = connections.admit().await;
        busy.evicted().await;
        assert_eq!(connections.shared.lock().open.len(), 3);
    }

    #[tokio::test]
    async fn a_stalled_request_does_not_protect_its_connection() {
        let connections = Connections::new(1, Some(Duration::ZERO));
        let slow = connections.admit().await;
        let _request = slow.busy();
        let _next = connections.admit().await;
        slow.evicted().await;
    }
}
