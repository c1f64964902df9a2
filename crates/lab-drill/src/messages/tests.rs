use std::time::Duration;

use super::*;
use crate::event::{Affected, ClaimedState, Ending, Event};
use crate::testing::{Story, update};

fn arrived(story: &Story) -> Vec<(u64, String)> {
    let drill = story.drill();
    messages(&drill, drill.clock).into_iter().map(|message| (message.at, message.from)).collect()
}

fn named(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(at, from)| (*at, (*from).to_owned())).collect()
}

/// Impact at 30 s.
fn broken() -> Story {
    Story::new().quiet(30).inject()
}

#[test]
fn the_ticket_arrives_60_seconds_after_the_impact() {
    assert_eq!(arrived(&broken().bad(59)), []);
    let drill = broken().bad(60).drill();
    let ticket = &messages(&drill, 90_000)[0];
    assert_eq!((ticket.at, ticket.kind, ticket.text.as_str()), (90_000, Kind::Ticket, "Our report never comes."));
    assert_eq!(drill.ticket().unwrap().at, 90_000);
    assert_eq!(messages(&broken().bad(59).drill(), 90_500).len(), 1, "between two entries");
}

#[test]
fn the_default_messages_follow_the_outage() {
    let silent = broken().bad(400).good(100);
    let expected =
        [(90_000, "the customer"), (330_000, "the manager"), (420_000, "the support lead"), (490_000, "the customer")];
    assert_eq!(arrived(&silent), named(&expected));
    let fast = broken().bad(200).good(20).update(update(ClaimedState::Resolved, Affected::Nobody, None)).good(300);
    assert_eq!(arrived(&fast), named(&[(90_000, "the customer"), (290_000, "the customer")]));
}

#[test]
fn nobody_writes_that_it_works_again_before_the_ticket() {
    let story = broken().bad(5).good(200);
    assert_eq!(arrived(&story), named(&[(90_000, "the customer"), (150_000, "the customer")]));
}

#[test]
fn an_overdue_update_is_asked_for_each_time() {
    let short = update(ClaimedState::Investigating, Affected::Everybody, Some(60));
    let story = broken().bad(70).update(short.clone()).bad(100).update(short).bad(100);
    let leads: Vec<u64> = arrived(&story).iter().filter(|(_, from)| from.contains("lead")).map(|(at, _)| *at).collect();
    assert_eq!(leads, [190_000, 290_000]);
}

#[test]
fn a_message_never_disappears() {
    // Mitigated from 325 s on, known at 335 s, relapse at 400 s.
    let story = broken().bad(295).good(75).bad(60).good(80);
    let mut before: Vec<Message> = Vec::new();
    let entries = story.entries();
    for count in 1..=entries.len() {
        let drill = Drill::from_entries(&entries[..count]).unwrap();
        let now = messages(&drill, drill.clock);
        assert!(before.iter().all(|message| now.contains(message)), "{before:?} {now:?}");
        before = now;
    }
    assert!(before.iter().any(|message| message.from == "the manager" && message.at == 330_000));
}

#[test]
fn a_scenario_replaces_the_default_messages() {
    let inject = |at, after, from: &str| Inject {
        at: Duration::from_secs(at),
        after,
        from: from.to_owned(),
        text: "Well?".to_owned(),
        ticket: false,
    };
    let injects = vec![
        inject(10, Moment::Impact, "early"),
        inject(300, Moment::Impact, "too late"),
        inject(5, Moment::Mitigated, "relieved"),
        inject(20, Moment::Resolved, "thankful"),
    ];
    let story = Story::new().change_start(|started| started.brief.injects = injects);
    let story = story.quiet(30).inject().bad(100).good(10).check().good(300);
    let expected = [(40_000, "early"), (90_000, "the customer"), (140_000, "relieved"), (160_000, "thankful")];
    assert_eq!(arrived(&story), named(&expected), "mitigated at 130 s is known at 140 s");
}

#[test]
fn messages_stop_with_the_drill_and_with_the_clock() {
    let note = Event::Message { from: "the trainer".to_owned(), text: "Well done.".to_owned() };
    let story = broken().bad(59).event(note).end(Ending::GaveUp);
    let drill = story.drill();
    assert_eq!(messages(&drill, 1_000_000).len(), 1);
    let gap = broken().bad(59).unknown(600).drill();
    assert_eq!(messages(&gap, gap.clock), []);
}

#[test]
fn a_ticket_among_the_injects_arrives_once_and_at_its_time() {
    let ticket = Inject {
        at: Duration::from_secs(20),
        after: Moment::Impact,
        from: "the accounting".to_owned(),
        text: "Our report never comes.".to_owned(),
        ticket: true,
    };
    let story = Story::new().change_start(|started| started.brief.injects = vec![ticket]);
    let drill = story.quiet(30).inject().bad(5).good(95).drill();
    let [ticket] = &messages(&drill, drill.clock)[..] else { panic!("one message") };
    assert_eq!((ticket.at, ticket.kind, ticket.from.as_str()), (50_000, Kind::Ticket, "the accounting"));
    assert_eq!(drill.ticket_at(), Some(50_000));
}
