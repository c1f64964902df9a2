//! Actions of participants, without the console.

use std::sync::Arc;
use std::time::Instant;

use lab_core::diagnosis::Finding;
use lab_drill::event::{Affected, Audience, ClaimedState, Ending, Event as DrillEvent, Update};
use lab_drill::fold::Answer;
use lab_drill::updates::free_line;
use lab_drill::updates::warning::{Warning, conceal};
use lab_report::term::clean;

use super::{Host, Refusal, lock};
use crate::code::{Code, Token};
use crate::config::{LONGEST_NAME, SeatNumber};
use crate::event::Event;
use crate::fold::Seat;

/// An update as a participant filled it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateForm {
    /// The readers.
    pub to: Audience,
    /// The claimed state.
    pub state: ClaimedState,
    /// The claimed impact.
    pub affected: Affected,
    /// Since when, in milliseconds before now.
    pub since: Option<u64>,
    /// Time until the next update, in seconds.
    pub next: Option<u64>,
    /// The free line.
    pub text: String,
    /// It is sent in spite of the warnings.
    pub confirmed: bool,
}

impl Host {
    /// Seat of a device, by the token in its cookie.
    pub fn seat_of(&self, token: &str) -> Option<SeatNumber> {
        let hash = crate::code::TokenHash::of(token);
        self.read_live().room.seat_of(&hash).map(|seat| seat.number)
    }

    /// Gives the seat of a code to a device. Returns the token of the device, which is nowhere else in clear.
    pub async fn join(self: &Arc<Self>, code: &Code) -> Result<(SeatNumber, Token), Refusal> {
        // All codes are compared, so that the time does not depend on the seat.
        let matching = self.config.seats.iter().filter(|seat| seat.code.matches(code));
        let seat = matching.map(|seat| seat.number).fold(None, |_, number| Some(number)).ok_or(Refusal::WrongCode)?;
        self.allow_action(seat)?;
        let token = Token::random().map_err(|error| Refusal::Unsaved(error.to_string()))?;
        let hash = token.hash();
        self.record(move |_| Ok(Some(Event::Joined { seat, token: hash }))).await?;
        Ok((seat, token))
    }

    /// Changes the name of a participant.
    pub async fn rename(self: &Arc<Self>, seat: SeatNumber, name: &str) -> Result<(), Refusal> {
        self.allow_action(seat)?;
        let name = clean(name).split_whitespace().collect::<Vec<_>>().join(" ");
        match name.chars().count() {
            0 => return Err(Refusal::invalid("the name is empty")),
            length if length > LONGEST_NAME => {
                let message = format!("the name has {length} characters; at most {LONGEST_NAME} fit");
                return Err(Refusal::Invalid(message));
            }
            _ => {}
        }
        let changed = move |found: &Seat| (found.name.as_ref() != Some(&name)).then_some(Event::Named { seat, name });
        self.record_seat(seat, changed).await
    }

    /// Raises or lowers the hand of a participant.
    pub async fn raise_hand(self: &Arc<Self>, seat: SeatNumber, up: bool) -> Result<(), Refusal> {
        self.allow_action(seat)?;
        self.record_seat(seat, move |found| (found.hand.is_some() != up).then_some(Event::Hand { seat, up })).await
    }

    /// Acknowledges the incident.
    pub async fn acknowledge(self: &Arc<Self>, seat: SeatNumber) -> Result<(), Refusal> {
        self.record_drill(seat, |_, _| Ok((Some(DrillEvent::Acknowledged), ()))).await
    }

    /// Opens the next hint.
    pub async fn open_hint(self: &Arc<Self>, seat: SeatNumber) -> Result<(), Refusal> {
        let open = |drill: &lab_drill::fold::Drill, _| match drill.next_hint() {
            Some(index) => Ok((Some(DrillEvent::Hint { index }), ())),
            None => Err(Refusal::conflict("all hints are open")),
        };
        self.record_drill(seat, open).await
    }

    /// Records a diagnosis. Returns how it compares with the right one, if that may be shown.
    pub async fn diagnose(
        self: &Arc<Self>,
        seat: SeatNumber,
        findings: Vec<Finding>,
    ) -> Result<Option<Answer>, Refusal> {
        match findings.as_slice() {
            [] => return Err(Refusal::invalid("choose where the cause is, and what it is")),
            [one, other] if one == other => {
                return Err(Refusal::invalid("both findings are the same; state one of them"));
            }
            [_] | [_, _] => {}
            _ => return Err(Refusal::invalid("a diagnosis has at most two findings")),
        }
        self.record_drill(seat, move |drill, _| {
            let is_told = drill.is_open() || drill.ticket().is_some();
            let answer = is_told.then(|| drill.compare(&findings));
            Ok((Some(DrillEvent::Diagnosis { findings }), answer))
        })
        .await
    }

    /// Sends an update. Without a confirmation, one that should not be sent is refused with the reasons.
    pub async fn send_update(self: &Arc<Self>, seat: SeatNumber, form: UpdateForm) -> Result<(), Refusal> {
        let text = free_line(&form.text).map_err(|error| Refusal::Invalid(error.to_string()))?;
        let secrets = self.backend.secrets(&self.seat_config(seat)?.lab).await;
        let UpdateForm { to, state, affected, since, next, confirmed, .. } = form;
        let mut update = Update { to, state, affected, since: None, next, text, disclosed: 0 };
        let warnings = conceal(&mut update, &secrets);
        if !confirmed && !warnings.is_empty() {
            let reasons: Vec<String> = warnings.iter().map(Warning::reason).collect();
            return Err(Refusal::Unconfirmed(format!("the update was not sent: {}", reasons.join("; "))));
        }
        self.record_drill(seat, move |_, now| {
            update.since = since.map(|ago| now.saturating_sub(ago));
            Ok((Some(DrillEvent::Update(update)), ()))
        })
        .await
    }

    /// Ends the drill of a seat. Its lab is restored in the background.
    pub async fn finish(self: &Arc<Self>, seat: SeatNumber) -> Result<(), Refusal> {
        self.record_drill(seat, |_, _| Ok((Some(DrillEvent::Ended { by: Ending::Finished }), ()))).await
    }

    /// Counts an action of a seat against its limit.
    pub(super) fn allow_action(&self, seat: SeatNumber) -> Result<(), Refusal> {
        lock(&self.actions).add(seat, Instant::now()).map_err(Refusal::TooMany)
    }

    /// Writes an event that is decided by the state of a seat.
    pub(super) async fn record_seat(
        self: &Arc<Self>,
        seat: SeatNumber,
        decide: impl FnOnce(&Seat) -> Option<Event> + Send + 'static,
    ) -> Result<(), Refusal> {
        self.record(move |live| {
            let found = live.room.seats.get(&seat).ok_or(Refusal::NoSeat(seat))?;
            Ok(decide(found))
        })
        .await
        .map(drop)
    }
}
