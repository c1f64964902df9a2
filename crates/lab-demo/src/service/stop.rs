//! Shutdown of a service. A signal starts a graceful shutdown. The end of standard input, which means that the parent process
//! has exited, stops the service at once.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Shutdown state of a service. Clones share it.
#[derive(Clone)]
pub(crate) struct Stop {
    drain: CancellationToken,
    force: CancellationToken,
    /// Same as `drain`, but cheaper to read on the hot path.
    draining: Arc<AtomicBool>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self {
            drain: CancellationToken::new(),
            force: CancellationToken::new(),
            draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Starts a graceful shutdown on SIGTERM and SIGINT.
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

    /// Passes each line of standard input to `line`, and stops the service when standard input closes. Uses a plain thread,
    /// because the runtime could not shut down while one of its own threads blocks on standard input.
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
            stop.force();
        };
        std::thread::Builder::new().name("stdin".into()).spawn(read).map(drop)
    }

    /// Starts a graceful shutdown.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.cancel();
    }

    /// Stops without waiting for requests.
    fn force(&self) {
        self.drain();
        self.force.cancel();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Completes when shutdown is requested.
    pub(crate) async fn requested(&self) {
        self.drain.cancelled().await;
    }

    /// Completes when the service must stop at once.
    pub(crate) async fn forced(&self) {
        self.force.cancelled().await;
    }
}

/// Requests SIGCONT when the parent dies (Linux), because a stopped process cannot notice that its standard input closed.
fn wake_when_orphaned() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Fails only for an invalid signal.
        let _ = set_parent_process_death_signal(Some(Signal::CONT));
    }
}
