//! Beginning and end of a seat's drill.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Event as DrillEvent};

use super::feed::Feed;
use super::record::blocking;
use super::worker::limited;
use super::{Host, Refusal, lock};
use crate::config::{SeatConfig, SeatNumber};
use crate::event::{DrillOrder, Event};

/// Attempts to restore a lab, and the pause between them.
const RESTORES: u32 = 3;
const RESTORE_PAUSE: Duration = Duration::from_secs(2);

impl Host {
    /// Begins the drill of a seat in the drill of the room that is in progress.
    pub(super) async fn begin_seat(self: &Arc<Self>, seat: &SeatConfig) -> Result<(), Refusal> {
        let number = seat.number;
        let Some((index, order, played)) = self.with_state(|state| {
            let index = state.room.drills.len().checked_sub(1)?;
            let drills = &state.room.seats.get(&number)?.drills;
            let played = drills.iter().filter(|drill| drill.of == index).count();
            Some((index, state.room.drill()?.order.clone(), played))
        }) else {
            return Ok(());
        };
        let secret = seat_secret(&order, number, played)?;
        let starting = self.backend.start_drill(&seat.lab, &order, &secret);
        let id = limited(starting).await.map_err(Refusal::Lab)?;
        let (host, drill) = (Arc::clone(self), id.clone());
        let (feed, folded) = blocking(move || Feed::open(&host.drills, &drill).map_err(Refusal::Lab)).await?;
        // The drill can be seen, and written to, as soon as the seat has it.
        lock(&self.feeds).insert(number, Arc::new(Mutex::new(feed)));
        self.write_live().drills.insert(id.clone(), folded);
        let drill = id.clone();
        let started = self
            .record(move |live| {
                let is_current = live.room.drills.len() == index + 1 && live.room.drill().is_some();
                Ok(is_current.then_some(Event::SeatStarted { seat: number, drill }))
            })
            .await;
        if matches!(started, Ok(Some(_))) {
            self.changed(number);
            return Ok(());
        }
        lock(&self.feeds).remove(&number);
        started?;
        // The trainer ended the drill of the room meanwhile.
        self.write_live().drills.remove(&id);
        limited(self.backend.end_drill(&seat.lab, &id, Ending::EndedByTrainer)).await.map_err(Refusal::Lab)
    }

    /// Writes the end of a seat's drill, unless its log has one. The referee notices it. Returns false if the log cannot be read.
    pub(super) async fn write_end(self: &Arc<Self>, seat: SeatNumber, by: Ending) -> bool {
        let host = Arc::clone(self);
        let end = move || host.write_drill(seat, |_, _| Ok((Some(DrillEvent::Ended { by }), ())));
        !matches!(blocking(end).await, Err(Refusal::Lab(_)))
    }

    /// Restores the lab of a seat whose drill is over. If that is not possible, the lab counts as failed, but the drill is over
    /// with its result.
    pub(super) async fn end_seat(self: &Arc<Self>, seat: &SeatConfig, id: &str, by: Ending) -> Result<(), Refusal> {
        let number = seat.number;
        self.write_end(number, by).await;
        let mut restored = Ok(());
        for attempt in 1..=RESTORES {
            restored = limited(self.backend.end_drill(&seat.lab, id, by)).await;
            if restored.is_ok() {
                break;
            }
            if attempt < RESTORES {
                tokio::time::sleep(RESTORE_PAUSE).await;
            }
        }
        let host = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || host.poll(number)).await;
        if let Err(reason) = restored {
            let reason = format!("the lab could not be restored after the drill: {reason}");
            self.record_seat(number, move |found| {
                // It is about to be reset anyway.
                (!found.resetting).then_some(Event::Failed { seat: number, reason })
            })
            .await?;
        }
        let by = self.with_state(|state| state.drills.get(id).and_then(|drill| drill.ended)).map_or(by, |end| end.by);
        let drill = id.to_owned();
        self.record_seat(number, move |_| Some(Event::SeatEnded { seat: number, drill, by })).await?;
        lock(&self.feeds).remove(&number);
        Ok(())
    }
}

/// Secret of a seat's drill. All seats have the same incident, with other values.
fn seat_secret(order: &DrillOrder, seat: SeatNumber, played: usize) -> Result<Secret, Refusal> {
    let damaged = |error: lab_drill::choice::NotASecret| Refusal::Lab(format!("the drill of the room: {error}"));
    let secret = Secret::try_from(order.secret.clone()).map_err(damaged)?;
    Ok(match played {
        0 => secret.derive(&format!("seat {seat}")),
        again => secret.derive(&format!("seat {seat}, again {again}")),
    })
}
