//! The main function of the background processes of a lab: the dashboard's and the callers'. A process reads its order from
//! standard input, responds on standard output, and outlives the command that started it.

use std::io::{BufRead, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use lab_core::error::Exit;
use lab_runner::lab::{Lab, StateFolder};
use lab_system::background;

/// Most threads of a process with several labs. Those that are not needed are not started.
const BLOCKING_THREADS: usize = 4096;

/// Reads the order and executes it. `started_by` is the command that starts the process; `failed` makes the response from the
/// reason of a failure.
pub(super) fn run<O, R, F>(started_by: &str, failed: fn(String) -> R, main: impl FnOnce(O) -> F) -> Exit
where
    O: DeserializeOwned,
    R: Serialize,
    F: Future<Output = anyhow::Result<Exit>>,
{
    run_on(tokio::runtime::Builder::new_current_thread(), started_by, failed, main)
}

/// Like [`run`], with several threads.
pub(super) fn run_parallel<O, R, F>(
    started_by: &str,
    failed: fn(String) -> R,
    main: impl FnOnce(O) -> F,
    threads: usize,
) -> Exit
where
    O: DeserializeOwned,
    R: Serialize,
    F: Future<Output = anyhow::Result<Exit>>,
{
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // The callers of each lab need a few threads as long as they send.
    runtime.worker_threads(threads).max_blocking_threads(BLOCKING_THREADS);
    run_on(runtime, started_by, failed, main)
}

fn run_on<O, R, F>(
    mut runtime: tokio::runtime::Builder,
    started_by: &str,
    failed: fn(String) -> R,
    main: impl FnOnce(O) -> F,
) -> Exit
where
    O: DeserializeOwned,
    R: Serialize,
    F: Future<Output = anyhow::Result<Exit>>,
{
    background::detach();
    let fail = |why: String| {
        respond(&failed(why));
        Exit::Failed
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error.to_string()),
    };
    let mut line = String::new();
    if !matches!(std::io::stdin().lock().read_line(&mut line), Ok(1..)) {
        // No order: the parent exited, or it does not need the process.
        return Exit::Passed;
    }
    let Ok(order) = serde_json::from_str(&line) else {
        let message = format!("error: this command is started by {started_by} and not for direct use\n");
        let _ = std::io::stderr().write_all(message.as_bytes());
        return Exit::Usage;
    };
    let exit = runtime.block_on(main(order));
    runtime.shutdown_background();
    exit.unwrap_or_else(|error| fail(error.to_string()))
}

/// Responds to the parent. It may have exited; the process goes on.
pub(super) fn respond(response: &impl Serialize) {
    let text = serde_json::to_string(response).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Lab with this state folder.
pub(super) fn lab_in(folder: &Path) -> anyhow::Result<Lab> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let root = folder.parent().and_then(Path::parent).unwrap_or(folder);
    Ok(StateFolder::at(root).and_then(|state| state.lab(name))?)
}
