//! Recorded drills, for tests of what is computed from a drill's log.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

use lab_core::diagnosis::{Cause, Diagnosis, Finding, Location};
use lab_drill::brief::{Brief, Hint, Inject, Moment, Par, WrongFix};
use lab_drill::choice::Secret;
use lab_drill::event::{Affected, Audience, Check, ClaimedState, Ending, Entry, Event, Known, Started, Update};

/// Builder of a drill's log. Wall time and drill time pass at the same pace.
pub struct DrillLog {
    start: DateTime<Utc>,
    /// Drill time in milliseconds.
    clock: u64,
    entries: Vec<Entry>,
}

/// Rates of the two callers, in requests per second.
const RATES: [u32; 2] = [15, 5];

impl DrillLog {
    /// Starts a drill.
    pub fn new(start: DateTime<Utc>, started: Started) -> Self {
        let mut log = Self { start, clock: 0, entries: Vec::new() };
        log.event(Event::Started(Box::new(started)));
        log.event(Event::Watching { pid: 4711 });
        log
    }

    /// Adds an event at the current time.
    pub fn event(&mut self, event: Event) -> &mut Self {
        #[expect(clippy::cast_possible_wrap, reason = "minutes")]
        let at = self.start + TimeDelta::milliseconds(self.clock as i64);
        self.entries.push(Entry { at, clock: self.clock, event });
        self
    }

    /// Adds an event at a drill time in milliseconds.
    pub fn at(&mut self, clock: u64, event: Event) -> &mut Self {
        self.clock = clock;
        self.event(event)
    }

    /// Adds seconds of the callers until `end`, in seconds of drill time. `succeeded` is per second and caller.
    pub fn seconds(&mut self, end: u64, succeeded: [u32; 2]) -> &mut Self {
        for second in self.clock / 1000 + 1..=end {
            let callers = RATES.into_iter().zip(succeeded).collect();
            self.at(second * 1000, Event::Second { callers });
        }
        self
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// An incident for drills: the gateway sends some callers to a wrong address.
pub fn brief() -> Brief {
    let hint = |about: &str, text: &str, cost| Hint { about: about.to_owned(), text: text.to_owned(), cost };
    let inject = |seconds, after, from: &str, text: &str| Inject {
        at: Duration::from_secs(seconds),
        after,
        from: from.to_owned(),
        text: text.to_owned(),
        ticket: false,
    };
    let wrong = |name: &str, why: &str| WrongFix { name: name.to_owned(), why: why.to_owned(), partial: false };
    Brief {
        scenario: "wrong-upstream".to_owned(),
        title: "502 after a change of the gateway's upstream".to_owned(),
        difficulty: "beginner".to_owned(),
        parameters: BTreeMap::from([("port".to_owned(), "8001".to_owned())]),
        ticket: "Since this morning our system gets errors from yours. Nothing changed on our side.".to_owned(),
        symptom: "The gateway answers 502 for most requests.".to_owned(),
        solution: "The gateway's upstream has the wrong port. Set it back.".to_owned(),
        lessons: vec![
            "A 502 is the gateway's own answer: look at where it forwards to.".to_owned(),
            "`lab history` names the last change of each service.".to_owned(),
        ],
        hints: vec![
            hint("Whose answer it is", "Compare the logs of the gateway with those of the app.", 10),
            hint("What changed", "Look at the history of the gateway.", 20),
            hint("The setting", "Compare the upstream with the address of the app.", 30),
        ],
        diagnosis: Diagnosis { first: Finding { location: Location::Gateway, cause: Cause::AddressWrong }, also: None },
        par: Par { detect: Duration::from_mins(1), mitigate: Duration::from_mins(5), resolve: Duration::from_mins(8) },
        injects: vec![
            inject(
                30,
                Moment::Overdue,
                "the support lead",
                "Customers keep asking, and the next update is overdue. What can we say, and when do they hear from us again?",
            ),
            inject(
                300,
                Moment::Impact,
                "the manager",
                "This has been going on for five minutes. Who is affected, and what are we doing about it?",
            ),
            inject(
                60,
                Moment::Mitigated,
                "the customer",
                "Requests work again on our side. What happened, and can we rely on it?",
            ),
        ],
        wrong_fixes: vec![
            wrong("restart", "The app was never the problem; a restart makes the outage longer."),
            wrong("roll-back-app", "The app's revision is as before."),
        ],
    }
}

/// The first entry of a drill with [`brief`].
pub fn started(id: &str) -> Started {
    Started {
        version: lab_drill::LOG_VERSION,
        id: id.to_owned(),
        lab: "default".to_owned(),
        engine: "embedded".to_owned(),
        scoring: 1,
        commitment: Secret::from_seed(7).commitment(),
        known: Known::Nothing,
        coach: false,
        quiet: 45_000,
        fault: true,
        brief: brief(),
        users: None,
        callers: vec![("web".to_owned(), 15.0), ("batch".to_owned(), 5.0)],
    }
}

/// When the recorded drills started.
fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap_or_default()
}

fn update(to: Audience, state: ClaimedState, affected: Affected, next: Option<u64>, text: &str) -> Event {
    let since = (state != ClaimedState::Resolved).then_some(46_000);
    Event::Update(Update { to, state, affected, since, next, text: text.to_owned(), disclosed: 0 })
}

fn looked(what: &str) -> Event {
    Event::Looked { what: what.to_owned() }
}

fn changed(subject: &str, revision: u64, text: &str) -> Event {
    Event::Changed { subject: subject.to_owned(), revision, text: text.to_owned() }
}

fn finding(location: Location, cause: Cause) -> Event {
    Event::Diagnosis { findings: vec![Finding { location, cause }] }
}

/// Quiet, then the fault, of which the callers notice at 46 s.
fn broken(id: &str, started: impl FnOnce(&mut Started)) -> DrillLog {
    let mut first = self::started(id);
    started(&mut first);
    let mut log = DrillLog::new(start(), first);
    log.event(Event::Services { down: Vec::new() });
    log.seconds(45, RATES).at(45_100, Event::Injecting).at(45_600, Event::Broken).seconds(52, [0, 5]);
    log
}

/// A resolved drill: one hint, one wrong fix, a wrong diagnosis and the right one, two updates.
pub fn resolved(id: &str) -> Vec<Entry> {
    let mut log = broken(id, |_| {});
    log.event(looked("status")).seconds(70, [0, 5]).event(Event::Acknowledged);
    log.seconds(80, [0, 5]).event(looked("logs gateway")).seconds(95, [0, 5]).event(Event::Hint { index: 0 });
    log.seconds(110, [0, 5])
        .event(changed("app", 3, "app restarted"))
        .event(Event::WrongFix { name: "restart".to_owned() });
    log.seconds(120, [0, 5]).event(finding(Location::App, Cause::NotRunning));
    let text = "Some requests fail with 502. We are looking for the cause.";
    log.event(update(Audience::Customers, ClaimedState::Investigating, Affected::Some, Some(600), text));
    log.seconds(140, [0, 5]).event(looked("history gateway")).seconds(150, [0, 5]);
    log.event(finding(Location::Gateway, Cause::AddressWrong)).seconds(160, [0, 5]);
    log.event(changed("gateway", 3, "gateway: GATEWAY_UPSTREAM app:8001 > app:8000")).seconds(172, RATES);
    log.at(172_400, Event::Checked(Check::Passed)).seconds(180, RATES);
    let text = "The gateway forwards to the right address again.";
    log.event(update(Audience::Customers, ClaimedState::Resolved, Affected::Nobody, None, text));
    log.seconds(185, RATES)
        .event(Event::Ended { by: Ending::Finished })
        .at(186_000, Event::Restored { errors: Vec::new() });
    log.entries
}

/// A drill that the participant gave up while the callers failed.
pub fn given_up(id: &str) -> Vec<Entry> {
    let mut log = broken(id, |_| {});
    log.seconds(130, [0, 5]).event(Event::Acknowledged).event(looked("status")).seconds(300, [0, 5]);
    log.event(Event::Ended { by: Ending::GaveUp }).event(Event::Restored { errors: Vec::new() });
    log.entries
}

/// A drill without a fault, with the right diagnosis.
pub fn nothing(id: &str) -> Vec<Entry> {
    let mut first = started(id);
    first.fault = false;
    let mut log = DrillLog::new(start(), first);
    log.event(Event::Services { down: Vec::new() }).seconds(60, RATES).event(looked("status"));
    log.seconds(150, RATES).event(looked("metrics")).event(finding(Location::Nowhere, Cause::Nothing));
    log.seconds(160, RATES).event(Event::Ended { by: Ending::Finished }).event(Event::Restored { errors: Vec::new() });
    log.entries
}

/// A drill in which the callers fail, and which goes on.
pub fn running(id: &str) -> Vec<Entry> {
    let mut log = broken(id, |_| {});
    log.seconds(120, [0, 5]);
    log.entries
}
