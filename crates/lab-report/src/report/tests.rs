//! Tests that a run is the same regardless of the format that it is read from.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::journal::{INCOMPLETE, Journal, JournalBuilder};
use super::json::Json;
use super::ndjson::read_events;
use super::{FanOut, Sink, encode, json, replay, short_id};
use lab_core::event::{Event, EventKind, Status, UndoOutcome};
use lab_testkit::sample_runs;

fn ndjson(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(|event| encode::line(event).expect("in memory")).collect()
}

fn document(journal: &Journal) -> String {
    let mut bytes = Vec::new();
    json::write(&mut bytes, journal).expect("in memory");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn the_journal_is_as_documented() {
    let journal = Journal::from_events(&sample_runs::rotate_key()).expect("a whole run");
    insta::assert_snapshot!(document(&journal));
}

#[test]
fn events_survive_a_round_trip() {
    for (name, events) in sample_runs::all() {
        let first = Journal::from_events(&events).expect(name);
        let again = read_events(ndjson(&events).as_slice()).expect(name);
        let second = Journal::from_events(&again).expect(name);
        assert_eq!(document(&first), document(&second), "{name}");
        let third: Journal = serde_json::from_str(&document(&first)).expect(name);
        assert_eq!(document(&first), document(&third), "{name}");
    }
}

/// Earlier versions wrote `held` for `passed`, and `effect` for `impact`.
#[test]
fn journals_and_events_of_earlier_versions_are_read() {
    let older = |text: &str| {
        let renamed = [
            (r#""status":"passed""#, r#""status":"held""#),
            (r#""passed":"#, r#""held":"#),
            (r#""impact_at":"#, r#""effect_at":"#),
            (r#""time_to_impact":"#, r#""time_to_effect":"#),
        ];
        renamed.iter().fold(text.to_owned(), |text, (now, before)| {
            assert!(text.contains(now), "{now}");
            text.replace(now, before)
        })
    };
    let events = sample_runs::rotate_key();
    let journal = Journal::from_events(&events).expect("a whole run");
    let compact = serde_json::to_string(&journal).expect("in memory");
    let read: Journal = serde_json::from_str(&older(&compact)).expect("an older journal");
    assert_eq!(document(&read), document(&journal));
    let lines = String::from_utf8(ndjson(&events)).expect("text");
    assert_eq!(ndjson(&read_events(older(&lines).as_bytes()).expect("older events")), lines.as_bytes());
}

#[test]
fn the_json_report_is_the_journal() {
    let events = sample_runs::failed();
    let mut bytes = Vec::new();
    replay(&events, &mut Json::new(&mut bytes)).expect("in memory");
    assert_eq!(String::from_utf8_lossy(&bytes), document(&Journal::from_events(&events).expect("a whole run")));
}

#[test]
fn a_record_without_an_end_is_an_interrupted_run() {
    let events = sample_runs::rotate_key();
    let at = events.iter().position(|event| matches!(&event.kind, EventKind::StepStarted(step) if step.index == 2));
    let mut bytes = ndjson(&events[..=at.expect("a third step")]);
    bytes.extend_from_slice(br#"{"at":"2026-11-24T10:15:34.1"#);
    let events = read_events(bytes.as_slice()).expect("a truncated last line is ignored");
    let journal = Journal::from_events(&events).expect("a started run");
    assert_eq!(journal.status, Status::Interrupted);
    assert_eq!(journal.reason.as_deref(), Some(INCOMPLETE));
    assert_eq!(journal.undo.status, UndoOutcome::Incomplete);
    assert_eq!(journal.end, events.last().expect("events").at);
    let steps: Vec<_> = journal.steps.iter().map(|step| (step.name.as_str(), step.status)).collect();
    let passed = Status::Passed;
    assert_eq!(steps, [("baseline", passed), ("rotate-key", passed), ("drive-traffic", Status::Interrupted)]);
}

#[test]
fn events_without_a_start_have_no_journal() {
    assert_eq!(Journal::from_events(&sample_runs::rotate_key()[1..]), None);
    assert_eq!(JournalBuilder::default().journal(), None);
}

#[test]
fn a_short_id_is_the_end_of_the_id() {
    assert_eq!(short_id("20261124T101530Z-7f3a"), "7f3a");
    assert_eq!(short_id("odd"), "odd");
}

#[test]
fn a_failing_sink_does_not_affect_the_others() {
    struct Broken;
    impl Sink for Broken {
        fn event(&mut self, _: &Event) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    struct Counts(Arc<Mutex<usize>>);
    impl Sink for Counts {
        fn event(&mut self, _: &Event) -> io::Result<()> {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            Ok(())
        }
    }
    let seen = Arc::new(Mutex::new(0));
    let mut fan = FanOut::new().with(Broken).with(Counts(Arc::clone(&seen)));
    for event in sample_runs::rotate_key().iter().take(3) {
        assert_eq!(fan.event(event).map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
    }
    assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), 3);
}
