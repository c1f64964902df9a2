//! The form of an update: each field is given as an option, or asked for.

use std::fmt::Display;
use std::io;

use chrono::{DateTime, Local, NaiveTime, TimeDelta};
use lab_core::error::Failure;
use lab_drill::event::{Affected, Audience, ClaimedState, Entry, Update};
use lab_drill::updates::free_line;

use crate::cli::{AffectedChoice, AudienceChoice, StateChoice, UpdateArgs};
use crate::commands::time_span::{SpanError, parse_span};

const AUDIENCES: [(&str, Audience); 2] = [("customers", Audience::Customers), ("internal", Audience::Internal)];
const STATES: [(&str, ClaimedState); 4] = [
    ("investigating", ClaimedState::Investigating),
    ("identified", ClaimedState::Identified),
    ("monitoring", ClaimedState::Monitoring),
    ("resolved", ClaimedState::Resolved),
];
const AFFECTED: [(&str, Affected); 3] =
    [("nobody", Affected::Nobody), ("some", Affected::Some), ("everybody", Affected::Everybody)];

/// An update as far as it is filled in.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    to: Option<Audience>,
    state: Option<ClaimedState>,
    affected: Option<Affected>,
    /// Drill time in milliseconds.
    since: Option<u64>,
    /// Seconds.
    next: Option<u64>,
    text: Option<String>,
}

/// Times that the form needs.
pub(super) struct Times<'a> {
    pub(super) now: DateTime<Local>,
    /// Drill time now, in milliseconds.
    pub(super) clock: u64,
    /// The drill's log.
    pub(super) entries: &'a [Entry],
}

/// Asks a question. `None` is the end of the input.
pub(super) type Ask<'a> = &'a mut dyn FnMut(&str) -> io::Result<Option<String>>;

impl Form {
    /// Form with what the command line has.
    pub(super) fn from_args(args: &UpdateArgs, times: &Times<'_>) -> Result<Self, Failure> {
        let usage = |option: &str, error: &dyn Display| Failure::usage(format!("--{option}: {error}"));
        Ok(Self {
            to: args.to.map(|to| match to {
                AudienceChoice::Customers => Audience::Customers,
                AudienceChoice::Internal => Audience::Internal,
            }),
            state: args.state.map(|state| match state {
                StateChoice::Investigating => ClaimedState::Investigating,
                StateChoice::Identified => ClaimedState::Identified,
                StateChoice::Monitoring => ClaimedState::Monitoring,
                StateChoice::Resolved => ClaimedState::Resolved,
            }),
            affected: args.affected.map(|affected| match affected {
                AffectedChoice::Nobody => Affected::Nobody,
                AffectedChoice::Some => Affected::Some,
                AffectedChoice::Everybody => Affected::Everybody,
            }),
            since: args
                .since
                .as_deref()
                .map(|text| times.since(text))
                .transpose()
                .map_err(|error| usage("since", &error))?,
            next: args.next.as_deref().map(next).transpose().map_err(|error| usage("next", &error))?,
            text: args.text.as_deref().map(free_line).transpose().map_err(|error| Failure::usage(error.to_string()))?,
        })
    }

    /// Asks for what is missing.
    pub(super) fn complete(&mut self, times: &Times<'_>, ask: Ask<'_>) -> Result<(), Failure> {
        if self.to.is_none() {
            self.to = Some(choose("to", &AUDIENCES, ask)?);
        }
        if self.state.is_none() {
            self.state = Some(choose("state", &STATES, ask)?);
        }
        if self.affected.is_none() {
            self.affected = Some(choose("affected", &AFFECTED, ask)?);
        }
        if self.since.is_none() {
            self.since = optional("since (10:05 or 5m; empty: not stated)", |text| times.since(text), ask)?;
        }
        if self.next.is_none() {
            self.next = optional("next update in (10m; empty: none promised)", next, ask)?;
        }
        if self.text.is_none() {
            self.text = Some(required("text", free_line, ask)?);
        }
        Ok(())
    }

    /// The update. Fails with the missing options.
    pub(super) fn update(self) -> Result<Update, Failure> {
        match (self.to, self.state, self.affected, self.text) {
            (Some(to), Some(state), Some(affected), Some(text)) => {
                Ok(Update { to, state, affected, since: self.since, next: self.next, text, disclosed: 0 })
            }
            (to, state, affected, text) => {
                let fields = [
                    ("--to", to.is_none()),
                    ("--state", state.is_none()),
                    ("--affected", affected.is_none()),
                    ("a text", text.is_none()),
                ];
                let missing: Vec<&str> =
                    fields.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
                let example =
                    "lab drill update --to customers --state investigating --affected some 'Some requests fail.'";
                Err(Failure::usage(format!("the update needs {}", missing.join(", "))).hint(example))
            }
        }
    }
}

/// Why a text is no begin of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTime {
    #[error("expected a time of day (10:05) or how long ago (5m)")]
    Syntax,
    #[error("this time does not exist today")]
    NotToday,
}

impl Times<'_> {
    /// Parses a time of day or how long ago, as drill time in milliseconds.
    fn since(&self, text: &str) -> Result<u64, InvalidTime> {
        if let Ok(span) = parse_span(text) {
            return Ok(self.clock.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
        }
        let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok());
        let Some(time) = time else { return Err(InvalidTime::Syntax) };
        let today = self.now.with_time(time).earliest().ok_or(InvalidTime::NotToday)?;
        let at = if today > self.now { today - TimeDelta::days(1) } else { today };
        Ok(self.drill_time(at))
    }

    /// Drill time at a wall time. It stands still in the gaps.
    fn drill_time(&self, at: DateTime<Local>) -> u64 {
        let later = self.entries.partition_point(|entry| entry.at <= at);
        let Some(before) = later.checked_sub(1).and_then(|index| self.entries.get(index)) else { return 0 };
        let most = self.entries.get(later).map_or(self.clock, |next| next.clock);
        let passed = (at.to_utc() - before.at).num_milliseconds().unsigned_abs();
        before.clock.saturating_add(passed).min(most)
    }
}

/// Parses the time until the next update, in seconds.
fn next(text: &str) -> Result<u64, SpanError> {
    parse_span(text).map(|span| span.as_secs())
}

/// Asks until the answer is valid. The end of the input cancels the update.
fn required<T, E: Display>(question: &str, parse: impl Fn(&str) -> Result<T, E>, ask: Ask<'_>) -> Result<T, Failure> {
    let mut prompt = format!("{question}: ");
    loop {
        let answer = ask(&prompt).map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
        let Some(answer) = answer else { return Err(Failure::failed("the update was not sent")) };
        match parse(answer.trim()) {
            Ok(value) => return Ok(value),
            Err(reason) => prompt = format!("{reason}\n{question}: "),
        }
    }
}

fn optional<T, E: Display>(
    question: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    ask: Ask<'_>,
) -> Result<Option<T>, Failure> {
    required(question, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }, ask)
}

/// Asks for one of several names, of which the beginning is enough.
fn choose<T: Copy>(field: &str, choices: &[(&str, T)], ask: Ask<'_>) -> Result<T, Failure> {
    let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let parse = |text: &str| {
        let text = text.to_lowercase();
        let matching: Vec<_> = choices.iter().filter(|(name, _)| !text.is_empty() && name.starts_with(&text)).collect();
        match matching.as_slice() {
            [(_, value)] => Ok(*value),
            _ => Err(format!("expected one of {names}")),
        }
    };
    required(&format!("{field} ({names})"), parse, ask)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use lab_drill::event::Event;

    use super::*;

    fn entries(now: DateTime<Local>) -> Vec<Entry> {
        // Five minutes of drill, with a gap of one minute after the second.
        let entry = |ago: i64, clock: u64| Entry {
            at: (now - TimeDelta::seconds(ago)).to_utc(),
            clock,
            event: Event::Watching { pid: 1 },
        };
        vec![entry(360, 0), entry(240, 120_000), entry(180, 120_000), entry(0, 300_000)]
    }

    #[test]
    fn since_is_a_time_of_day_or_how_long_ago() {
        let now = Local.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).unwrap();
        let entries = entries(now);
        let times = Times { now, clock: 300_000, entries: &entries };
        for (text, expected) in [
            ("5m", 0),
            ("90s", 210_000),
            ("2h", 0),
            ("11:58", 180_000),
            ("11:57:30", 150_000),
            // In the gap.
            ("11:56:30", 120_000),
            ("11:55", 60_000),
            ("10:00", 0),
            // Yesterday.
            ("12:30", 0),
        ] {
            assert_eq!(times.since(text), Ok(expected), "{text}");
        }
        for wrong in ["", "5", "25:00", "now", "-5m", "10:5x"] {
            assert!(times.since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_is_valid() {
        let now = Local.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).unwrap();
        let times = Times { now, clock: 300_000, entries: &[] };
        let mut form =
            Form { to: Some(Audience::Customers), state: None, affected: None, since: None, next: None, text: None };
        let mut answers = ["i", "inv", "x", "some", "soon", "5m", "", "", "Some requests fail."].into_iter();
        let mut prompts = Vec::new();
        let mut ask = |prompt: &str| {
            prompts.push(prompt.to_owned());
            Ok(answers.next().map(str::to_owned))
        };
        form.complete(&times, &mut ask).unwrap();
        assert_eq!(prompts.len(), 9);
        assert_eq!(prompts[0], "state (investigating, identified, monitoring, resolved): ");
        assert!(prompts[1].starts_with("expected one of investigating"), "{}", prompts[1]);
        assert_eq!(
            form.update().unwrap(),
            Update {
                to: Audience::Customers,
                state: ClaimedState::Investigating,
                affected: Affected::Some,
                since: Some(0),
                next: None,
                text: "Some requests fail.".to_owned(),
                disclosed: 0,
            }
        );
    }

    #[test]
    fn the_end_of_the_input_sends_nothing() {
        let times = Times { now: Local::now(), clock: 0, entries: &[] };
        let mut form = Form { to: None, state: None, affected: None, since: None, next: None, text: None };
        let error = form.complete(&times, &mut |_| Ok(None)).unwrap_err();
        assert_eq!(error.message, "the update was not sent");
        assert_eq!(form.update().unwrap_err().message, "the update needs --to, --state, --affected, a text");
    }
}
