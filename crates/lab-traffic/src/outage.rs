//! Tracks the first failure, the last failure and the first success after it, by the start times of the requests. The result
//! is exact even though requests do not end in the order they start, and memory use depends only on the requests in flight.

use std::time::Duration;

/// Tracks the requests of several connections, each with at most one in flight, and those that are retried.
#[derive(Debug)]
pub(super) struct OutageClock {
    /// One for each connection, then those of retried requests.
    slots: Vec<Option<InFlight>>,
    connections: usize,
    first_failure: Option<Duration>,
    last_failure: Option<Duration>,
    lasting_success: Option<Duration>,
}

/// A request that may still fail. Successes that started later end either while it is in flight, and are remembered here, or
/// after it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    start: Duration,
    first_success_after: Option<Duration>,
}

impl OutageClock {
    pub(super) fn new(connections: usize) -> Self {
        let slots = vec![None; connections];
        Self { slots, connections, first_failure: None, last_failure: None, lasting_success: None }
    }

    /// Records that a connection starts a request.
    pub(super) fn start(&mut self, connection: usize, start: Duration) {
        self.slots[connection] = Some(InFlight { start, first_success_after: None });
    }

    /// Moves a connection's request to a slot of its own, because the connection starts the next one before it ends. Returns
    /// the slot, which then stands for a connection.
    pub(super) fn move_to_free_slot(&mut self, connection: usize) -> usize {
        let request = self.slots[connection].take();
        let free = self.slots[self.connections..].iter().position(Option::is_none);
        let slot = free.map_or(self.slots.len(), |free| self.connections + free);
        match self.slots.get_mut(slot) {
            Some(place) => *place = request,
            None => self.slots.push(request),
        }
        slot
    }

    /// Records the end of a connection's request. `None` means it was abandoned and does not count.
    pub(super) fn end(&mut self, connection: usize, success: Option<bool>) {
        let Some(request) = self.slots[connection].take() else { return };
        match success {
            Some(true) => self.succeeded(request.start),
            Some(false) => self.failed(request),
            None => {}
        }
    }

    fn succeeded(&mut self, start: Duration) {
        for other in self.slots.iter_mut().flatten().filter(|other| other.start < start) {
            other.first_success_after = earliest(other.first_success_after, Some(start));
        }
        if self.last_failure.is_none_or(|failure| failure < start) {
            self.lasting_success = earliest(self.lasting_success, Some(start));
        }
    }

    fn failed(&mut self, request: InFlight) {
        self.first_failure = earliest(self.first_failure, Some(request.start));
        if self.last_failure.is_none_or(|failure| failure < request.start) {
            self.last_failure = Some(request.start);
            self.lasting_success = request.first_success_after;
        }
    }

    /// Start of the first failed request.
    pub(super) fn first_failure(&self) -> Option<Duration> {
        self.first_failure
    }

    /// Start of the last failed request.
    pub(super) fn last_failure(&self) -> Option<Duration> {
        self.last_failure
    }

    /// Start of the first successful request after the last failure, or the first successful request if
    /// none failed.
    pub(super) fn lasting_success(&self) -> Option<Duration> {
        self.lasting_success
    }
}

/// The earlier of two optional times.
pub(super) fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Outcomes by connection: (gap before the start, time in flight, success).
    type History = Vec<Vec<(u8, u8, Option<bool>)>>;

    fn history() -> impl Strategy<Value = History> {
        let outcome = prop_oneof![4 => Just(Some(true)), 3 => Just(Some(false)), 1 => Just(None)];
        prop::collection::vec(prop::collection::vec((0u8..8, 1u8..40, outcome), 0..30), 1..6)
    }

    proptest! {
        #[test]
        fn it_agrees_with_two_passes_over_the_history(history in history()) {
            let mut clock = OutageClock::new(history.len());
            let mut slots: Vec<usize> = (0..history.len()).collect();
            let (mut events, mut outcomes) = (Vec::new(), Vec::new());
            for (connection, requests) in history.iter().enumerate() {
                let mut now = 0;
                for &(gap, flight, success) in requests {
                    let start = now + u64::from(gap);
                    now = start + u64::from(flight);
                    // At the same instant, ends come before starts, as on one connection.
                    events.push((now, 0, connection, success));
                    events.push((start, 1, connection, None));
                    outcomes.push((Duration::from_nanos(start), success));
                }
            }
            events.sort_by_key(|&(at, kind, ..)| (at, kind));
            for (at, kind, connection, success) in events {
                if kind == 0 {
                    clock.end(slots[connection], success);
                    continue;
                }
                clock.start(connection, Duration::from_nanos(at));
                // Every third request is retried, in a slot of its own.
                slots[connection] = if at % 3 == 0 { clock.move_to_free_slot(connection) } else { connection };
            }
            let of = |wanted| outcomes.iter().filter(move |(_, ok)| *ok == Some(wanted)).map(|(start, _)| *start);
            let last = of(false).max();
            prop_assert_eq!(clock.first_failure(), of(false).min());
            prop_assert_eq!(clock.last_failure(), last);
            prop_assert_eq!(clock.lasting_success(), of(true).filter(|start| last.is_none_or(|last| *start > last)).min());
        }
    }
}
