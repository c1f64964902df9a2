//! The referee's process. `lab drill start` and `lab drill resume` start it. It exits when the drill is over, when its lab is
//! gone, and after a signal; then the drill can be resumed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::commands::host_process::{self, lab_in, respond};
use crate::engines::Connect;
use lab_core::error::Exit;
use lab_drill::event::Ending;
use lab_runner::drill::{self, Hosting, Order, Pause, Process, Response};
use lab_system::background;
use lab_telemetry::wire::{NetWire, Wire};

pub(in crate::commands) fn run() -> Exit {
    host_process::run("lab drill start", Response::Failed, watch)
}

async fn watch(order: Order) -> anyhow::Result<Exit> {
    let lab = lab_in(&order.folder)?;
    let engine = lab.engine(&lab.existing()?)?;
    let wire: Arc<dyn Wire> = Arc::new(NetWire::new());
    let end = CancellationToken::new();
    background::end_with_signals(end.clone());
    let hosted = (lab.clone(), Arc::clone(&engine), Arc::clone(&wire));
    let hosting = Hosting::begin(hosted, &order.drill, Process::Own).await?;
    respond(&Response::Watching);
    match hosting.run(end.clone(), Pause::default()).await? {
        // No command waits for the end, so it is made here.
        Some(Ending::TimeLimit | Ending::EndedByTrainer | Ending::Void) => {
            drill::conclude(&lab, &engine, &wire, &order.drill, &end).await?;
        }
        Some(Ending::LabGone) => drill::publish(&lab, &order.drill)?,
        Some(Ending::Finished | Ending::GaveUp) | None => {}
    }
    Ok(Exit::Passed)
}
