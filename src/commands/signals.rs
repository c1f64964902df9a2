//! Ctrl-C, SIGTERM and a terminal that goes away, as an [`Interrupt`]. Once these are caught, the verb has to listen.

use tokio::signal::unix::{SignalKind, signal};

use crate::runner::{Interrupt, Signal};

/// Catches them from now on. A terminal that goes away is not caught where whoever started lab has it ignored (nohup).
pub(super) fn install() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::new();
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    let raised = interrupt.clone();
    tokio::spawn(async move {
        loop {
            let which = tokio::select! {
                _ = int.recv() => Signal::Interrupt,
                _ = term.recv() => Signal::Terminate,
                Some(()) = async { hangup.as_mut()?.recv().await } => Signal::Terminate,
            };
            raised.raise(which);
        }
    });
    Ok(interrupt)
}

/// Whether SIGHUP was ignored when this process began. Known where `/proc` tells (proc(5): `SigIgn`, a mask in hexadecimal
/// whose lowest bit is signal 1).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
