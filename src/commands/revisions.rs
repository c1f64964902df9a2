//! `lab history` and `lab rollback`: what changed in a lab, when and by whom.

use std::time::Instant;

use chrono::{DateTime, Local, Utc};
use serde::Serialize;

use super::change::ManualChange;
use super::session::{Connected, Session, no_service, unknown_service};
use crate::cli::{HistoryArgs, RollbackArgs};
use lab_core::engine::{Roles, RunState, secret};
use lab_core::error::{Exit, Failure};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, text};
use lab_report::term::Tone;
use lab_runner::lab::revisions::{Author, CALLERS, Difference, Entry, Outcome, Revision, Revisions, State};

/// Maximum width of an SQL statement in the table, in columns.
const STATEMENT_WIDTH: usize = 60;

/// Masks the values of variables that hold secrets.
pub(super) struct Masking {
    roles: Roles,
    reveal: bool,
}

impl Masking {
    pub(super) fn new(connected: &Connected, reveal: bool) -> Self {
        Self { roles: connected.engine.roles(), reveal }
    }

    pub(super) fn value(&self, name: &str, value: &str) -> String {
        if self.reveal { value.to_owned() } else { secret::mask_value(&self.roles, name, value) }
    }

    pub(super) fn option(&self, name: &str, value: Option<&str>) -> String {
        value.map_or_else(|| "unset".to_owned(), |value| self.value(name, value))
    }
}

/// Change of a variable: `APP_RATE_LIMIT unset > 5`.
pub(super) fn change_text(masking: &Masking, change: &Difference) -> String {
    let Difference { name, old, new } = change;
    format!("{name} {} > {}", masking.option(name, old.as_deref()), masking.option(name, new.as_deref()))
}

/// Output of `lab history --json`: one per revision.
#[derive(Serialize)]
struct Document<'a> {
    service: &'a str,
    revision: u64,
    #[serde(serialize_with = "lab_core::event::rfc3339")]
    at: DateTime<Utc>,
    #[serde(flatten)]
    author: &'a Author,
    outcome: Outcome,
    /// The service has this revision now.
    current: bool,
    changes: Vec<Difference>,
    /// SQL statement that was executed in the service.
    statement: Option<&'a str>,
    /// Run state after the revision.
    run: RunState,
    /// Previous run state, if it changed.
    run_before: Option<RunState>,
}

pub(super) async fn history(session: &Session, args: &HistoryArgs) -> anyhow::Result<Exit> {
    if args.reveal {
        session.reveal();
    }
    let connected = session.connect()?;
    if let Some(service) = &args.service {
        check_subject(&connected, service)?;
    }
    connected.settle().await?;
    let revisions = connected.lab.revisions()?;
    let masking = Masking::new(&connected, args.reveal);
    let subjects = match &args.service {
        Some(service) => vec![service.as_str()],
        None => revisions.subjects(),
    };
    let mut entries: Vec<Entry<'_>> = subjects.iter().flat_map(|subject| revisions.entries(subject)).collect();
    entries.sort_by_key(|entry| entry.revision.at);
    if args.json {
        let documents: Vec<Document<'_>> = entries.iter().map(|entry| document(entry, &revisions, &masking)).collect();
        return session.json(&documents);
    }
    if entries.is_empty() {
        return session.line("no changes are recorded yet");
    }
    let all = args.service.is_none();
    let mut columns = vec![("revision", Side::Right), ("time", Side::Left), ("by", Side::Left), ("change", Side::Left)];
    if all {
        columns.insert(0, ("service", Side::Left));
    }
    let mut table = Table::new(&columns);
    for entry in &entries {
        let Revision { subject, number, at, author, .. } = entry.revision;
        let at = at.with_timezone(&Local).format("%m-%d %H:%M:%S").to_string();
        let mut cells: Vec<Cell> = if all { vec![subject.as_str().into()] } else { Vec::new() };
        cells.extend([number.to_string().into(), at.into(), author.text().into(), change_cell(entry, &masking)]);
        table.row(cells);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(Exit::Passed)
}

fn document<'a>(entry: &Entry<'a>, revisions: &Revisions, masking: &Masking) -> Document<'a> {
    let revision = entry.revision;
    let mut changes = entry.differences();
    for Difference { name, old, new } in &mut changes {
        for value in [old, new].into_iter().flatten() {
            *value = masking.value(name, value);
        }
    }
    let current = revisions.current(&revision.subject).is_some_and(|current| current.number == revision.number);
    Document {
        service: &revision.subject,
        revision: revision.number,
        at: revision.at,
        author: &revision.author,
        outcome: revision.outcome,
        current,
        changes,
        statement: revision.statement.as_deref(),
        run: revision.state.run,
        run_before: entry.run_change().map(|(old, _)| old),
    }
}

/// What a revision changed, in one cell.
fn change_cell(entry: &Entry<'_>, masking: &Masking) -> Cell {
    let mut changes: Vec<String> = entry.differences().iter().map(|change| change_text(masking, change)).collect();
    changes.extend(entry.run_change().map(|(old, new)| format!("{} > {}", old.name(), new.name())));
    if let Some(statement) = &entry.revision.statement {
        changes.push(format!("SQL: {}", one_line(statement)));
    }
    let text = match (changes.is_empty(), entry.before) {
        (true, None) => "first state".to_owned(),
        (true, Some(_)) => "restarted".to_owned(),
        (false, _) => changes.join(", "),
    };
    match entry.revision.outcome {
        Outcome::Done => text.into(),
        Outcome::Failed => Cell::new(Tone::Failed, format!("failed: {text}")),
        Outcome::Pending => Cell::new(Tone::Warn, format!("in progress: {text}")),
    }
}

/// A statement in one line, cut to fit in a table.
fn one_line(statement: &str) -> String {
    text::cut(&statement.split_whitespace().collect::<Vec<_>>().join(" "), STATEMENT_WIDTH)
}

/// Rejects a name that is neither a service nor `callers`.
fn check_subject(connected: &Connected, name: &str) -> anyhow::Result<()> {
    let known = connected.engine.services();
    let mut names = known.iter().map(|spec| spec.name.as_str()).chain([CALLERS]);
    if names.any(|known| known == name) {
        return Ok(());
    }
    Err(unknown_service(name, known.iter().map(|spec| spec.name.as_str())).into())
}

pub(super) async fn rollback(session: &Session, args: &RollbackArgs) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let Some(service) = args.service.as_deref() else {
        let known = connected.engine.services();
        let subjects = known.iter().map(|spec| spec.name.as_str()).chain([CALLERS]);
        return Err(no_service("lab rollback", subjects).into());
    };
    check_subject(&connected, service)?;
    let change = match ManualChange::begin(session, &connected, "lab rollback").await? {
        Ok(change) => change,
        Err(exit) => return Ok(exit),
    };
    let revisions = connected.lab.revisions()?;
    let target = target(&connected, &revisions, service, args.to)?;
    let masking = Masking::new(&connected, false);
    let start = Instant::now();
    let now = if service == CALLERS {
        revisions.current(CALLERS).map(|current| current.state.clone())
    } else {
        connected.describe().await?.service(service).map(State::observed)
    };
    let now = now.unwrap_or(State { env: [].into(), run: RunState::Stopped });
    let wanted = target.state.change_from(&now);
    if wanted.env.is_empty() && wanted.run.is_none() {
        return session.line(&format!("{service} already is as in revision {}", target.number)).map(|_| change.exit());
    }
    if service == CALLERS {
        change.set_callers(&target.state)?;
    } else {
        change.apply(service, std::slice::from_ref(&wanted)).await?;
    }
    let mut changes: Vec<String> =
        now.differences(&target.state).iter().map(|change| change_text(&masking, change)).collect();
    changes.extend(wanted.run.map(|run| format!("{} > {}", now.run.name(), run.name())));
    let took = human::duration(start.elapsed());
    let number = target.number;
    session.line(&format!("{service} rolled back to revision {number} in {took}: {}", changes.join(", ")))?;
    Ok(change.exit())
}

/// The revision to return to.
fn target<'r>(
    connected: &Connected,
    revisions: &'r Revisions,
    service: &str,
    number: Option<u64>,
) -> anyhow::Result<&'r Revision> {
    let hint = format!("lab history {service}{}", connected.lab.name_option());
    let Some(number) = number else {
        let message = format!("{service} has no earlier revision to return to");
        return Ok(revisions.previous(service).ok_or_else(|| Failure::failed(message).hint(hint))?);
    };
    match revisions.get(service, number) {
        Some(found) if found.outcome == Outcome::Done => Ok(found),
        Some(_) => Err(Failure::usage(format!("revision {number} of {service} never took effect")).hint(hint).into()),
        None => Err(Failure::usage(format!("{service} has no revision {number}")).hint(hint).into()),
    }
}
