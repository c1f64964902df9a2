//! Ctrl-C, SIGTERM and a closed terminal, as an [`Interrupt`]. Once installed, the command must react to it.

use tokio::signal::unix::{SignalKind, signal};

use lab_runner::runner::{Interrupt, Signal};

/// Catches the signals, except those that lab was started to ignore, for example by `nohup`.
pub(super) fn install() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let signals = [
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::hangup(), Signal::Terminate),
    ];
    for (kind, meaning) in signals {
        if ignored(&status, kind.as_raw_value()) {
            continue;
        }
        let mut caught = signal(kind)?;
        let raised = interrupt.clone();
        tokio::spawn(async move {
            while caught.recv().await.is_some() {
                // A closing terminal sends SIGHUP twice, itself and through its shell. The second one must not give up the undo.
                if kind != SignalKind::hangup() || raised.signal().is_none() {
                    raised.raise(meaning);
                }
            }
        });
    }
    Ok(interrupt)
}

/// Returns true if a signal is ignored according to `/proc/self/status`: `SigIgn` is a hexadecimal mask, and signal 1 is bit 0
/// (proc(5)).
fn ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "SigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        assert!(ignored(status, 1) && ignored(status, 13));
        assert!(!ignored(status, 2) && !ignored(status, 15) && !ignored("", 1));
    }
}
