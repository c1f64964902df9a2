//! Store of the users, in Postgres or `SQLite`. Both dialects share the queries but have their own pools and migrations. Every
//! query is limited to [`TIMEOUT`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use serde::Serialize;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ColumnIndex, ConnectOptions, Connection, Decode, FromRow, PgConnection, PgPool, Row, Type};
use sqlx::{SqlSafeStr, SqliteConnection, SqlitePool};
use tokio::time::{sleep, timeout};

use crate::service::log::Log;

use super::memory::Database;
use super::metrics::PoolMetrics;
use super::pool::{self, Slot, Slots, is_broken, query_within};

/// Default number of connections. Low, because `SQLite` uses a thread and Postgres a process for each.
pub(super) const CONNECTIONS: u32 = 4;
/// Query timeout, and default time to wait for a free connection.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// Time that a health check waits for a free connection. Short, because probes have short timeouts.
const HEALTH_WAIT: Duration = Duration::from_millis(250);
/// Timeout of one migration attempt.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to open connections at startup. The app starts with those that are open by then.
const FILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between migration attempts. Short, because no request can be served before one succeeds.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Migration: version, name and SQL statements.
type Step = (i64, &'static str, &'static str);

/// Migrations of each dialect, oldest first. Databases store their checksums, so released migrations must not change.
const POSTGRES: &[Step] = &[(1, "users", include_str!("migrations/postgres/0001_users.sql"))];
const SQLITE: &[Step] = &[(1, "users", include_str!("migrations/sqlite/0001_users.sql"))];

const USERS: &str = "SELECT id, name FROM users ORDER BY id";
/// Query for health checks. Reads the table, because `SELECT 1` does not access the file in `SQLite`.
const PROBE: &str = "SELECT id FROM users LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM users";

/// `SQLite` error codes for a locked database and for a file that cannot be opened.
const SQLITE_BUSY_CODES: [&str; 2] = ["5", "14"];
/// `SQLite` error codes for a corrupt database and for a file that is not a database.
const SQLITE_CORRUPT_CODES: [u32; 2] = [11, 26];

pub(super) struct Settings {
    pub(super) database: DatabaseUrl,
    /// Maximum number of connections.
    pub(super) connections: u32,
    /// How long a request waits for a free one.
    pub(super) wait: Duration,
    /// Artificial duration of a report, in addition to its query.
    pub(super) report_time: Duration,
}

/// Location of the database, by dialect.
pub(super) enum DatabaseUrl {
    /// `postgres://` or `postgresql://`.
    Postgres(Box<PgConnectOptions>),
    /// `sqlite:`.
    Sqlite(Box<SqliteConnectOptions>),
    /// Simulated database of the mock engine. Not available through the environment.
    Memory(Database),
}

#[derive(Serialize)]
pub(super) struct User {
    id: i64,
    name: String,
}

/// Written by hand, because sqlx's derive macro would compile its drivers, including `SQLite`, a second time for the host.
impl<'r, R: Row> FromRow<'r, R> for User
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self { id: row.try_get("id")?, name: row.try_get("name")? })
    }
}

#[derive(Serialize)]
pub(super) struct Report {
    users: i64,
}

/// Reason why the database is unavailable, as reported by `/health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unavailable(pub(super) &'static str);

pub(super) const EXHAUSTED: Unavailable = Unavailable("pool exhausted");

pub(super) const NO_ANSWER: Unavailable = Unavailable("does not answer");

pub(super) struct Store {
    pool: Pool,
    slots: Slots,
    /// How long a request waits for a free connection.
    wait: Duration,
    report_time: Duration,
    /// One of [`State`].
    state: AtomicU8,
}

enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
    Memory(Database),
}

/// Progress of the migration.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Migrating,
    NoAnswer,
    Rejected,
    Ready,
}

impl Store {
    /// Creates the store. Connects on first use.
    pub(super) fn new(settings: Settings, metrics: PoolMetrics) -> Self {
        let Settings { database, connections, wait, report_time } = settings;
        let pool = match database {
            DatabaseUrl::Postgres(options) => {
                let options = options.application_name("lab app").disable_statement_logging();
                Pool::Postgres(pool::options(connections, TIMEOUT).connect_lazy_with(options))
            }
            DatabaseUrl::Sqlite(options) => {
                let options = pool::sqlite(*options);
                Pool::Sqlite(pool::options(connections, TIMEOUT).connect_lazy_with(options))
            }
            DatabaseUrl::Memory(database) => Pool::Memory(database),
        };
        let slots = Slots::new(connections, metrics);
        let state = if matches!(pool, Pool::Memory(_)) { State::Ready } else { State::Migrating };
        Self { pool, slots, wait, report_time, state: AtomicU8::new(state as u8) }
    }

    /// Creates missing tables and rows. Retries until it succeeds, and fails only if no retry can succeed.
    pub(super) async fn migrate(&self, log: &Log) -> Result<(), MigrateError> {
        let mut last_reason = String::new();
        loop {
            let (state, reason) = match timeout(MIGRATION_TIMEOUT, self.pool.migrate()).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if is_permanent(&error) => return Err(error),
                Ok(Err(error)) if is_no_answer(&error) => (State::NoAnswer, error.to_string()),
                Ok(Err(error)) => (State::Rejected, error.to_string()),
                Err(_) => (State::NoAnswer, format!("no answer within {} s", MIGRATION_TIMEOUT.as_secs())),
            };
            // Log each reason once.
            if reason != last_reason {
                log.note(format_args!("cannot migrate the database: {reason}"));
                last_reason = reason;
            }
            self.state.store(state as u8, Ordering::Release);
            sleep(RETRY_INTERVAL).await;
        }
        self.pool.fill().await;
        self.state.store(State::Ready as u8, Ordering::Release);
        log.note(format_args!("the database is migrated"));
        Ok(())
    }

    /// Reads the users. `is_counted` is false for lab's own probes.
    pub(super) async fn users(&self, is_counted: bool) -> Result<Vec<User>, Unavailable> {
        self.migrated()?;
        let _slot = self.slot(is_counted).await?;
        match &self.pool {
            Pool::Postgres(pool) => query_within(pool, TIMEOUT, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
            Pool::Sqlite(pool) => query_within(pool, TIMEOUT, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
            Pool::Memory(database) => database.answers(TIMEOUT).await.map(|()| Vec::new()),
        }
    }

    /// Creates a report, holding a connection until it is complete.
    pub(super) async fn report(&self, is_counted: bool) -> Result<Report, Unavailable> {
        self.migrated()?;
        let _slot = self.slot(is_counted).await?;
        let (time, limit) = (self.report_time, TIMEOUT + self.report_time);
        let users = match &self.pool {
            Pool::Postgres(pool) => query_within(pool, limit, |c| report_in_transaction(c, time).boxed()).await,
            Pool::Sqlite(pool) => query_within(pool, limit, |c| report_without_transaction(c, time).boxed()).await,
            Pool::Memory(database) => {
                database.answers(TIMEOUT).await?;
                sleep(time).await;
                Ok(0)
            }
        };
        users.map(|users| Report { users })
    }

    /// Checks that users can be read.
    pub(super) async fn health(&self) -> Result<(), Unavailable> {
        self.migrated()?;
        let _slot = self.slots.acquire(self.wait.min(HEALTH_WAIT)).await?;
        match &self.pool {
            Pool::Postgres(pool) => {
                query_within(pool, TIMEOUT, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await
            }
            Pool::Sqlite(pool) => {
                query_within(pool, TIMEOUT, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await
            }
            Pool::Memory(database) => database.answers(TIMEOUT).await,
        }
    }

    async fn slot(&self, is_counted: bool) -> Result<Slot, Unavailable> {
        let slot = self.slots.acquire(self.wait).await;
        slot.inspect_err(|_| {
            if is_counted {
                self.slots.count_timeout();
            }
        })
    }

    fn migrated(&self) -> Result<(), Unavailable> {
        match self.state.load(Ordering::Acquire) {
            state if state == State::Ready as u8 => Ok(()),
            state if state == State::Migrating as u8 => Err(Unavailable("migrating")),
            state if state == State::Rejected as u8 => Err(Unavailable("cannot be migrated")),
            _ => Err(NO_ANSWER),
        }
    }
}

impl Pool {
    async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => migrator(POSTGRES).run(pool).await,
            Self::Sqlite(pool) => migrator(SQLITE).run(pool).await,
            Self::Memory(_) => Ok(()),
        }
    }

    async fn fill(&self) {
        match self {
            Self::Postgres(pool) => pool::fill(pool, FILL_TIMEOUT).await,
            Self::Sqlite(pool) => pool::fill(pool, FILL_TIMEOUT).await,
            Self::Memory(_) => {}
        }
    }
}

fn migrator(steps: &[Step]) -> Migrator {
    let migration = |&(version, name, sql): &Step| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

/// Runs a report in a transaction, as for a consistent snapshot. The transaction is idle for the duration of the report.
async fn report_in_transaction(connection: &mut PgConnection, time: Duration) -> sqlx::Result<i64> {
    let mut transaction = connection.begin().await?;
    let users = sqlx::query_scalar(COUNT).fetch_one(&mut *transaction).await?;
    sleep(time).await;
    transaction.commit().await.map(|()| users)
}

/// Runs a report without a transaction, which would lock the `SQLite` file and delay pausing the database.
async fn report_without_transaction(connection: &mut SqliteConnection, time: Duration) -> sqlx::Result<i64> {
    let users = sqlx::query_scalar(COUNT).fetch_one(connection).await?;
    sleep(time).await;
    Ok(users)
}

/// Returns `true` if the database is unreachable or locked, rather than that it rejected the migration.
fn is_no_answer(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    match error {
        sqlx::Error::Database(database) => {
            is_broken(error) || database.code().is_some_and(|code| SQLITE_BUSY_CODES.contains(&&*code))
        }
        _ => true,
    }
}

/// Returns `true` if this app can never use the database: the file is not a database, or its tables have another version.
fn is_permanent(error: &MigrateError) -> bool {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => true,
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let error =
                error.as_database_error().and_then(|error| error.try_downcast_ref::<sqlx::sqlite::SqliteError>());
            let code = error.and_then(|error| error.code()?.parse::<u32>().ok());
            // The lowest byte of an extended code is the primary code.
            code.is_some_and(|code| SQLITE_CORRUPT_CODES.contains(&(code & 0xff)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{POSTGRES, SQLITE, migrator};

    #[test]
    fn every_migration_file_is_embedded_under_its_own_name() {
        for (dialect, steps) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app/migrations").join(dialect);
            let files = fs::read_dir(folder).unwrap().map(|entry| {
                let path = entry.unwrap().path();
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
            });
            let embedded = migrator(steps);
            let embedded = embedded.iter().map(|migration| {
                let name = format!("{:04}_{}.sql", migration.version, migration.description);
                (name, migration.sql.as_str().to_owned())
            });
            assert_eq!(embedded.collect::<BTreeSet<_>>(), files.collect::<BTreeSet<_>>(), "{dialect}");
        }
    }
}
