//! `lab scenario run` with several scenarios: one after the other, with a summary at the end.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Selected, Task, dry_run, one, signals};
use crate::cli::{Format, RunArgs};
use crate::commands::session::Session;
use crate::commands::{failure, report_error};
use lab_core::error::{Exit, Failure};
use lab_core::event::Event;
use lab_report::report::journal::{Journal, JournalBuilder};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{Sink, human, short_id, status_name, status_tone};
use lab_report::term::Tone;
use lab_runner::lab::StateFolder;

/// Collects the journals of consecutive runs. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Journals {
    finished: Arc<Mutex<Vec<Journal>>>,
    current: JournalBuilder,
}

impl Sink for Journals {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        self.current.push(event);
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).extend(self.current.journal());
        Ok(())
    }
}

/// Row of the summary.
struct Row {
    scenario: String,
    exit: Exit,
    /// `None` if the run could not begin.
    journal: Option<Journal>,
    /// Reason why it could not begin.
    error: Option<String>,
}

pub(super) async fn run(session: &Session, args: &RunArgs, selected: Vec<Selected>) -> anyhow::Result<Exit> {
    check_options(args)?;
    if args.dry_run {
        return dry_run(session, args, &selected).await;
    }
    for Selected { plan, .. } in &selected {
        plan.check_commands(args.allow_commands)?;
    }
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    if args.recover {
        let exit = crate::commands::recover::undo_pending(session, &state, &interrupt).await?;
        if exit != Exit::Passed {
            return Ok(exit);
        }
    }
    let format = Some(args.format()).filter(|format| *format != Format::Json);
    let (mut rows, total): (Vec<Row>, usize) = (Vec::new(), selected.len());
    for (index, selected) in selected.into_iter().enumerate() {
        if args.format() == Format::Text && index > 0 {
            session.line("")?;
        }
        let scenario = selected.plan.name.clone();
        let id = state.new_run_id()?;
        let journals = Journals::default();
        let (interrupt, finished) = (interrupt.clone(), journals.clone());
        let task = Task { selected, id, interrupt, reports: Vec::new(), format, journals: Some(journals) };
        let result = Box::pin(one(session, args, &state, task)).await;
        let error = result.as_ref().err().map(failure::text);
        let exit = result.unwrap_or_else(|error| report_error(&error));
        let journal = finished.finished.lock().unwrap_or_else(PoisonError::into_inner).pop();
        rows.push(Row { scenario, exit, journal, error });
        // Nobody knows the state of the lab after an incomplete undo.
        if matches!(exit, Exit::UndoIncomplete | Exit::Interrupted | Exit::Terminated) {
            break;
        }
    }
    let exit = rows.iter().fold(Exit::Passed, |exit, row| exit.worse(row.exit));
    match args.format() {
        Format::Text => summarise(session, &rows, total)?,
        Format::Json => drop(session.json(&rows.into_iter().filter_map(|row| row.journal).collect::<Vec<_>>())?),
        Format::Ndjson => {}
    }
    Ok(exit)
}

/// Refuses the options that make sense for one scenario only.
fn check_options(args: &RunArgs) -> Result<(), Failure> {
    let one_only = [("--keep", args.keep), ("--until", args.until.is_some()), ("--report", !args.reports.is_empty())];
    let Some((option, _)) = one_only.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    let hint = if option == "--report" {
        "write the reports afterwards with lab runs report ID"
    } else {
        "a kept fault would be part of the next run"
    };
    Err(Failure::usage(format!("{option} takes one scenario, not {}", args.scenarios.len())).hint(hint))
}

async fn dry_run(session: &Session, args: &RunArgs, selected: &[Selected]) -> anyhow::Result<Exit> {
    if args.json {
        let mut documents = Vec::new();
        for Selected { plan, until } in selected {
            documents.push(dry_run::describe(session, args, plan, until.as_ref()).await?);
        }
        return session.json(&documents);
    }
    for (index, Selected { plan, until }) in selected.iter().enumerate() {
        if index > 0 {
            session.line("")?;
        }
        dry_run::run(session, args, plan, until.as_ref()).await?;
    }
    Ok(Exit::Passed)
}

fn summarise(session: &Session, rows: &[Row], total: usize) -> anyhow::Result<()> {
    let columns = [
        ("run", Side::Left),
        ("scenario", Side::Left),
        ("took", Side::Right),
        ("outage", Side::Right),
        ("", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        let id = row.journal.as_ref().map_or("-", |journal| short_id(&journal.id));
        let took = row.journal.as_ref().map_or_else(|| "-".to_owned(), |journal| human::clock(journal.duration));
        let outage = row.journal.as_ref().and_then(|journal| journal.outage.as_ref());
        let outage = outage.map_or_else(|| "-".to_owned(), |outage| human::clock(outage.duration));
        let verdict = match (&row.journal, &row.error) {
            (Some(journal), _) => Cell::new(status_tone(journal.status), status_name(journal.status)),
            (None, Some(error)) => Cell::new(Tone::Failed, format!("not run: {error}")),
            (None, None) => Cell::new(Tone::Warn, "not run"),
        };
        table.row([id.into(), row.scenario.as_str().into(), took.into(), outage.into(), verdict]);
    }
    session.line("")?;
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    let passed = rows.iter().filter(|row| row.exit == Exit::Passed).count();
    let left = total - rows.len();
    let left = if left > 0 { format!(", {left} not started") } else { String::new() };
    session.line(&format!("{passed} of {} passed{left}", human::count(total as u64, "scenario")))?;
    Ok(())
}
