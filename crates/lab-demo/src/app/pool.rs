//! The connections to the database. [`Slots`] says whether one is free, so that "all are in use" and "the database does not
//! answer" are told apart, which the pool itself does not do; [`within`] is a query with a limit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::Database;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::{Held, PoolMetrics};
use super::store::{EXHAUSTED, SILENT, Unwell};

/// How long `SQLite` waits for a lock: shorter than a query may take, so that its own error comes first and its connection
/// stays fit for use.
const BUSY: Duration = Duration::from_millis(250);

/// The right to use a connection, one for each that there may be.
pub(super) struct Slots {
    free: Arc<Semaphore>,
    metrics: PoolMetrics,
}

/// One of them; given back when it is dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: Held,
}

impl Slots {
    /// So many.
    pub(super) fn new(connections: u32, metrics: PoolMetrics) -> Self {
        metrics.size.set(i64::from(connections));
        Self { free: Arc::new(Semaphore::new(connections as usize)), metrics }
    }

    /// One that is free within `wait`; whoever waits longest comes first.
    pub(super) async fn take(&self, wait: Duration) -> Result<Slot, Unwell> {
        let Ok(Ok(permit)) = timeout(wait, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(EXHAUSTED);
        };
        Ok(Slot { _permit: permit, _counted: Held::new(&self.metrics.in_use) })
    }

    /// A request under `/api/` got none. Health checks are not counted, as nowhere else.
    pub(super) fn count_timeout(&self) {
        self.metrics.timeouts.inc();
    }
}

/// No test before a connection is used (it would cost a third more): [`within`] sees to those that broke while idle.
/// `open` is how long opening one may take.
pub(super) fn options<DB: Database>(connections: u32, open: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(open)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// A rollback journal, so that a lock on the file keeps readers out: a frozen database is made with one. Nothing is synced:
/// the rows are made again where the file is lost.
pub(super) fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// Opens all connections one after the other, so that the first requests do not wait for that; as many as can be had within
/// `limit`.
pub(super) async fn fill<DB: Database>(pool: &sqlx::Pool<DB>, limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut open = Vec::new();
    while open.len() < pool.options().get_max_connections() as usize {
        match timeout_at(deadline, pool.acquire()).await {
            Ok(Ok(connection)) => open.push(connection),
            Ok(Err(sqlx::Error::PoolTimedOut)) => {}
            _ => return,
        }
    }
}

/// What `query` finds; [`SILENT`] where that fails or takes longer than `limit`. Whoever asks has a slot. A connection that broke while it was idle
/// (the database was started anew) is replaced, and the query, which only reads, put to the next one.
pub(super) async fn within<DB, T>(
    pool: &sqlx::Pool<DB>,
    limit: Duration,
    query: impl for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
) -> Result<T, Unwell>
where
    DB: Database,
{
    let deadline = Instant::now() + limit;
    for _ in 0..=pool.options().get_max_connections() {
        let Ok(Ok(mut connection)) = timeout_at(deadline, pool.acquire()).await else { return Err(SILENT) };
        match timeout_at(deadline, query(&mut connection)).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) if is_broken(&error) => drop(connection.detach()),
            Ok(Err(_)) => return Err(SILENT),
            Err(_) => {
                // Given back, it would be waited for until the database answers, and the pool be empty meanwhile.
                drop(connection.detach());
                return Err(SILENT);
            }
        }
    }
    Err(SILENT)
}

/// Whether the connection is gone, or the server said that it is about to go (class 57P: shut down, crashed, starting).
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
