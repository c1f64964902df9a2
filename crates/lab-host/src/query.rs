//! SQL queries of users on the app's database file. Without `write`, the file is opened read-only.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteStatement};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Decode, Either, Executor, Row, SqlSafeStr, Statement, TypeInfo,
    ValueRef,
};

use lab_core::engine::sql::{self, Dialect};
use lab_core::engine::{DB, DbError, DbQuery, DbResult, EngineError, EngineErrorKind};

/// Time to wait for a lock. The app's own locks last milliseconds, a pause lasts until it is ended.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// `SQLite` instructions between two checks of the time limit: about a millisecond.
const CHECK_INTERVAL: i32 = 50_000;
/// Statements that change the database.
const CHANGES: [&str; 10] =
    ["INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE", "VACUUM"];
/// Pragmas that only read, and take the name of a table or index.
const PRAGMAS_OF: [&str; 9] = [
    "TABLE_INFO",
    "TABLE_XINFO",
    "INDEX_LIST",
    "INDEX_INFO",
    "INDEX_XINFO",
    "FOREIGN_KEY_LIST",
    "FOREIGN_KEY_CHECK",
    "INTEGRITY_CHECK",
    "QUICK_CHECK",
];
/// Pragmas that only read if they have no argument.
const PRAGMAS: [&str; 12] = [
    "TABLE_LIST",
    "DATABASE_LIST",
    "COMPILE_OPTIONS",
    "PAGE_COUNT",
    "PAGE_SIZE",
    "FREELIST_COUNT",
    "USER_VERSION",
    "SCHEMA_VERSION",
    "ENCODING",
    "JOURNAL_MODE",
    "LOCKING_MODE",
    "QUERY_ONLY",
];

/// Result codes of `SQLite` that are handled differently.
mod code {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READ_ONLY: u32 = 8;
    pub(super) const INTERRUPTED: u32 = 9;
}

/// Runs a statement until it ends, or until its time limit or `stop`.
pub async fn run(path: &Path, query: &DbQuery, mut stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
    check(query)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let errors = Errors { query, stopped: &stopped };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(!query.write)
        .create_if_missing(false)
        .busy_timeout(LOCK_TIMEOUT);
    if !path.is_file() {
        let error = EngineError::new(EngineErrorKind::NotUp, "its database file does not exist");
        return Err(error.for_service(DB).into());
    }
    let mut connection = options.connect().await.map_err(|error| errors.convert(&error))?;
    let (deadline, handler_stopped) = (Instant::now() + query.time, Arc::clone(&stopped));
    let may_continue = move || !handler_stopped.load(Ordering::Relaxed) && Instant::now() < deadline;
    let mut handle = connection.lock_handle().await.map_err(|error| errors.convert(&error))?;
    handle.set_progress_handler(CHECK_INTERVAL, may_continue);
    drop(handle);
    let result = {
        let mut work = std::pin::pin!(execute(&mut connection, query));
        tokio::select! {
            result = &mut work => result,
            () = &mut stop => {
                stopped.store(true, Ordering::Relaxed);
                work.await
            }
        }
    };
    let result = result.map_err(|error| errors.convert(&error));
    // Closing waits for the connection's thread. An error here does not change the result.
    let _ = connection.close().await;
    result
}

async fn execute(connection: &mut SqliteConnection, query: &DbQuery) -> sqlx::Result<DbResult> {
    if !query.write {
        // In addition to the read-only file, this also protects temporary tables.
        connection.execute("PRAGMA query_only = ON").await?;
    }
    let statement: SqliteStatement = connection.prepare(AssertSqlSafe(query.sql.clone()).into_sql_str()).await?;
    let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let (mut result, mut used) = (DbResult { columns, ..DbResult::default() }, 0);
    let mut rows = connection.fetch_many(statement.query()).boxed();
    while let Some(next) = rows.try_next().await? {
        match next {
            Either::Left(done) if result.columns.is_empty() => result.changed = Some(done.rows_affected()),
            Either::Left(_) => {}
            Either::Right(row) => {
                let values =
                    (0..row.len()).map(|index| value(&row, index, query.bytes)).collect::<sqlx::Result<_>>()?;
                if !result.push(values, query, &mut used) {
                    break;
                }
            }
        }
    }
    Ok(result)
}

/// A value as text. Blobs are hexadecimal, as in Postgres.
fn value(row: &SqliteRow, index: usize, max_bytes: usize) -> sqlx::Result<Option<String>> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().name().to_owned();
    let decode =
        |error: sqlx::error::BoxDynError| sqlx::Error::ColumnDecode { index: index.to_string(), source: error };
    Ok(Some(match kind.as_str() {
        "INTEGER" | "BOOLEAN" => <i64 as Decode<sqlx::Sqlite>>::decode(raw).map_err(decode)?.to_string(),
        "REAL" => <f64 as Decode<sqlx::Sqlite>>::decode(raw).map_err(decode)?.to_string(),
        "BLOB" => {
            let bytes = <&[u8] as Decode<sqlx::Sqlite>>::decode(raw).map_err(decode)?;
            let mut hex = "\\x".to_owned();
            for byte in bytes.iter().take(max_bytes / 2) {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
            }
            hex
        }
        _ => {
            let bytes = <&[u8] as Decode<sqlx::Sqlite>>::decode(raw).map_err(decode)?;
            String::from_utf8_lossy(&bytes[..bytes.len().min(max_bytes)]).into_owned()
        }
    }))
}

/// Refuses statements that access other files, and without `write` those that change the database. A read-only file and
/// `query_only` do not prevent `ATTACH` and `VACUUM INTO`.
fn check(query: &DbQuery) -> Result<(), DbError> {
    let refused = |message: &str| {
        let detail = Some("a query concerns the app's database and no other file".to_owned());
        Err(DbError::Sql { message: message.to_owned(), detail })
    };
    let statements = sql::statements(&query.sql, Dialect::Sqlite);
    let [statement] = statements.as_slice() else { return refused("expected one statement") };
    match statement.keyword() {
        keyword @ ("ATTACH" | "DETACH") => refused(&format!("{keyword} is not allowed")),
        "VACUUM" if statement.mentions("INTO") => refused("VACUUM INTO is not allowed"),
        "PRAGMA" if !is_reading_pragma(statement) => refused("this pragma is not allowed: only those that read are"),
        keyword if !query.write && CHANGES.contains(&keyword) => {
            Err(DbError::ReadOnly { message: format!("{keyword} needs write access") })
        }
        _ => Ok(()),
    }
}

fn is_reading_pragma(statement: &sql::Statement<'_>) -> bool {
    let is_named = |names: &[&str]| statement.words.iter().skip(1).take(2).any(|word| names.contains(&word.as_str()));
    let has_argument = statement.text.contains(['=', '(']);
    !statement.text.contains('=') && (is_named(&PRAGMAS_OF) || (is_named(&PRAGMAS) && !has_argument))
}

/// Converts errors of one query.
struct Errors<'a> {
    query: &'a DbQuery,
    stopped: &'a AtomicBool,
}

impl Errors<'_> {
    fn convert(&self, error: &sqlx::Error) -> DbError {
        let sqlx::Error::Database(error) = error else {
            return EngineError::new(EngineErrorKind::System, error.to_string()).for_service(DB).into();
        };
        let message = error.message().to_owned();
        // The low byte of an extended code is the primary code.
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
        match code {
            Some(code::BUSY | code::LOCKED) => DbError::Locked,
            Some(code::READ_ONLY) if !self.query.write => DbError::ReadOnly { message },
            Some(code::INTERRUPTED) if self.stopped.load(Ordering::Relaxed) => DbError::Canceled,
            Some(code::INTERRUPTED) => DbError::TimedOut { limit: self.query.time },
            _ => DbError::Sql { message, detail: None },
        }
    }
}

#[cfg(test)]
mod tests;
