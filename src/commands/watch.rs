//! `lab watch`: a live full-screen view of a lab.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Local, Offset, Utc};

use super::session::Session;
use super::signals;
use crate::cli::WatchArgs;
use crate::watch::{About, Collector, EndReason, Model, watch};
use lab_core::error::{Exit, Failure};
use lab_runner::runner::Signal;
use lab_scenario::value;
use lab_telemetry::wire::NetWire;

/// Limits of `--refresh`.
const REFRESH: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

pub(super) async fn run(session: &Session, args: &WatchArgs) -> anyhow::Result<Exit> {
    let refresh = refresh(&args.refresh)?;
    if !session.term.has_full_screen() {
        let message = "lab watch needs a terminal for input and output";
        return Err(Failure::usage(message)
            .hint("in a pipe, use lab status, lab metrics --watch or lab logs -f")
            .into());
    }
    let connected = session.connect()?;
    // Installed before the terminal switches to full screen, so that it is restored on every signal.
    let interrupt = signals::install()?;
    let about = About {
        lab: connected.lab.name().to_owned(),
        refresh,
        offset: Local::now().offset().fix(),
        colour: session.term.painter().is_on(),
        option: connected.lab.name_option(),
    };
    let collector = Collector::new(&connected.lab, Arc::new(NetWire::new()), &about);
    let screen = session.term.full_screen()?;
    let ended = watch(screen, collector, Model::new(about, Utc::now()), interrupt.stop()).await?;
    Ok(match ended {
        EndReason::Quit => Exit::Passed,
        EndReason::Interrupted => Exit::Interrupted,
        EndReason::Gone => Exit::Terminated,
        EndReason::Stopped => interrupt.signal().map_or(Exit::Terminated, Signal::exit),
    })
}

fn refresh(text: &str) -> Result<Duration, Failure> {
    let refresh = value::duration(text).map_err(|error| Failure::usage(format!("--refresh: {error}")))?;
    if refresh < REFRESH.0 || refresh > REFRESH.1 {
        return Err(Failure::usage(format!("--refresh {text}: expected 100ms to 1m")));
    }
    Ok(refresh)
}
