//! The debrief of a seat, after the reveal.

use std::sync::Arc;

use lab_drill::debrief::Debrief;
use lab_drill::log::Log;

use super::record::blocking;
use super::{Host, Refusal};
use crate::config::SeatNumber;

impl Host {
    /// Debrief of a seat's last drill.
    ///
    /// # Errors
    /// Before the reveal, and if the seat had no drill in the drill of the room that was revealed.
    pub async fn debrief(self: &Arc<Self>, seat: SeatNumber) -> Result<Debrief, Refusal> {
        let (id, drill) = self.with_state(|state| {
            if !state.room.is_revealed() {
                return Err(Refusal::conflict("the debrief comes after the drill, when your trainer shows it"));
            }
            let found = state.room.seats.get(&seat).ok_or(Refusal::NoSeat(seat))?;
            let played = found.drill_of(state.room.drills.len().saturating_sub(1));
            let drill = played.and_then(|played| Some((played.id.clone(), state.drills.get(&played.id)?.clone())));
            let missing = || Refusal::conflict("this seat had no drill, so there is no debrief");
            let (id, drill) = drill.ok_or_else(missing)?;
            match drill.ended {
                Some(_) => Ok((id, drill)),
                None => Err(Refusal::conflict("the drill of this seat is being ended; try again in a moment")),
            }
        })?;
        let host = Arc::clone(self);
        blocking(move || {
            let log = Log::open(&host.drills.folder(&id)).map_err(|error| Refusal::Lab(error.to_string()))?;
            Ok(Debrief::new(&drill, log.secret()))
        })
        .await
    }
}
