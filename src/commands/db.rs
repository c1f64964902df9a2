//! `lab db`: queries the app's database.

use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::session::{Connected, Session};
use super::signals;
use crate::cli::{DbCommand, DbQueryArgs};
use lab_core::engine::sql::{self, Dialect};
use lab_core::engine::{DbError, DbQuery, DbResult};
use lab_core::error::{Exit, Failure};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, text};
use lab_report::term::{Tone, masked};
use lab_runner::lab::revisions::Author;
use lab_runner::runner::Signal;
use lab_scenario::value;

/// Maximum size of a result in bytes.
const MOST_BYTES: usize = 4 << 20;
/// Maximum size of a statement from standard input in bytes.
const LONGEST: u64 = 64 << 10;
/// Author of the revisions, for people.
const COMMAND: &str = "lab db query";
/// Maximum width of a value in a table, in columns.
const WIDEST: usize = 60;

/// `--json` output.
#[derive(Serialize)]
struct Document<'a> {
    columns: &'a [String],
    rows: Vec<Row<'a>>,
    /// True if there are more rows, or larger values, than the limits allow.
    truncated: bool,
    /// Rows changed by a statement that returns none.
    changed: Option<u64>,
    seconds: f64,
}

/// A row as an object with its columns in order.
struct Row<'a> {
    columns: &'a [String],
    values: &'a [Option<String>],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (index, (column, value)) in self.columns.iter().zip(self.values).enumerate() {
            // A repeated name would hide a value.
            let before = self.columns[..index].iter().filter(|earlier| *earlier == column).count();
            let name = if before == 0 { column.clone() } else { format!("{column}_{}", before + 1) };
            map.serialize_entry(&name, value)?;
        }
        map.end()
    }
}

pub(super) async fn run(session: &Session, command: &DbCommand) -> anyhow::Result<Exit> {
    let DbCommand::Query(args) = command;
    let time = value::timeout(&args.timeout).map_err(|error| Failure::usage(format!("--timeout: {error}")))?;
    let typed = statement(&args.sql)?;
    let connected = session.connect()?;
    let dialect = connected.engine.dialect().unwrap_or(Dialect::Postgres);
    let query = DbQuery { sql: only(&typed, dialect)?, write: args.write, time, rows: args.rows, bytes: MOST_BYTES };
    let interrupt = signals::install()?;
    let stop = interrupt.stop().clone();
    let start = Instant::now();
    let line = session.term.progress_line("querying", lab_report::term::Fallback::Silent);
    let record = if is_recorded(&query) { Some(Recorded::begin(&connected, &query.sql).await?) } else { None };
    let result = connected.engine.query(&query, async move { stop.cancelled().await }.boxed()).await;
    line.clear();
    if let Some(record) = record {
        record.finish(result.is_ok()).await?;
    }
    match result {
        Ok(result) => show(session, args, &result, start.elapsed()),
        Err(DbError::Canceled) if interrupt.signal().is_some() => {
            session.term.note("the statement was canceled");
            Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit))
        }
        Err(error) => Err(failure(error, &connected)),
    }
}

/// Whether a statement is a change of the lab: it writes, or it ends sessions or statements of others.
fn is_recorded(query: &DbQuery) -> bool {
    let sql = query.sql.to_lowercase();
    query.write || ["pg_terminate_backend", "pg_cancel_backend"].iter().any(|function| sql.contains(function))
}

/// A statement in the history of the database. The lab is not locked while it is executed.
struct Recorded<'a> {
    connected: &'a Connected,
    service: String,
    number: u64,
}

impl<'a> Recorded<'a> {
    async fn begin(connected: &'a Connected, sql: &str) -> anyhow::Result<Self> {
        let Connected { lab, engine, .. } = connected;
        let service = engine.roles().db;
        let lock = lab.lock_change(COMMAND).await?;
        lab.locked_record(&lock)?;
        let number = lab.announce_statement(engine.as_ref(), &service, sql, &Author::hand(COMMAND)).await?;
        Ok(Self { connected, service, number })
    }

    async fn finish(self, executed: bool) -> anyhow::Result<()> {
        let lab = &self.connected.lab;
        let _lock = lab.lock_change(COMMAND).await?;
        Ok(lab.finish_statement(&self.service, self.number, executed)?)
    }
}

/// The statement, from the command line or from standard input.
fn statement(typed: &str) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed.to_owned());
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(Failure::usage("standard input is a terminal").hint("lab db query - < query.sql"));
    }
    let mut text = String::new();
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read the statement: {error}"));
    input.lock().take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(Failure::usage("the statement is longer than 64 KiB"));
    }
    Ok(text)
}

/// The only statement of a text.
fn only(typed: &str, dialect: Dialect) -> Result<String, Failure> {
    match sql::statements(typed, dialect).as_slice() {
        [one] => Ok(one.text.to_owned()),
        [] => Err(Failure::usage("there is no SQL statement").hint("lab db query 'SELECT * FROM users'")),
        several => Err(Failure::usage(format!("expected one statement, got {}", several.len()))
            .hint("run lab db query once for each statement")),
    }
}

fn failure(error: DbError, connected: &Connected) -> anyhow::Error {
    let name = connected.lab.name_option();
    match error {
        DbError::Engine(error) => error.into(),
        DbError::Sql { message, detail } => {
            let failure = Failure::usage(format!("SQL: {message}"));
            detail.into_iter().fold(failure, Failure::hint).into()
        }
        DbError::ReadOnly { .. } => {
            Failure::usage(error.to_string()).hint("add --write if you mean to change the lab's data").into()
        }
        DbError::TimedOut { .. } => Failure::failed(error.to_string()).hint("--timeout 1m gives it more time").into(),
        DbError::Canceled => Failure::failed("the session of the statement was ended").into(),
        DbError::Locked => {
            let hint = format!("lab status{name} shows if it is paused; lab unpause db{name} ends that");
            Failure::failed("the database is locked").hint(hint).into()
        }
    }
}

fn show(session: &Session, args: &DbQueryArgs, result: &DbResult, took: Duration) -> anyhow::Result<Exit> {
    if args.json {
        let rows = result.rows.iter().map(|values| Row { columns: &result.columns, values }).collect();
        let DbResult { columns, truncated, changed, .. } = result;
        let (truncated, changed, seconds) = (*truncated, *changed, took.as_secs_f64());
        session.json(&Document { columns, rows, truncated, changed, seconds })?;
    } else if args.csv {
        session.print(masked(&csv(result)).as_bytes())?;
    } else {
        table(session, result, took)?;
    }
    if result.truncated {
        let shown = human::count(result.rows.len() as u64, "row");
        session.term.note(&format!("only the first {shown} are shown: the limits are --rows {} and 4 MiB", args.rows));
    }
    Ok(Exit::Passed)
}

fn table(session: &Session, result: &DbResult, took: Duration) -> anyhow::Result<()> {
    let painter = session.term.painter();
    let took = human::duration(took);
    if result.columns.is_empty() {
        let changed =
            result.changed.map_or_else(String::new, |count| format!("{} changed, ", human::count(count, "row")));
        session.line(&painter.paint(Tone::Dim, &format!("{changed}{took}")))?;
        return Ok(());
    }
    let is_number = |index: usize| {
        let mut values = result.rows.iter().filter_map(|row| row.get(index)?.as_deref()).peekable();
        values.peek().is_some() && values.all(|value| value.parse::<f64>().is_ok())
    };
    let side = |index| if is_number(index) { Side::Right } else { Side::Left };
    let names: Vec<String> = result.columns.iter().map(|name| text::cut(name, WIDEST)).collect();
    let columns: Vec<(&str, Side)> =
        names.iter().enumerate().map(|(index, name)| (name.as_str(), side(index))).collect();
    let mut table = Table::new(&columns);
    let mut is_cut = false;
    for row in &result.rows {
        let cells = row.iter().map(|value| match value {
            None => Cell::new(Tone::Dim, "NULL".to_owned()),
            Some(value) => {
                let shown = text::cut(value, WIDEST);
                is_cut |= shown.ends_with('…') && !value.ends_with('…');
                shown.into()
            }
        });
        table.row(cells);
    }
    table.write(&mut session.term.out(), session.term.width(), painter)?;
    let count = human::count(result.rows.len() as u64, "row");
    session.line(&painter.paint(Tone::Dim, &format!("{count}, {took}")))?;
    if is_cut {
        session.term.note(&format!("values are cut to {WIDEST} columns; --csv and --json print them whole"));
    }
    Ok(())
}

/// CSV as in RFC 4180, with a header. NULL is an empty value, and an empty text is in quotes.
fn csv(result: &DbResult) -> String {
    let quoted = |value: &str| {
        let is_plain = !value.is_empty() && !value.contains([',', '"', '\n', '\r']);
        if is_plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
    };
    let line = |values: Vec<String>| values.join(",") + "\n";
    if result.columns.is_empty() {
        return String::new();
    }
    let header = line(result.columns.iter().map(|name| quoted(name)).collect());
    let value = |value: &Option<String>| value.as_deref().map(quoted).unwrap_or_default();
    let rows = result.rows.iter().map(|row| line(row.iter().map(value).collect()));
    std::iter::once(header).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> DbResult {
        let row = |id: &str, name: Option<&str>| vec![Some(id.to_owned()), name.map(str::to_owned)];
        let rows = vec![row("1", Some("a \"b\", c")), row("2", None), row("3", Some(""))];
        DbResult { columns: vec!["n".to_owned(), "n".to_owned()], rows, ..DbResult::default() }
    }

    #[test]
    fn csv_distinguishes_null_and_empty() {
        assert_eq!(csv(&result()), "n,n\n1,\"a \"\"b\"\", c\"\n2,\n3,\"\"\n");
    }

    #[test]
    fn rows_are_objects_with_every_column() {
        let result = result();
        let row = Row { columns: &result.columns, values: &result.rows[1] };
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"n":"2","n_2":null}"#);
    }

    #[test]
    fn one_statement_is_expected() {
        assert_eq!(only(" select 1; ", Dialect::Postgres).unwrap(), "select 1");
        assert!(only("select 1; select 2", Dialect::Postgres).unwrap_err().to_string().contains("got 2"));
        assert!(only("-- nothing", Dialect::Sqlite).is_err());
    }
}
