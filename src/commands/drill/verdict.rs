//! Waits for the verdict about the last fix before a drill ends. The referee has to see the callers succeed for ten seconds,
//! and then checks the fix; until then, it has no points.

use std::time::Duration;

use lab_core::error::Failure;
use lab_drill::fold::Pending;
use lab_drill::log::LogError;
use lab_report::term::{Fallback, ProgressLine};
use lab_runner::drill::{self, DrillProcess};
use lab_runner::runner::Interrupt;
use lab_system::deadline::Deadline;

use super::{Active, log_failure};
use crate::commands::session::Session;

/// Longest wait. It has room for a check that disturbs the callers, which takes up to 25 seconds.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Interval between looks at the log.
const POLL: Duration = Duration::from_millis(200);

/// Waits until no verdict is pending. Returns false after a signal; the drill goes on then.
pub(super) async fn wait(session: &Session, interrupt: &Interrupt) -> anyhow::Result<bool> {
    let mut active = Active::open(session)?;
    let Some(mut pending) = drill::pending(&active.lab, &active.drill) else { return Ok(true) };
    let name = active.lab.name_option();
    let referee = DrillProcess::new(&active.lab);
    let line = session.term.progress_line(
        "waiting for the referee's verdict, at most a minute (--now ends the drill as it is)",
        Fallback::Announce,
    );
    let deadline = Deadline::after(LONGEST_WAIT);
    while !deadline.is_over() {
        if !referee.is_running() {
            let message = "the referee does not run, so what you changed last would not count";
            let hint =
                format!("lab drill resume{name} continues it · lab drill finish{name} --now ends the drill as it is");
            return Err(Failure::failed(message).hint(hint).into());
        }
        show(&line, pending);
        tokio::select! {
            () = interrupt.stop().cancelled() => {
                line.clear();
                session.term.note(&format!("the drill goes on; lab drill finish{name} --now ends it as it is"));
                return Ok(false);
            }
            () = tokio::time::sleep(POLL) => {}
        }
        match active.log.read() {
            Ok(entries) => entries.iter().for_each(|entry| active.drill.apply(entry)),
            // Another command ended it.
            Err(LogError::Over) => return Ok(true),
            Err(error) => return Err(log_failure(error, &active.lab)),
        }
        match drill::pending(&active.lab, &active.drill) {
            Some(now) => pending = now,
            None => return Ok(true),
        }
    }
    let message = "the referee has given no verdict within a minute";
    let hint = format!("lab drill status{name} · lab drill finish{name} --now ends the drill as it is");
    Err(Failure::failed(message).hint(hint).into())
}

fn show(line: &ProgressLine, pending: Pending) {
    let text = match pending {
        Pending::Effect => "waiting for the effect of your last change".to_owned(),
        Pending::Window { seconds } => format!("waiting until the callers have succeeded for 10s ({seconds}s so far)"),
        Pending::Check => "waiting for the referee to check the fix".to_owned(),
        Pending::Sight => "waiting until the referee can look at the lab again".to_owned(),
    };
    line.label(&format!("{text}; Ctrl-C continues the drill"));
}
