//! Hand-made logs for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lab_core::diagnosis::{Cause, Diagnosis, Finding, Location};

use crate::brief::{Brief, Hint, Inject, Moment, Par, WrongFix};
use crate::event::{Affected, Audience, Check, ClaimedState, Ending, Entry, Event, Known, Started, Update};
use crate::fold::Drill;

/// A log under construction. Two callers send 10 and 5 requests per second. Times are in seconds unless stated.
#[derive(Clone)]
pub(crate) struct Story {
    started: Started,
    entries: Vec<Entry>,
    at: DateTime<Utc>,
    clock: u64,
}

/// The right diagnosis of [`Story`].
pub(crate) const RIGHT: Finding = Finding { location: Location::Gateway, cause: Cause::TimeoutTooShort };

impl Story {
    pub(crate) fn new() -> Self {
        let at = DateTime::from_timestamp(1_796_040_000, 0).unwrap();
        Self { started: started(), entries: Vec::new(), at, clock: 0 }
    }

    pub(crate) fn diagnosis(mut self, first: Finding, also: Option<Finding>) -> Self {
        self.started.brief.diagnosis = Diagnosis { first, also };
        self
    }

    pub(crate) fn without_fault(mut self) -> Self {
        self.started.fault = false;
        self
    }

    pub(crate) fn coach(mut self) -> Self {
        self.started.coach = true;
        self
    }

    pub(crate) fn change_start(mut self, change: impl FnOnce(&mut Started)) -> Self {
        change(&mut self.started);
        self
    }

    pub(crate) fn event(mut self, event: Event) -> Self {
        self.entries.push(Entry { at: self.at, clock: self.clock, event });
        self
    }

    /// Lets drill time pass, in milliseconds.
    pub(crate) fn wait(mut self, milliseconds: u64) -> Self {
        self.clock += milliseconds;
        self.at += TimeDelta::milliseconds(i64::try_from(milliseconds).unwrap());
        self
    }

    pub(crate) fn second(mut self, callers: &[(u32, u32)], count: usize) -> Self {
        for _ in 0..count {
            self = self.wait(1000).event(Event::Second { callers: callers.to_vec() });
        }
        self
    }

    pub(crate) fn quiet(self, seconds: usize) -> Self {
        self.good(seconds)
    }

    pub(crate) fn good(self, seconds: usize) -> Self {
        self.second(&[(10, 10), (5, 5)], seconds)
    }

    pub(crate) fn bad(self, seconds: usize) -> Self {
        self.second(&[(10, 0), (5, 0)], seconds)
    }

    /// A second that ends now and in which every request failed.
    pub(crate) fn bad_now(self) -> Self {
        self.event(Event::Second { callers: vec![(10, 0), (5, 0)] })
    }

    pub(crate) fn inject(self) -> Self {
        self.event(Event::Injecting).event(Event::Broken)
    }

    pub(crate) fn check(self) -> Self {
        self.event(Event::Checked(Check::Passed))
    }

    pub(crate) fn failing_check(self, reason: &str) -> Self {
        self.event(Event::Checked(Check::Failed { reasons: vec![reason.to_owned()] }))
    }

    pub(crate) fn services(self, down: &[&str]) -> Self {
        self.event(Event::Services { down: down.iter().map(|&name| name.to_owned()).collect() })
    }

    /// The referee cannot look for some seconds. Drill time stands still.
    pub(crate) fn unknown(mut self, seconds: i64) -> Self {
        self = self.event(Event::Unknown { reason: "no answer".to_owned() });
        self.at += TimeDelta::seconds(seconds);
        self
    }

    /// Seconds that drill time leaves out.
    pub(crate) fn pass(mut self, seconds: i64) -> Self {
        self.at += TimeDelta::seconds(seconds);
        self
    }

    pub(crate) fn known(self) -> Self {
        self.event(Event::Known)
    }

    pub(crate) fn watching(self) -> Self {
        self.event(Event::Watching { pid: 2 })
    }

    pub(crate) fn ack(self) -> Self {
        self.event(Event::Acknowledged)
    }

    pub(crate) fn hint(self, index: usize) -> Self {
        self.event(Event::Hint { index })
    }

    pub(crate) fn diagnose(self, finding: Finding) -> Self {
        self.event(Event::Diagnosis { findings: vec![finding] })
    }

    pub(crate) fn change(self, subject: &str) -> Self {
        let text = format!("restart {subject}");
        self.event(Event::Changed { subject: subject.to_owned(), revision: 2, text })
    }

    pub(crate) fn wrong_fix(self, name: &str) -> Self {
        self.event(Event::WrongFix { name: name.to_owned() })
    }

    pub(crate) fn look(self, what: &str) -> Self {
        self.event(Event::Looked { what: what.to_owned() })
    }

    pub(crate) fn update(self, update: Update) -> Self {
        self.event(Event::Update(update))
    }

    pub(crate) fn end(self, by: Ending) -> Self {
        self.event(Event::Ended { by })
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let at = DateTime::from_timestamp(1_796_040_000, 0).unwrap();
        let first = Entry { at, clock: 0, event: Event::Started(Box::new(self.started.clone())) };
        [&[first], &self.entries[..]].concat()
    }

    pub(crate) fn drill(&self) -> Drill {
        Drill::from_entries(&self.entries()).unwrap()
    }
}

/// An update to the customers. `next` is in seconds.
pub(crate) fn update(state: ClaimedState, affected: Affected, next: Option<u64>) -> Update {
    let text = "We are looking into it.".to_owned();
    Update { to: Audience::Customers, state, affected, since: None, next, text, disclosed: 0 }
}

fn started() -> Started {
    let inject = |seconds, after, from: &str, text: &str| Inject {
        at: Duration::from_secs(seconds),
        after,
        from: from.to_owned(),
        text: text.to_owned(),
        ticket: false,
    };
    let hint = |about: &str, text: &str, cost| Hint { about: about.to_owned(), text: text.to_owned(), cost };
    let brief = Brief {
        scenario: "report-timeout".to_owned(),
        title: "Reports end too early".to_owned(),
        difficulty: "beginner".to_owned(),
        parameters: BTreeMap::from([("limit".to_owned(), "2s".to_owned())]),
        ticket: "Our report never comes.".to_owned(),
        symptom: "Every report ends after two seconds.".to_owned(),
        solution: "Raise the limit.".to_owned(),
        lessons: vec!["Order timeouts from the inside out.".to_owned()],
        hints: vec![
            hint("how long it takes", "Always two seconds.", 10),
            hint("the key", "Look at the key.", 20),
            hint("the gateway", "Look at its history.", 30),
        ],
        diagnosis: Diagnosis { first: RIGHT, also: None },
        par: Par { detect: Duration::from_mins(1), mitigate: Duration::from_mins(5), resolve: Duration::from_mins(8) },
        injects: vec![
            inject(30, Moment::Overdue, "the support lead", "When do they hear from us again?"),
            inject(300, Moment::Impact, "the manager", "Who is affected?"),
            inject(
                60,
                Moment::Mitigated,
                "the customer",
                "Requests work again on our side. What happened, and can we rely on it?",
            ),
        ],
        wrong_fixes: vec![WrongFix { name: "restart".to_owned(), why: "The limit stays.".to_owned(), partial: false }],
    };
    Started {
        version: crate::LOG_VERSION,
        id: "20261130-a1".to_owned(),
        lab: "default".to_owned(),
        engine: "embedded".to_owned(),
        scoring: 1,
        commitment: crate::choice::Secret::from_seed(7).commitment(),
        known: Known::Nothing,
        coach: false,
        quiet: 30_000,
        fault: true,
        brief,
        users: None,
        callers: vec![("reports".to_owned(), 10.0), ("users".to_owned(), 5.0)],
    }
}
