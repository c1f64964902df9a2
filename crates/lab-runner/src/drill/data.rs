//! Copy of the users from before a drill, in the drill's folder, so that the restore brings back the lab's own data. A lab whose
//! database cannot be queried has none.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::folder;
use crate::lab::Lab;
use lab_core::engine::{DbError, DbQuery, DbResult, Engine};
use lab_system::files;

const FILE: &str = "users.json";
/// Limits of the copy.
const ROWS: usize = 100_000;
const BYTES: usize = 16 << 20;
/// Maximum size of the file. JSON may escape every byte.
const FILE_LIMIT: u64 = 128 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Rows of one statement.
const CHUNK: usize = 200;

/// Why the users cannot be saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The copy cannot be read or written.
    #[error("the copy of the users: {0}")]
    File(#[from] io::Error),
    /// The database refuses them.
    #[error("the users cannot be written: {0}")]
    Database(#[from] DbError),
}

/// The users, as the database prints them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Users {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// Saves the users, unless an earlier attempt did. Without a database that can be queried, or with too many users, does nothing.
pub(super) async fn save(lab: &Lab, engine: &dyn Engine, drill: &str) -> Result<(), DataError> {
    let path = folder(lab, drill).path(FILE);
    if path.exists() || engine.dialect().is_none() {
        return Ok(());
    }
    let Ok(result) = query(engine, "SELECT * FROM users".to_owned(), false).await else { return Ok(()) };
    if result.truncated {
        return Ok(());
    }
    let users = Users { columns: result.columns, rows: result.rows };
    Ok(files::write_atomic(&path, &serde_json::to_vec(&users).map_err(io::Error::from)?)?)
}

/// The users that were saved, if they were.
pub(super) fn saved(lab: &Lab, drill: &str) -> Result<Option<Users>, DataError> {
    match files::read_state(&folder(lab, drill).path(FILE), FILE_LIMIT) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(io::Error::from)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the users by those that were saved. Other tables stay as they are. Can be repeated, if it was interrupted.
pub(super) async fn restore(engine: &dyn Engine, users: &Users) -> Result<(), DataError> {
    query(engine, "DELETE FROM users".to_owned(), true).await?;
    for rows in users.rows.chunks(CHUNK) {
        query(engine, insert(&users.columns, rows), true).await?;
    }
    Ok(())
}

async fn query(engine: &dyn Engine, sql: String, write: bool) -> Result<DbResult, DbError> {
    let query = DbQuery { sql, write, time: TIMEOUT, rows: ROWS, bytes: BYTES };
    engine.query(&query, std::future::pending().boxed()).await
}

fn insert(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let columns: Vec<String> = columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let mut sql = format!("INSERT INTO users ({}) VALUES", columns.join(", "));
    for (index, row) in rows.iter().enumerate() {
        let literal = |value: &Option<String>| match value {
            Some(value) => format!("'{}'", value.replace('\'', "''")),
            None => "NULL".to_owned(),
        };
        let values: Vec<String> = row.iter().map(literal).collect();
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(sql, "{comma} ({})", values.join(", "));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_are_quoted() {
        let columns = ["id".to_owned(), "full \"name\"".to_owned()];
        let rows = [vec![Some("1".to_owned()), Some("O'Hara; DROP".to_owned())], vec![Some("2".to_owned()), None]];
        assert_eq!(
            insert(&columns, &rows),
            r#"INSERT INTO users ("id", "full ""name""") VALUES ('1', 'O''Hara; DROP'), ('2', NULL)"#
        );
    }
}
