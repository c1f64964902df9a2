//! [`Stop`]: why and how a service ends. A signal lets it finish its requests; the end of its standard input, which is the
//! end of whoever started it, ends it at once.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The end of a service, to be waited for.
#[derive(Clone)]
pub(crate) struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
    /// What `drain` says, for the hot path.
    draining: Arc<AtomicBool>,
}

impl Stop {
    /// An end that nothing brings about but these methods.
    pub(crate) fn new() -> Self {
        Self {
            drain: CancellationToken::new(),
            now: CancellationToken::new(),
            draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Ends on SIGTERM and SIGINT from now on.
    pub(crate) fn on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.drain();
        });
        Ok(())
    }

    /// Ends at once when standard input ends; hands each line to `line` before. A plain thread: a runtime could not be
    /// shut down while one of its own waits there.
    pub(crate) fn on_stdin_end(&self, mut line: impl FnMut(&str) + Send + 'static) -> std::io::Result<()> {
        let stop = self.clone();
        let read = move || {
            wake_when_orphaned();
            let mut stdin = std::io::stdin().lock();
            let mut bytes = Vec::new();
            while stdin.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                line(String::from_utf8_lossy(&bytes).trim_end());
                bytes.clear();
            }
            stop.now();
        };
        std::thread::Builder::new().name("stdin".into()).spawn(read).map(drop)
    }

    /// Finish what is in flight and end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.cancel();
    }

    /// End now.
    fn now(&self) {
        self.drain();
        self.now.cancel();
    }

    /// Whether the end has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Until the end begins.
    pub(crate) async fn begun(&self) {
        self.drain.cancelled().await;
    }

    /// Until nothing is to be waited for any more.
    pub(crate) async fn immediate(&self) {
        self.now.cancelled().await;
    }
}

/// A frozen process cannot see its standard input end: on Linux the kernel wakes it when its parent has died.
fn wake_when_orphaned() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Refused by nothing but an invalid signal.
        let _ = set_parent_process_death_signal(Some(Signal::CONT));
    }
}
