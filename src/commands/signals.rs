//! Ctrl-C, SIGTERM and a terminal that goes away, as an [`Interrupt`]. Once these are caught, the verb has to listen.

use tokio::signal::unix::{SignalKind, signal};

use crate::runner::{Interrupt, Signal};

/// Catches them from now on.
pub(super) fn install() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::new();
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let raised = interrupt.clone();
    tokio::spawn(async move {
        loop {
            let which = tokio::select! {
                _ = int.recv() => Signal::Interrupt,
                _ = term.recv() => Signal::Terminate,
                _ = hangup.recv() => Signal::Terminate,
            };
            raised.raise(which);
        }
    });
    Ok(interrupt)
}
