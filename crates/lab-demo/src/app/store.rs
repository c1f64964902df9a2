//! [`Store`]: the users, in Postgres or in `SQLite`. One query text serves both dialects; pools and migrations are two. No
//! query takes longer than [`TIMEOUT`], whatever the database does.

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
use super::pool::{self, Slots, is_broken, within};

/// How many connections there are where nothing is said. Few: `SQLite`'s are threads that share two cores with us,
/// Postgres' are processes.
pub(super) const CONNECTIONS: u32 = 4;
/// The longest that a query waits for its answer, and a request for a free connection where nothing is said.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// The longest that a health check waits for a free connection: whoever asks does not wait for long either.
const HEALTH_WAIT: Duration = Duration::from_millis(250);
/// How long one attempt to migrate may take.
const MIGRATION: Duration = Duration::from_secs(10);
/// How long the start waits for the connections: it goes on with those that there are.
const FILL: Duration = Duration::from_secs(2);
/// Between attempts to migrate: nobody is served until one succeeds, and each is little work.
const RETRY: Duration = Duration::from_millis(100);

/// A migration: its version, its name, and its statements.
type Step = (i64, &'static str, &'static str);

/// The migrations of each dialect, oldest first. A database remembers their checksums: one that was released stays as it is.
const POSTGRES: &[Step] = &[(1, "users", include_str!("migrations/postgres/0001_users.sql"))];
const SQLITE: &[Step] = &[(1, "users", include_str!("migrations/sqlite/0001_users.sql"))];

const USERS: &str = "SELECT id, name FROM users ORDER BY id";
/// Reads the file, which `SELECT 1` alone does not in `SQLite`.
const PROBE: &str = "SELECT id FROM users LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM users";

/// `SQLite`'s codes for "another holds the lock" and "the file cannot be opened".
const SQLITE_SILENT: [&str; 2] = ["5", "14"];
/// `SQLite`'s codes for a file that is damaged, and for one that is no database.
const SQLITE_DAMAGED: [u32; 2] = [11, 26];

/// What the store needs to know.
pub(super) struct Settings {
    /// Where the users are.
    pub(super) database: DatabaseUrl,
    /// How many connections there may be.
    pub(super) connections: u32,
    /// How long a request waits for a free one.
    pub(super) wait: Duration,
    /// How long making a report takes beside its query.
    pub(super) report_time: Duration,
}

/// A database, by its dialect.
pub(super) enum DatabaseUrl {
    /// `postgres://` or `postgresql://`.
    Postgres(Box<PgConnectOptions>),
    /// `sqlite:`.
    Sqlite(Box<SqliteConnectOptions>),
    /// No variable names it: for the mock engine alone.
    Memory(Database),
}

/// A row of the list.
#[derive(Serialize)]
pub(super) struct User {
    id: i64,
    name: String,
}

/// By hand: sqlx's macros build its drivers, and with them `SQLite`, a second time for the compiler itself.
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

/// Figures about the users.
#[derive(Serialize)]
pub(super) struct Report {
    users: i64,
}

/// The database does not answer as it should: why, in a word or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwell(pub(super) &'static str);

/// All connections are in use.
pub(super) const EXHAUSTED: Unwell = Unwell("pool exhausted");
/// It was asked, and said nothing.
pub(super) const SILENT: Unwell = Unwell("does not answer");

/// The users' database.
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

    /// Creates the tables and their rows if they are missing; tries again until it succeeds. Fails only if no later attempt can
    /// succeed.
    pub(super) async fn migrate(&self, log: &Log) -> Result<(), MigrateError> {
        let mut said = String::new();
        loop {
            let (state, why) = match timeout(MIGRATION, self.pool.migrate()).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if is_permanent(&error) => return Err(error),
                Ok(Err(error)) if is_silence(&error) => (State::Silent, error.to_string()),
                Ok(Err(error)) => (State::Refused, error.to_string()),
                Err(_) => (State::Silent, format!("no answer within {} s", MIGRATION.as_secs())),
            };
            // Once, however often it is so.
            if why != said {
                log.note(format_args!("cannot migrate the database: {why}"));
                said = why;
            }
            self.state.store(state as u8, Ordering::Release);
            sleep(RETRY).await;
        }
        self.pool.fill().await;
        self.state.store(State::Ready as u8, Ordering::Release);
        log.note(format_args!("the database is migrated"));
        Ok(())
    }

    /// All users, by their ids.
    pub(super) async fn users(&self) -> Result<Vec<User>, Unwell> {
        self.migrated()?;
        let _slot = self.slots.take(self.wait).await.inspect_err(|_| self.slots.count_timeout())?;
        match &self.pool {
            Pool::Postgres(pool) => within(pool, TIMEOUT, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
            Pool::Sqlite(pool) => within(pool, TIMEOUT, |c| sqlx::query_as(USERS).fetch_all(c).boxed()).await,
            Pool::Memory(database) => database.answers(TIMEOUT).await.map(|()| Vec::new()),
        }
    }

    /// Figures about the users. A report holds its connection until it is made.
    pub(super) async fn report(&self) -> Result<Report, Unwell> {
        self.migrated()?;
        let _slot = self.slots.take(self.wait).await.inspect_err(|_| self.slots.count_timeout())?;
        let (time, limit) = (self.report_time, TIMEOUT + self.report_time);
        let users = match &self.pool {
            Pool::Postgres(pool) => within(pool, limit, |c| report_in_transaction(c, time).boxed()).await,
            Pool::Sqlite(pool) => within(pool, limit, |c| report_without(c, time).boxed()).await,
            Pool::Memory(database) => {
                database.answers(TIMEOUT).await?;
                sleep(time).await;
                Ok(0)
            }
        };
        users.map(|users| Report { users })
    }

    /// Whether users can be had.
    pub(super) async fn health(&self) -> Result<(), Unwell> {
        self.migrated()?;
        let _slot = self.slots.take(self.wait.min(HEALTH_WAIT)).await?;
        match &self.pool {
            Pool::Postgres(pool) => within(pool, TIMEOUT, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await,
            Pool::Sqlite(pool) => within(pool, TIMEOUT, |c| sqlx::query(PROBE).execute(c).map_ok(drop).boxed()).await,
            Pool::Memory(database) => database.answers(TIMEOUT).await,
        }
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
            Self::Postgres(pool) => migrator(POSTGRES).run(pool).await,
            Self::Sqlite(pool) => migrator(SQLITE).run(pool).await,
            Self::Memory(_) => Ok(()),
        }
    }

    async fn fill(&self) {
        match self {
            Self::Postgres(pool) => pool::fill(pool, FILL).await,
            Self::Sqlite(pool) => pool::fill(pool, FILL).await,
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

/// So that all its figures are of one moment; the transaction is idle while the report is made.
async fn report_in_transaction(connection: &mut PgConnection, time: Duration) -> sqlx::Result<i64> {
    let mut transaction = connection.begin().await?;
    let users = sqlx::query_scalar(COUNT).fetch_one(&mut *transaction).await?;
    sleep(time).await;
    transaction.commit().await.map(|()| users)
}

/// In `SQLite` a transaction would lock the file, and whoever freezes the database would wait for it.
async fn report_without(connection: &mut SqliteConnection, time: Duration) -> sqlx::Result<i64> {
    let users = sqlx::query_scalar(COUNT).fetch_one(connection).await?;
    sleep(time).await;
    Ok(users)
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

/// Whether the database is not what this app can ever use: a file of something else, or tables of another version.
fn is_permanent(error: &MigrateError) -> bool {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => true,
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let error =
                error.as_database_error().and_then(|error| error.try_downcast_ref::<sqlx::sqlite::SqliteError>());
            let code = error.and_then(|error| error.code()?.parse::<u32>().ok());
            // The lowest byte of an extended code is its kind.
            code.is_some_and(|code| SQLITE_DAMAGED.contains(&(code & 0xff)))
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
