//! Database connections. [`Slots`] counts the free connections, to distinguish an exhausted pool from a database that does not
//! answer, which sqlx's pool cannot. [`query_within`] runs a query with a timeout.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::Database;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::{GaugeGuard, PoolMetrics};
use super::store::{EXHAUSTED, NO_ANSWER, Unavailable};

/// `SQLite`'s lock timeout. Shorter than the query timeout, so that `SQLite` reports the error itself and the connection stays
/// usable.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Permits for the connections of the pool.
pub(super) struct Slots {
    free: Arc<Semaphore>,
    metrics: PoolMetrics,
}

/// Permit for one connection, returned when dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

impl Slots {
    pub(super) fn new(connections: u32, metrics: PoolMetrics) -> Self {
        metrics.size.set(i64::from(connections));
        Self { free: Arc::new(Semaphore::new(connections as usize)), metrics }
    }

    /// Waits up to `wait` for a free connection, in first-come order.
    pub(super) async fn acquire(&self, wait: Duration) -> Result<Slot, Unavailable> {
        let Ok(Ok(permit)) = timeout(wait, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(EXHAUSTED);
        };
        Ok(Slot { _permit: permit, _counted: GaugeGuard::new(&self.metrics.in_use) })
    }

    /// Counts a request under `/api/` that got no connection. Health checks are not counted.
    pub(super) fn count_timeout(&self) {
        self.metrics.timeouts.inc();
    }
}

/// Pool options. Connections are not tested before use, which would cost a third more; [`query_within`] replaces those that
/// broke while idle. `connect_timeout` limits opening a connection.
pub(super) fn options<DB: Database>(connections: u32, connect_timeout: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(connect_timeout)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// `SQLite` options. The rollback journal lets an exclusive lock block readers, which is how the database is paused. Syncing is
/// off, because migrations recreate the rows if the file is lost.
pub(super) fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Opens the pool's connections in advance, so that the first requests do not wait for them. Stops after `limit`.
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

/// Runs a read-only query. Returns [`NO_ANSWER`] if it fails or takes longer than `limit`. The caller must hold a [`Slot`]. If the
/// connection broke while idle, for example because the database restarted, retries with the next one.
pub(super) async fn query_within<DB, T>(
    pool: &sqlx::Pool<DB>,
    limit: Duration,
    query: impl for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
) -> Result<T, Unavailable>
where
    DB: Database,
{
    let deadline = Instant::now() + limit;
    for _ in 0..=pool.options().get_max_connections() {
        let Ok(Ok(mut connection)) = timeout_at(deadline, pool.acquire()).await else { return Err(NO_ANSWER) };
        match timeout_at(deadline, query(&mut connection)).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) if is_broken(&error) => drop(connection.detach()),
            Ok(Err(_)) => return Err(NO_ANSWER),
            Err(_) => {
                // Do not return the connection: the pool would wait for the pending answer and be short of connections meanwhile.
                drop(connection.detach());
                return Err(NO_ANSWER);
            }
        }
    }
    Err(NO_ANSWER)
}

/// Returns `true` if the connection is lost, or the server reported that it is unavailable (class 57P: shutdown, crash or start).
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
