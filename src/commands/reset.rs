//! `lab reset`: takes a lab back to how it was first brought up.

use std::time::Instant;

use super::session::{Connected, Session};
use super::signals;
use lab_core::error::{Exit, Failure};
use lab_report::report::{describe_keys, human};
use lab_report::term::Fallback;
use lab_runner::callers;
use lab_runner::runner::{Interrupt, Signal};

pub(super) async fn run(session: &Session) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let interrupt = signals::install()?;
    let start = Instant::now();
    let line = session.term.progress_line("resetting the lab", Fallback::Silent);
    let done = reset(session, &connected, &interrupt).await;
    line.clear();
    let Some(()) = done? else { return Ok(exit(&interrupt)) };
    let took = human::duration(start.elapsed());
    session.line(&format!("lab {} is as it was first brought up, after {took}", connected.lab.name()))?;
    let keys = connected.keys(&connected.describe().await?)?;
    for (_, line) in keys.iter().flat_map(describe_keys) {
        session.line(&line)?;
    }
    Ok(exit(&interrupt))
}

/// Resets the lab under its locks. `None` if it was interrupted before it began. After that, the first signal lets it
/// complete, and the second one aborts it.
pub(super) async fn reset(
    session: &Session,
    connected: &Connected,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<()>> {
    let Connected { lab, engine, .. } = connected;
    let _run = lab.lock_run("lab reset")?;
    let change = tokio::select! {
        biased;
        () = interrupt.stop().cancelled() => return Ok(None),
        change = lab.lock_change("lab reset") => change?,
    };
    lab.locked_record(&change)?;
    callers::stop(lab).await.map_err(|error| Failure::failed(error.to_string()))?;
    let reset = lab.reset(engine);
    let mut reset = std::pin::pin!(reset);
    let again = format!("run lab reset{} again to finish it", lab.name_option());
    let done = tokio::select! {
        done = &mut reset => done,
        () = interrupt.stop().cancelled() => {
            session.term.note("completing the reset first; press Ctrl-C again to abort it");
            tokio::select! {
                done = reset => done,
                () = interrupt.give_up().cancelled() => {
                    let failure = Failure { exit: exit(interrupt), ..Failure::failed("the reset was aborted") };
                    return Err(failure.hint(again).into());
                }
            }
        }
    };
    done.map_err(|error| {
        let failure = Failure::failed(format!("lab {} could not be reset: {error}", lab.name()));
        failure.hint(again)
    })?;
    Ok(Some(()))
}

fn exit(interrupt: &Interrupt) -> Exit {
    interrupt.signal().map_or(Exit::Passed, Signal::exit)
}
