//! SQL queries of users, by `psql` in the database's container: the database publishes no port, and this also works with a
//! daemon on another machine. Without `write`, `psql` connects as the role `viewer`, which has no rights to change anything.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Inner;
use super::client::{Client, State, Streams};
use lab_core::engine::sql::{self, Dialect, Statement};
use lab_core::engine::{DbError, DbQuery, DbResult, EngineError, EngineErrorKind, VIEWER};
use lab_system::deadline::timeout;

mod csv;

/// Additional time for starting `psql`, and for the statement to end after its cancelation.
const GRACE: Duration = Duration::from_secs(3);
/// Time to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a statement: that of a command-line argument, with room for what `psql` adds.
const LONGEST: usize = 100 << 10;
/// Statements that can be read in parts, by a cursor.
const ROWS: [&str; 4] = ["SELECT", "WITH", "VALUES", "TABLE"];
/// `psql` with a limit for its time, after which it cancels its statement, and for its output.
const SCRIPT: &str =
    r#"limit=$1 bytes=$2; shift 2; timeout -s INT "$limit" env "$@" </dev/null | head -c "$bytes"; exit 0"#;

/// How a query connects.
struct Login {
    user: String,
    database: String,
}

impl Inner {
    pub(super) async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        let statements = sql::statements(&query.sql, Dialect::Postgres);
        let [statement] = statements.as_slice() else { return Err(rejected("expected one statement")) };
        match statement.keyword() {
            "COPY" => return Err(rejected("COPY is not supported: use --csv, and INSERT")),
            _ if statement.text.starts_with('\\') => return Err(rejected("psql's own commands are not supported")),
            _ if statement.text.len() > LONGEST => return Err(rejected("the statement is longer than 100 KiB")),
            _ => {}
        }
        let client = self.client().await?;
        let service = self.roles().db;
        let container = self.running(client, &service).await?;
        let login = self.login(query.write)?;
        // Identifies the session and marks the end of the output.
        let mark = format!("lab-{:08x}", getrandom::u32().map_err(|error| rejected(&error.to_string()))?);
        let command = command(&login, query, statement, &mark);
        // Boxed: the buffers of the connection would be part of every future above.
        let watched = Box::pin(self.watched(client, &container, &command, query, &login, &mark, stop));
        let streams = watched.await?;
        read(&streams, query, &mark, &service)
    }

    /// Id of the service's container, which must be running.
    async fn running(&self, client: &Client, service: &str) -> Result<String, EngineError> {
        let error = |detail: &str, hint: &str| {
            let error = EngineError::new(EngineErrorKind::Unsupported, detail.to_owned()).for_service(service);
            error.hint(format!("{hint} {service}"))
        };
        match self.current(client, service).await.map_err(|fault| fault.service(service))? {
            None => Err(EngineError::new(EngineErrorKind::NotUp, "").for_service(service).hint("lab up")),
            Some(container) if container.state == State::Running => Ok(container.id),
            Some(container) if container.state == State::Paused => {
                Err(error("it is paused, so it answers no query", "lab unpause"))
            }
            Some(_) => Err(error("it is stopped, so it answers no query", "lab start")),
        }
    }

    /// The viewer, or for changes the app's role.
    fn login(&self, write: bool) -> Result<Login, DbError> {
        let roles = self.roles();
        let env = |service: &str| self.service(service).map(|service| &service.environment);
        let set = |name: &str| env(&roles.db).and_then(|env| env.get(name)).filter(|value| !value.is_empty());
        let Some(admin) = set("POSTGRES_USER").or_else(|| set("POSTGRES_DB")) else {
            let detail = "only PostgreSQL with POSTGRES_USER in its environment can be queried";
            let error = EngineError::new(EngineErrorKind::Unsupported, detail).for_service(&roles.db);
            return Err(error.into());
        };
        let database = set("POSTGRES_DB").unwrap_or(admin).clone();
        if !write {
            return Ok(Login { user: VIEWER.to_owned(), database });
        }
        let url = env(&roles.app).and_then(|env| env.get("DATABASE_URL"));
        let user = url.and_then(|url| user_of(url)).unwrap_or_else(|| admin.clone());
        Ok(Login { user, database })
    }

    /// Runs the command. When `stop` completes, and after the time limit, the statement is canceled in the database.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    async fn watched(
        &self,
        client: &Client,
        container: &str,
        command: &[String],
        query: &DbQuery,
        login: &Login,
        mark: &str,
        mut stop: BoxFuture<'static, ()>,
    ) -> Result<Streams, DbError> {
        let service = self.roles().db;
        let limit = query.time + GRACE;
        let mut ran = std::pin::pin!(client.exec_streams(container, command));
        let by_request = tokio::select! {
            ran = timeout(limit, &mut ran) => match ran {
                Ok(ran) => return ran.map_err(|fault| fault.service(&service).into()),
                Err(_) => false,
            },
            () = &mut stop => true,
        };
        // Best effort: the time limits in the container end the statement in any case.
        let end = cancel(login, mark);
        let canceled = client.exec(container, &end, CANCEL_TIMEOUT);
        let (_canceled, _ended) = tokio::join!(canceled, timeout(CANCEL_TIMEOUT, &mut ran));
        Err(if by_request { DbError::Canceled } else { DbError::TimedOut { limit: query.time } })
    }
}

fn rejected(message: &str) -> DbError {
    DbError::Sql { message: message.to_owned(), detail: None }
}

/// User in `postgres://user:password@host/database`.
fn user_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    (!url.username().is_empty()).then(|| url.username().to_owned())
}

/// `psql` for one statement. A cursor limits the number of rows, even of an endless result.
fn command(login: &Login, query: &DbQuery, statement: &Statement<'_>, mark: &str) -> Vec<String> {
    let time = query.time.as_millis();
    let access = if query.write { "off" } else { "on" };
    let options = format!(
        "PGOPTIONS=-c statement_timeout={time} -c default_transaction_read_only={access} -c client_min_messages=warning"
    );
    // The process ends by itself if lab does not stop it.
    let limit = (query.time + GRACE).as_secs_f64().to_string();
    let mut words: Vec<String> = ["sh", "-c", SCRIPT, "sh"].map(str::to_owned).into();
    words.extend([limit, (2 * query.bytes + (64 << 10)).to_string(), options, format!("PGAPPNAME={mark}")]);
    words.extend(psql(login));
    words.extend(["--csv", "-P", &format!("null={mark}")].map(str::to_owned));
    let has_cursor = ROWS.contains(&statement.keyword()) && !query.write;
    let mut run = |command: String| words.extend(["-c".to_owned(), command]);
    if has_cursor {
        run("BEGIN".to_owned());
        // A comment at the end of the statement must not hide what follows.
        run(format!("DECLARE lab NO SCROLL CURSOR FOR\n{}\n", statement.text));
        run(format!("FETCH {} FROM lab", query.rows + 1));
    } else {
        run(format!("{}\n", statement.text));
    }
    run(format!("\\echo {mark} :ROW_COUNT"));
    words
}

fn psql(login: &Login) -> impl Iterator<Item = String> {
    let words = ["psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-U"];
    words.map(str::to_owned).into_iter().chain([login.user.clone(), "-d".to_owned(), login.database.clone()])
}

/// Command that ends the session of a statement.
fn cancel(login: &Login, mark: &str) -> Vec<String> {
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{mark}'");
    psql(login).chain(["-c".to_owned(), end]).collect()
}

/// Reads the output of `psql`.
fn read(streams: &Streams, query: &DbQuery, mark: &str, service: &str) -> Result<DbResult, DbError> {
    let (rows, end) = match streams.out.rfind(&format!("{mark} ")).filter(|at| is_line_start(&streams.out, *at)) {
        Some(at) => streams.out.split_at(at),
        None if !streams.err.trim().is_empty() => return Err(error(&streams.err, query, service)),
        // The output was cut.
        None => (streams.out.as_str(), ""),
    };
    let changed = end.trim().strip_prefix(mark).and_then(|count| count.trim().parse().ok());
    let mut records = csv::records(rows).into_iter();
    let Some(columns) = records.next() else {
        return Ok(DbResult { changed: changed.filter(|_| query.write), ..DbResult::default() });
    };
    let mut result = DbResult { columns, truncated: end.is_empty(), ..DbResult::default() };
    let mut used = 0;
    for record in records {
        let values = record.into_iter().map(|value| Some(value).filter(|value| value != mark)).collect();
        if !result.push(values, query, &mut used) {
            break;
        }
    }
    Ok(result)
}

fn is_line_start(text: &str, at: usize) -> bool {
    at == 0 || text[..at].ends_with('\n')
}

/// Converts the messages of `psql`: `ERROR:  42601: syntax error …`, with details on further lines.
fn error(text: &str, query: &DbQuery, service: &str) -> DbError {
    let found = |prefix: &str| {
        let line = text.lines().find_map(|line| line.split_once(prefix))?.1;
        Some(line.trim().to_owned())
    };
    let fatal = found("FATAL:");
    if let Some(fatal) = fatal.as_ref().filter(|fatal| !fatal.starts_with("57P01")) {
        let is_missing = fatal.contains(VIEWER) && fatal.contains("does not exist");
        let error = EngineError::new(EngineErrorKind::Unsupported, fatal.clone()).for_service(service);
        return if is_missing {
            error
                .hint("this lab was created by an earlier version, or its stack has no such role (docs/stack.md)")
                .into()
        } else {
            error.into()
        };
    }
    let Some(message) = fatal.or_else(|| found("ERROR:")) else {
        let detail = text.lines().next().unwrap_or_default().to_owned();
        return EngineError::new(EngineErrorKind::System, detail).for_service(service).into();
    };
    let (code, message) = message.split_once(": ").unwrap_or(("", &message));
    let message = message.to_owned();
    let detail = found("HINT:").or_else(|| found("DETAIL:"));
    match code {
        // query_canceled, and admin_shutdown.
        "57014" => DbError::TimedOut { limit: query.time },
        "57P01" => DbError::Canceled,
        // read_only_sql_transaction.
        "25006" => DbError::ReadOnly { message },
        // insufficient_privilege for an object; other privileges are out of reach with `write` too.
        "42501" if !query.write && message.starts_with("permission denied for") => DbError::ReadOnly { message },
        "0A000" | "42601" if message.contains("data-modifying") && !query.write => DbError::ReadOnly { message },
        _ => DbError::Sql { message, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(write: bool) -> DbQuery {
        DbQuery { sql: String::new(), write, time: Duration::from_secs(5), rows: 2, bytes: 1000 }
    }

    fn read_out(out: &str, err: &str, write: bool) -> Result<DbResult, DbError> {
        let streams = Streams { out: out.to_owned(), err: err.to_owned() };
        read(&streams, &query(write), "lab-1", "db")
    }

    #[test]
    fn rows_end_at_the_mark() {
        let result = read_out("id,name\n1,ada\n2,lab-1\n3,x\nlab-1 3\n", "", false).unwrap();
        assert_eq!(result.columns, ["id", "name"]);
        assert_eq!(result.rows[1], [Some("2".to_owned()), None]);
        assert!(result.truncated && result.rows.len() == 2);
        assert_eq!(read_out("lab-1 7\n", "", true).unwrap().changed, Some(7));
        assert!(read_out("id\n1\n", "", false).unwrap().truncated, "the output was cut");
    }

    #[test]
    fn errors_are_classified() {
        let error = |line: &str| read_out("", line, false).unwrap_err();
        assert!(matches!(
            error("ERROR:  25006: cannot execute DELETE in a read-only transaction"),
            DbError::ReadOnly { .. }
        ));
        assert!(matches!(error("ERROR:  42501: permission denied for table users"), DbError::ReadOnly { .. }));
        assert!(matches!(error("ERROR:  57014: canceling statement"), DbError::TimedOut { .. }));
        let syntax =
            error("ERROR:  42601: syntax error at or near \"x\"\nLINE 2: x\n        ^\nLOCATION:  scanner_yyerror");
        assert_eq!(syntax.to_string(), "syntax error at or near \"x\"");
        let program = error("ERROR:  42501: permission denied to COPY to a program\nDETAIL:  Only roles");
        assert_eq!(
            program,
            DbError::Sql {
                message: "permission denied to COPY to a program".to_owned(),
                detail: Some("Only roles".to_owned())
            }
        );
        assert_eq!(error("FATAL:  57P01: terminating connection due to administrator command"), DbError::Canceled);
        let missing = error("psql: error: connection to server failed: FATAL:  role \"viewer\" does not exist");
        assert!(matches!(missing, DbError::Engine(EngineError { hint: Some(_), .. })));
    }

    #[test]
    fn the_user_is_in_the_url() {
        assert_eq!(user_of("postgres://lab:pa:ss@db:5432/postgres").as_deref(), Some("lab"));
        assert_eq!(user_of("postgres://db/postgres"), None);
        assert_eq!(user_of("x"), None);
    }

    #[test]
    fn only_what_returns_rows_is_read_by_a_cursor() {
        let login = Login { user: "viewer".to_owned(), database: "postgres".to_owned() };
        let command = |sql: &str, write| {
            let statements = sql::statements(sql, Dialect::Postgres);
            command(&login, &query(write), &statements[0], "lab-1").join(" ")
        };
        assert!(command("select 1 -- x", false).contains("DECLARE lab NO SCROLL CURSOR FOR\nselect 1 -- x\n"));
        assert!(!command("show work_mem", false).contains("DECLARE"));
        assert!(!command("select 1", true).contains("DECLARE"));
    }
}
