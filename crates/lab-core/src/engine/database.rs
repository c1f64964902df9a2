//! SQL queries of users: [`DbQuery`], its result, and its errors. Every query is limited in time and in the size of its
//! result.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::EngineError;

/// Role of the database that queries without `write` use on an engine with roles.
pub const VIEWER: &str = "viewer";

/// One statement and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbQuery {
    /// The statement, without a semicolon at the end.
    pub sql: String,
    /// Allows changes, with the rights of the app.
    pub write: bool,
    /// Time limit of the statement.
    pub time: Duration,
    /// Maximum number of rows.
    pub rows: usize,
    /// Maximum size of all values in bytes.
    pub bytes: usize,
}

/// Result of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbResult {
    /// Empty if the statement returns no rows.
    pub columns: Vec<String>,
    /// Values as the database prints them; `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// There are more rows, or a value was cut.
    pub truncated: bool,
    /// Number of changed rows, for a statement that returns none.
    pub changed: Option<u64>,
}

impl DbResult {
    /// Adds a row, unless it exceeds the limits of the query. Then the result is truncated, and false is returned.
    pub fn push(&mut self, row: Vec<Option<String>>, query: &DbQuery, used: &mut usize) -> bool {
        *used += row.iter().flatten().map(String::len).sum::<usize>();
        if self.rows.len() >= query.rows || (*used > query.bytes && !self.rows.is_empty()) {
            self.truncated = true;
            return false;
        }
        self.rows.push(row);
        true
    }
}

/// Reason why a query has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DbError {
    /// The database rejects the statement.
    #[error("{message}")]
    Sql {
        /// Message of the database.
        message: String,
        /// Its hint or details.
        detail: Option<String>,
    },
    /// The statement changes something, and the query does not allow it.
    #[error("the statement changes the database: {message}")]
    ReadOnly {
        /// Message of the database.
        message: String,
    },
    /// The statement was canceled at the time limit.
    #[error("the statement was canceled after {} s", .limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The statement was canceled on request.
    #[error("the statement was canceled")]
    Canceled,
    /// Another process holds a lock on the whole database.
    #[error("the database is locked")]
    Locked,
    /// The database cannot be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
