//! [`Store`]: the users, in Postgres or in `SQLite`. One query text serves both dialects; pools and migrations are two. No
//! call takes longer than [`TIMEOUT`], whatever the database does.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use serde::Serialize;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Database, PgPool, SqlitePool};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::service::log::Log;

use super::config::DatabaseUrl;

/// The longest that a request waits for the database: for a connection and for its answer, together.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How long `SQLite` waits for a lock: shorter, so that its own error comes first and its connection stays fit for use.
const BUSY: Duration = Duration::from_millis(250);
/// How long one attempt to migrate may take.
const MIGRATION: Duration = Duration::from_secs(10);
/// Between attempts to migrate, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Few connections: `SQLite`'s are threads that share two cores with us, Postgres' are processes.
const CONNECTIONS: u32 = 4;

const USERS: &str = "SELECT id, name FROM users ORDER BY id";
/// Reads the file, which `SELECT 1` alone does not in `SQLite`.
const PROBE: &str = "SELECT id FROM users LIMIT 1";

/// `SQLite`'s codes for "another holds the lock" and "the file cannot be opened".
const SQLITE_SILENT: [&str; 2] = ["5", "14"];

/// A row of the list.
#[derive(Serialize, sqlx::FromRow)]
pub(super) struct User {
    id: i64,
    name: String,
}

/// The database does not answer as it should: why, in a word or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwell(pub(super) &'static str);

const SILENT: Unwell = Unwell("does not answer");

/// The users' database.
pub(super) struct Store {
    pool: Pool,
    /// One of [`State`].
    state: AtomicU8,
}

enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// How far the start has come.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Migrating,
    Silent,
    Refused,
    Ready,
}

impl Store {
    /// Connects when first used.
    pub(super) fn new(database: DatabaseUrl) -> Self {
        let pool = match database {
            DatabaseUrl::Postgres(options) => {
                let options = options.application_name("lab app").disable_statement_logging();
                Pool::Postgres(pool_options().connect_lazy_with(options))
            }
            DatabaseUrl::Sqlite(options) => Pool::Sqlite(pool_options().connect_lazy_with(sqlite(*options))),
        };
        Self { pool, state: AtomicU8::new(State::Migrating as u8) }
    }

    /// Makes the tables and their rows where they are not there yet; tries again until it succeeds.
    pub(super) async fn migrate(&self, log: &Log) {
        let mut pause = RETRY.0;
        loop {
            let state = match timeout(MIGRATION, self.pool.migrate()).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    log.note(format_args!("cannot migrate the database: {error}"));
                    if is_silence(&error) { State::Silent } else { State::Refused }
                }
                Err(_) => {
                    log.note(format_args!("cannot migrate the database: no answer within {} s", MIGRATION.as_secs()));
                    State::Silent
                }
            };
            self.state.store(state as u8, Ordering::Release);
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
        self.state.store(State::Ready as u8, Ordering::Release);
        log.note(format_args!("the database is migrated"));
    }

    /// All users, by their ids.
    pub(super) async fn users(&self) -> Result<Vec<User>, Unwell> {
        self.migrated()?;
        let users = match &self.pool {
            Pool::Postgres(pool) => within(pool, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
            Pool::Sqlite(pool) => within(pool, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
        };
        users.ok_or(SILENT)
    }

    /// Whether users can be had.
    pub(super) async fn health(&self) -> Result<(), Unwell> {
        self.migrated()?;
        let answer = match &self.pool {
            Pool::Postgres(pool) => within(pool, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await,
            Pool::Sqlite(pool) => within(pool, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await,
        };
        answer.ok_or(SILENT)
    }

    fn migrated(&self) -> Result<(), Unwell> {
        match self.state.load(Ordering::Acquire) {
            state if state == State::Ready as u8 => Ok(()),
            state if state == State::Migrating as u8 => Err(Unwell("migrating")),
            state if state == State::Refused as u8 => Err(Unwell("cannot be migrated")),
            _ => Err(SILENT),
        }
    }
}

impl Pool {
    async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => sqlx::migrate!("src/app/migrations/postgres").run(pool).await,
            Self::Sqlite(pool) => sqlx::migrate!("src/app/migrations/sqlite").run(pool).await,
        }
    }
}

/// No test before a connection is used (it would cost a third more): [`within`] sees to those that broke while idle.
fn pool_options<DB: Database>() -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// A rollback journal, so that a lock on the file keeps readers out: a frozen database is made with one. Nothing is synced:
/// the rows are made again where the file is lost.
fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// What `query` finds, or None where that fails or takes longer than [`TIMEOUT`]. A connection that broke while it was idle
/// (the database was started anew) is replaced, and the query, which only reads, put to the next one.
async fn within<DB, T>(
    pool: &sqlx::Pool<DB>,
    query: impl for<'c> Fn(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
) -> Option<T>
where
    DB: Database,
{
    let deadline = Instant::now() + TIMEOUT;
    for _ in 0..=CONNECTIONS {
        let mut connection = timeout_at(deadline, pool.acquire()).await.ok()?.ok()?;
        match timeout_at(deadline, query(&mut connection)).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) if is_broken(&error) => drop(connection.detach()),
            Ok(Err(_)) => return None,
            Err(_) => {
                // Given back, it would be waited for until the database answers, and the pool be empty meanwhile.
                drop(connection.detach());
                return None;
            }
        }
    }
    None
}

/// Whether the connection is gone, or the server said that it is about to go (class 57P: shut down, crashed, starting).
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Whether the database could not be reached, or is locked, rather than that it refused.
fn is_silence(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    match error {
        sqlx::Error::Database(database) => {
            is_broken(error) || database.code().is_some_and(|code| SQLITE_SILENT.contains(&&*code))
        }
        _ => true,
    }
}
