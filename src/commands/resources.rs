//! Checks the file descriptors and threads that every command needs. The async runtime and its signal handler would panic
//! without them.

use std::fs::File;
use std::thread;

use rustix::process::{Resource, getrlimit};

use lab_core::error::Failure;

/// Descriptors for the runtime, its signal handler and a few files and connections.
const DESCRIPTORS: usize = 24;
/// Process limits above this are not tested.
const MANY_PROCESSES: u64 = 4096;

/// Fails if this process cannot open the files or start the threads that a command needs.
pub(super) fn check() -> Result<(), Failure> {
    // Already open files count as well, so the limit alone is not enough.
    let held: Result<Vec<File>, _> = (0..DESCRIPTORS).map(|_| File::open("/")).collect();
    if let Err(error) = held {
        let message = format!("this process cannot open {DESCRIPTORS} files: {error}");
        return Err(Failure::failed(message).hint("raise the limit of open files: ulimit -n 1024"));
    }
    let limit = getrlimit(Resource::Nproc).current;
    if limit.is_some_and(|limit| limit < MANY_PROCESSES)
        && let Err(error) = start_threads()
    {
        let message = format!("this process cannot start its threads: {error}");
        return Err(Failure::failed(message).hint("raise the limit of processes: ulimit -u 4096"));
    }
    Ok(())
}

/// Starts as many threads as the runtime does, plus a few.
fn start_threads() -> std::io::Result<()> {
    let count = thread::available_parallelism().map_or(1, usize::from) + 4;
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
    let mut threads = Vec::new();
    let started = (0..count).try_for_each(|_| {
        let receiver = receiver.clone();
        // Each ends when the sender is dropped.
        let wait = move || drop(receiver.lock().map(|ended| ended.recv()));
        threads.push(thread::Builder::new().spawn(wait)?);
        Ok(())
    });
    drop(sender);
    for thread in threads {
        drop(thread.join());
    }
    started
}
