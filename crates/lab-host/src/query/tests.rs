use futures_util::FutureExt;
use futures_util::future::{pending, ready};

use super::*;

struct Database {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Database {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").await.unwrap();
        connection.execute("INSERT INTO users VALUES (1, 'ada'), (2, NULL)").await.unwrap();
        connection.close().await.unwrap();
        Self { _folder: folder, path }
    }

    async fn query(&self, sql: &str, write: bool) -> Result<DbResult, DbError> {
        run(&self.path, &query(sql, write), pending().boxed()).await
    }

    async fn refused(&self, sql: &str) -> DbError {
        self.query(sql, false).await.expect_err(sql)
    }
}

fn query(sql: &str, write: bool) -> DbQuery {
    DbQuery { sql: sql.to_owned(), write, time: Duration::from_millis(300), rows: 10, bytes: 1000 }
}

fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

#[tokio::test]
async fn rows_are_read() {
    let database = Database::new().await;
    let result = database.query("SELECT id, name FROM users ORDER BY id", false).await.unwrap();
    assert_eq!(result.columns, ["id", "name"]);
    assert_eq!(result.rows, [row(&[Some("1"), Some("ada")]), row(&[Some("2"), None])]);
    let none = database.query("SELECT name FROM users WHERE id = 9", false).await.unwrap();
    assert_eq!((none.columns, none.rows.len()), (vec!["name".to_owned()], 0));
    let kinds = database.query("SELECT 1.5, x'00ff', 'é', count(*) FROM users -- all of them", false).await.unwrap();
    assert_eq!(kinds.rows, [row(&[Some("1.5"), Some("\\x00ff"), Some("é"), Some("2")])]);
    assert_eq!(database.query("PRAGMA table_info(users)", false).await.unwrap().rows.len(), 2);
}

#[tokio::test]
async fn changes_need_write_access() {
    let database = Database::new().await;
    for sql in [
        "DELETE FROM users",
        "/* SELECT */ UPDATE users SET name = 'x'",
        "WITH gone AS (SELECT 1) DELETE FROM users",
        "CREATE TEMP TABLE t (x)",
        "VACUUM",
    ] {
        assert!(matches!(database.refused(sql).await, DbError::ReadOnly { .. }), "{sql}");
    }
    assert_eq!(database.query("DELETE FROM users WHERE id = 2", true).await.unwrap().changed, Some(1));
    let returned = database.query("UPDATE users SET name = 'x' RETURNING id", true).await.unwrap();
    assert_eq!(returned.rows, [row(&[Some("1")])]);
    assert_eq!(database.query("SELECT name FROM users", false).await.unwrap().rows, [row(&[Some("x")])]);
}

#[tokio::test]
async fn other_files_are_out_of_reach() {
    let database = Database::new().await;
    let other = database.path.with_file_name("other.db").display().to_string();
    for sql in [
        format!("ATTACH DATABASE '{other}' AS other"),
        format!("VACUUM INTO '{other}'"),
        "SELECT load_extension('/tmp/x.so')".to_owned(),
        "PRAGMA query_only = OFF".to_owned(),
        "PRAGMA main.journal_mode(WAL)".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "PRAGMA temp_store_directory('/tmp')".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        String::new(),
    ] {
        for write in [false, true] {
            let error = database.query(&sql, write).await.expect_err(&sql);
            assert!(matches!(error, DbError::Sql { .. }), "{sql}: {error}");
        }
    }
    assert!(!std::path::Path::new(&other).exists());
}

#[tokio::test]
async fn results_are_limited() {
    let database = Database::new().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT";
    let many = database.query(&format!("{endless} i FROM n"), false).await.unwrap();
    assert_eq!((many.rows.len(), many.truncated), (10, true));
    let long = database.query(&format!("{endless} printf('%.*c', 400, 'x') FROM n"), false).await.unwrap();
    assert_eq!((long.rows.len(), long.truncated), (2, true));
    let error = database.refused(&format!("{endless} count(*) FROM n")).await;
    assert_eq!(error, DbError::TimedOut { limit: Duration::from_millis(300) });
}

#[tokio::test]
async fn a_query_is_canceled() {
    let database = Database::new().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let query = DbQuery { time: Duration::from_mins(10), ..query(endless, false) };
    assert_eq!(run(&database.path, &query, ready(()).boxed()).await, Err(DbError::Canceled));
}

#[tokio::test]
async fn a_paused_database_is_locked() {
    let database = Database::new().await;
    let mut holder = SqliteConnectOptions::new().filename(&database.path).connect().await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    assert_eq!(database.query("SELECT * FROM users", false).await, Err(DbError::Locked));
    assert_eq!(database.query("DELETE FROM users", true).await, Err(DbError::Locked));
    holder.close().await.unwrap();
    assert!(database.query("SELECT * FROM users", false).await.is_ok());
}
