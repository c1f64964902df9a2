//! [`Job`]: the next work on the lab of a seat. It follows from the logs alone, so a server that was killed continues
//! with what was left undone.

use lab_drill::event::Ending;
use lab_drill::fold::Drill;

use crate::fold::{LabState, Room, Seat, SeatDrill};

/// Next work on the lab of a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Nothing, until something changes.
    Wait,
    BringUp,
    Reset,
    /// Begin the seat's drill.
    Start,
    /// Referee the drill with this id.
    Watch(String),
    /// End the drill with this id.
    End(String, Ending),
}

impl Job {
    /// The next job of a seat. `drill` is its drill in progress.
    pub(super) fn next(room: &Room, seat: &Seat, drill: Option<&Drill>) -> Self {
        if room.closed.is_some() {
            return Self::Wait;
        }
        if let Some(active) = seat.drill() {
            return match (&seat.lab, ending(room, seat, active, drill)) {
                (LabState::Starting, Some(_)) if !seat.resetting => Self::BringUp,
                (_, Some(by)) => Self::End(active.id.clone(), by),
                (LabState::Starting, None) => Self::BringUp,
                (LabState::Ready, None) => Self::Watch(active.id.clone()),
                (LabState::Failed(_), None) => Self::Wait,
            };
        }
        match seat.lab {
            _ if seat.resetting => Self::Reset,
            LabState::Starting => Self::BringUp,
            LabState::Ready if wants_drill(room, seat) => Self::Start,
            LabState::Ready | LabState::Failed(_) => Self::Wait,
        }
    }
}

/// How the drill in progress of a seat ends now.
fn ending(room: &Room, seat: &Seat, active: &SeatDrill, drill: Option<&Drill>) -> Option<Ending> {
    if let Some(end) = drill.and_then(|drill| drill.ended) {
        return Some(end.by);
    }
    if seat.resetting {
        return Some(Ending::GaveUp);
    }
    let of = room.drills.get(active.of)?;
    if of.ended.is_some() {
        return Some(Ending::EndedByTrainer);
    }
    let limit = of.order.limit.map(|limit| limit.saturating_add(active.extension).saturating_mul(1000));
    let is_reached = limit.zip(drill).is_some_and(|(limit, drill)| drill.clock >= limit);
    is_reached.then_some(Ending::TimeLimit)
}

/// A seat's drill begins when a participant has joined.
fn wants_drill(room: &Room, seat: &Seat) -> bool {
    let Some(current) = room.drills.len().checked_sub(1) else { return false };
    let is_first = seat.again || seat.drill_of(current).is_none();
    room.drill().is_some() && seat.joined.is_some() && is_first
}

#[cfg(test)]
mod tests {
    use lab_testkit::sample_drills;

    use super::*;
    use crate::code::TokenHash;
    use crate::event::{DrillOrder, Event};
    use crate::fold::tests::{config, entries};

    fn job(events: Vec<Event>, drill: Option<&Drill>) -> Job {
        let room = Room::from_entries(&config(1, 0), &entries(events));
        Job::next(&room, &room.seats[&1], drill)
    }

    fn ordered(limit: Option<u64>) -> Event {
        let scenario = "rotate-key".to_owned();
        Event::DrillStarted(DrillOrder { scenario, secret: "00".repeat(32), limit, coach: false, quiet: None })
    }

    fn running(limit: Option<u64>) -> Vec<Event> {
        let ready = Event::Ready { seat: 1 };
        let joined = Event::Joined { seat: 1, token: TokenHash::of("token") };
        vec![ready, joined, ordered(limit), Event::SeatStarted { seat: 1, drill: "a".to_owned() }]
    }

    fn opened() -> Event {
        Event::Opened { pid: 1, address: ([127, 0, 0, 1], 7000).into() }
    }

    fn end(by: Ending) -> Job {
        Job::End("a".to_owned(), by)
    }

    #[test]
    fn a_drill_begins_once_the_lab_is_up_and_a_participant_has_joined() {
        let joined = Event::Joined { seat: 1, token: TokenHash::of("token") };
        assert_eq!(job(vec![], None), Job::BringUp);
        assert_eq!(job(vec![joined.clone(), ordered(None)], None), Job::BringUp);
        assert_eq!(job(vec![Event::Ready { seat: 1 }, ordered(None)], None), Job::Wait);
        assert_eq!(job(vec![Event::Ready { seat: 1 }, joined.clone()], None), Job::Wait);
        assert_eq!(job(vec![Event::Ready { seat: 1 }, joined.clone(), ordered(None)], None), Job::Start);
        let failed = Event::Failed { seat: 1, reason: "no port".to_owned() };
        assert_eq!(job(vec![failed, joined.clone(), ordered(None)], None), Job::Wait);
        let closed = vec![Event::Ready { seat: 1 }, joined, ordered(None), Event::Closed];
        assert_eq!(job(closed, None), Job::Wait);
    }

    #[test]
    fn a_drill_is_watched_until_it_ends_and_begins_once() {
        assert_eq!(job(running(None), None), Job::Watch("a".to_owned()));
        let mut events = running(None);
        events.push(Event::SeatEnded { seat: 1, drill: "a".to_owned(), by: Ending::Finished });
        assert_eq!(job(events.clone(), None), Job::Wait);
        events.extend([Event::DrillEnded, ordered(None)]);
        assert_eq!(job(events, None), Job::Start);
    }

    #[test]
    fn a_drill_ends_by_its_log_the_trainer_or_its_limit() {
        let finished = Drill::from_entries(&sample_drills::given_up("a")).unwrap();
        assert_eq!(job(running(None), Some(&finished)), end(Ending::GaveUp));
        let drill = Drill::from_entries(&sample_drills::running("a")).unwrap();
        assert_eq!(job([running(None), vec![Event::DrillEnded]].concat(), Some(&drill)), end(Ending::EndedByTrainer));
        assert_eq!(job(running(Some(120)), Some(&drill)), end(Ending::TimeLimit));
        let extended = [running(Some(120)), vec![Event::Extended { seat: 1, seconds: 60 }]].concat();
        assert_eq!(job(extended, Some(&drill)), Job::Watch("a".to_owned()));
    }

    #[test]
    fn a_new_server_brings_the_lab_up_before_it_goes_on() {
        let after = |more: Vec<Event>| job([running(None), vec![opened()], more].concat(), None);
        assert_eq!(after(vec![]), Job::BringUp);
        assert_eq!(after(vec![Event::DrillEnded]), Job::BringUp);
        assert_eq!(after(vec![Event::Ready { seat: 1 }]), Job::Watch("a".to_owned()));
        let failed = Event::Failed { seat: 1, reason: "no port".to_owned() };
        assert_eq!(after(vec![failed.clone()]), Job::Wait);
        assert_eq!(after(vec![failed, Event::DrillEnded]), end(Ending::EndedByTrainer));
    }

    #[test]
    fn a_reset_gives_the_drill_up_and_begins_another_one() {
        let reset = |more: Vec<Event>| job([running(None), vec![Event::Reset { seat: 1 }], more].concat(), None);
        let ended = Event::SeatEnded { seat: 1, drill: "a".to_owned(), by: Ending::GaveUp };
        assert_eq!(reset(vec![]), end(Ending::GaveUp));
        assert_eq!(reset(vec![opened()]), end(Ending::GaveUp));
        assert_eq!(reset(vec![ended.clone(), opened()]), Job::Reset);
        assert_eq!(reset(vec![ended.clone(), Event::Ready { seat: 1 }]), Job::Start);
        let again = Event::SeatStarted { seat: 1, drill: "b".to_owned() };
        assert_eq!(reset(vec![ended, Event::Ready { seat: 1 }, again]), Job::Watch("b".to_owned()));
    }
}
