//! Actions of the trainer.

use std::sync::Arc;
use std::time::Duration;

use lab_drill::choice::Secret;
use lab_drill::event::Event as DrillEvent;
use lab_report::term::clean;

use super::record::blocking;
use super::{Host, Refusal};
use crate::backend::Selection;
use crate::config::SeatNumber;
use crate::event::{DrillOrder, Event, Scene};
use crate::fold::Room;

/// Longest message, in characters.
const LONGEST_MESSAGE: usize = 1000;
/// Longest name of a sender, in characters.
const LONGEST_SENDER: usize = 60;
/// Longest limit of a drill, after which its referee ends it in any case, and longest extension at once.
const LONGEST_LIMIT: Duration = Duration::from_hours(2);
/// Longest time until the fault.
const LONGEST_QUIET: Duration = Duration::from_hours(1);

/// A drill as the trainer ordered it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillRequest {
    /// The scenarios among which the incident is drawn.
    pub selection: Selection,
    /// Longest drill time.
    pub limit: Option<Duration>,
    /// Wrong fixes and verdicts are shown at once.
    pub coach: bool,
    /// Time until the fault.
    pub quiet: Option<Duration>,
}

impl Host {
    /// Begins a drill at every seat, as soon as a participant has joined it.
    pub async fn start_drill(self: &Arc<Self>, request: DrillRequest) -> Result<(), Refusal> {
        self.with_state(|state| may_start(state.room))?;
        if request.limit.is_some_and(|limit| limit.is_zero() || limit > LONGEST_LIMIT) {
            return Err(Refusal::invalid("the limit must be between 1 s and 2 h"));
        }
        if request.quiet.is_some_and(|quiet| quiet > LONGEST_QUIET) {
            return Err(Refusal::invalid("the quiet time must be at most 1 h"));
        }
        let secret = Secret::random().map_err(|error| Refusal::Unsaved(error.to_string()))?;
        let host = Arc::clone(self);
        let DrillRequest { selection, limit, coach, quiet } = request;
        // Reads the scenarios.
        let (scenario, secret) = blocking(move || {
            let scenario = host.backend.choose(&selection, &secret).map_err(Refusal::Invalid)?;
            Ok((scenario, secret.hex()))
        })
        .await?;
        let seconds = |time: Duration| time.as_secs().max(1);
        let order = DrillOrder {
            scenario,
            secret,
            limit: limit.map(seconds),
            coach,
            quiet: quiet.map(|quiet| quiet.as_secs()),
        };
        self.record(move |live| {
            may_start(&live.room)?;
            Ok(Some(Event::DrillStarted(order)))
        })
        .await
        .map(drop)
    }

    /// Ends the drill of every seat.
    pub async fn end_drill(self: &Arc<Self>) -> Result<(), Refusal> {
        self.record(|live| match live.room.drill() {
            Some(_) => Ok(Some(Event::DrillEnded)),
            None => Err(no_drill()),
        })
        .await
        .map(drop)
    }

    /// Stops or starts every clock.
    pub async fn pause(self: &Arc<Self>, paused: bool) -> Result<(), Refusal> {
        let event = if paused { Event::Paused } else { Event::Resumed };
        self.record(move |live| Ok((live.room.paused.is_some() != paused).then_some(event))).await.map(drop)
    }

    /// Sends a message of the trainer to one seat, or to all.
    pub async fn say(self: &Arc<Self>, seat: Option<SeatNumber>, text: &str) -> Result<(), Refusal> {
        let text = message(text, "message", LONGEST_MESSAGE)?;
        self.check_seat(seat)?;
        self.record(move |_| Ok(Some(Event::Said { seat, text }))).await.map(drop)
    }

    /// Sends a message of a person in the drill to one seat, or to all. Returns the number of drills that it was sent to.
    pub async fn inject(self: &Arc<Self>, seat: Option<SeatNumber>, from: &str, text: &str) -> Result<usize, Refusal> {
        let (from, text) = (message(from, "sender", LONGEST_SENDER)?, message(text, "message", LONGEST_MESSAGE)?);
        self.check_seat(seat)?;
        let none = match seat {
            Some(seat) => Refusal::Conflict(format!("no drill is in progress at seat {seat}; say it instead")),
            None => Refusal::conflict("no drill is in progress at any seat; say it instead"),
        };
        let seats = self.seats_in_drills(seat);
        if seats.is_empty() {
            return Err(none);
        }
        let event = Event::Injected { seat, from: from.clone(), text: text.clone() };
        self.record(move |_| Ok(Some(event))).await?;
        let host = Arc::clone(self);
        blocking(move || {
            let event = DrillEvent::Message { from, text };
            let mut count = 0;
            for number in seats {
                match host.write_drill(number, |_, _| Ok((Some(event.clone()), ()))) {
                    Ok(()) => count += 1,
                    // A drill that ended meanwhile needs no message.
                    Err(Refusal::Conflict(_)) => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            if count == 0 { Err(none) } else { Ok(count) }
        })
        .await
    }

    /// Extends the time limit of one seat, or of all with a drill in progress.
    pub async fn extend(self: &Arc<Self>, seat: Option<SeatNumber>, by: Duration) -> Result<(), Refusal> {
        if by.is_zero() || by > LONGEST_LIMIT {
            return Err(Refusal::invalid("the extension must be between 1 s and 2 h"));
        }
        self.check_seat(seat)?;
        let seats = seat.map_or_else(|| self.active_seats(), |seat| vec![seat]);
        if seats.is_empty() {
            return Err(no_drill());
        }
        let seconds = by.as_secs().max(1);
        for seat in seats {
            self.record(move |live| {
                let active = live.room.seats.get(&seat).and_then(|seat| seat.drill());
                let Some(active) = active else {
                    return Err(Refusal::Conflict(format!("no drill is in progress at seat {seat}")));
                };
                match live.room.drills.get(active.of).and_then(|drill| drill.order.limit) {
                    Some(_) => Ok(Some(Event::Extended { seat, seconds })),
                    None => Err(Refusal::conflict("the drill has no time limit, so there is nothing to extend")),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Takes the lab of a seat back to how it was first brought up. A drill in it is given up, and another one begins.
    pub async fn reset(self: &Arc<Self>, seat: SeatNumber) -> Result<(), Refusal> {
        self.record_seat(seat, move |found| (!found.resetting).then_some(Event::Reset { seat })).await
    }

    /// Shows incident, points and debriefs to all participants.
    pub async fn reveal(self: &Arc<Self>) -> Result<(), Refusal> {
        self.record(|live| {
            let room = &live.room;
            match room.drills.last() {
                None => Err(Refusal::conflict("there was no drill yet, so there is nothing to reveal")),
                Some(drill) if drill.ended.is_none() => {
                    Err(Refusal::conflict("the drill is still in progress; end it first: lab room drill end"))
                }
                Some(_) => Ok((!room.is_revealed()).then_some(Event::Revealed)),
            }
        })
        .await
        .map(drop)
    }

    /// Freezes or thaws the board.
    pub async fn freeze(self: &Arc<Self>, frozen: bool) -> Result<(), Refusal> {
        let decide = move |room: &Room| (room.frozen.is_some() != frozen).then_some(Event::Frozen { frozen });
        self.record(move |live| Ok(decide(&live.room))).await.map(drop)
    }

    /// Chooses what the board shows.
    pub async fn show(self: &Arc<Self>, scene: Scene) -> Result<(), Refusal> {
        if let Scene::Seat { seat } = scene {
            self.check_seat(Some(seat))?;
        }
        self.record(move |live| {
            if matches!(scene, Scene::Top | Scene::Debrief) && !live.room.is_revealed() {
                return Err(Refusal::conflict("this scene needs the reveal first: lab room reveal"));
            }
            Ok((live.room.scene != scene).then_some(Event::Scene(scene)))
        })
        .await
        .map(drop)
    }

    /// Closes the room. Nothing can be done in it afterwards; its labs are left as they are. The open pages show it when this
    /// returns, because the server may end right then.
    pub async fn close(self: &Arc<Self>) -> Result<(), Refusal> {
        self.record(|_| Ok(Some(Event::Closed))).await?;
        self.render_all();
        Ok(())
    }

    /// Returns true if the room is closed.
    pub fn is_closed(&self) -> bool {
        self.with_state(|state| state.room.closed.is_some())
    }

    /// Seats whose drill is in progress: one seat, or all of them. A drill that is over may still be restored.
    fn seats_in_drills(&self, seat: Option<SeatNumber>) -> Vec<SeatNumber> {
        let is_addressed = |number: &SeatNumber| seat.is_none_or(|seat| seat == *number);
        let active = self.active_seats().into_iter().filter(is_addressed);
        self.with_state(|state| {
            let is_over = |number: &SeatNumber| {
                let drill = state.room.seats.get(number).and_then(|seat| state.drill(seat));
                drill.is_some_and(|drill| drill.ended.is_some())
            };
            active.filter(|number| !is_over(number)).collect()
        })
    }

    fn check_seat(&self, seat: Option<SeatNumber>) -> Result<(), Refusal> {
        seat.map_or(Ok(()), |seat| self.seat_config(seat).map(drop))
    }
}

fn may_start(room: &Room) -> Result<(), Refusal> {
    match room.drill() {
        Some(_) => Err(Refusal::conflict("a drill is in progress; end it first: lab room drill end")),
        None => Ok(()),
    }
}

fn no_drill() -> Refusal {
    Refusal::conflict("no drill is in progress; start one with lab room drill start")
}

/// Checks a text of one line.
fn message(text: &str, what: &str, longest: usize) -> Result<String, Refusal> {
    let text = clean(text).trim().to_owned();
    match text.chars().count() {
        0 => Err(Refusal::Invalid(format!("the {what} is empty"))),
        length if length > longest => {
            Err(Refusal::Invalid(format!("the {what} has {length} characters; at most {longest} fit")))
        }
        _ => Ok(text),
    }
}
