//! The results as a document for programs.

use serde_json::{Value, json};

use super::results::Outcome;
use crate::VERSION;
use crate::state::State;
use crate::view::statistics::Statistics;

/// The document. It has everything but codes, tokens and consoles.
pub fn json(state: &State<'_>) -> Value {
    let drills = state.room.drills.iter().enumerate().map(|(index, drill)| {
        json!({
            "drill": index + 1,
            "scenario": drill.order.scenario,
            "started": drill.at,
            "ended": drill.ended,
            "revealed": drill.revealed,
            "limit": drill.order.limit,
            "coach": drill.order.coach,
            "statistics": Statistics::new(state, index),
        })
    });
    let seats = state.room.seats.values().map(|seat| {
        json!({
            "seat": seat.number,
            "name": seat.name,
            "reserve": seat.reserve,
            "joined": seat.joined,
            "resets": seat.resets,
            "drills": Outcome::all(state, seat),
        })
    });
    json!({
        "version": VERSION,
        "room": { "name": state.config.name, "created": state.config.created, "engine": state.config.engine },
        "exported": state.now,
        "drills": drills.collect::<Vec<Value>>(),
        "seats": seats.collect::<Vec<Value>>(),
    })
}
