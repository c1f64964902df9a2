//! Reads, folds and scores 1,000 published logs of ten minutes each, and prints the time. Exits 1 if it is 2 seconds or more.
//! `cargo test --benches` runs it with a single log and without a limit.

use std::time::{Duration, Instant};

use lab_core::diagnosis::{Cause, Diagnosis, Finding, Location};
use lab_drill::brief::{Brief, Par};
use lab_drill::choice::Secret;
use lab_drill::event::{Check, Ending, Event, Known, Started};
use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log};
use lab_drill::score::{self, Score};

/// Limit for all logs.
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let count = if is_measured { 1000 } else { 1 };
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = Drills::new(root.path()).folder("20261130-a1");
    write_log(&mut Log::create(&folder, &Secret::from_seed(1)).expect("a new log"));
    let start = Instant::now();
    for _ in 0..count {
        let entries = Log::open(&folder).and_then(|mut log| log.read()).expect("a published log");
        let drill = Drill::from_entries(&entries).expect("a started drill");
        assert_eq!(drill.resolved(), Some(410_000));
        assert!(Score::new(&drill).expect("a score").points > 50.0);
    }
    let time = start.elapsed();
    println!("{count} drills of ten minutes: {:.2} s (limit for 1000: {} s)", time.as_secs_f64(), LIMIT.as_secs());
    if is_measured && time >= LIMIT {
        std::process::exit(1);
    }
}

/// Ten minutes: impact at 60 s, mitigation at 400 s, resolution at 410 s.
fn write_log(log: &mut Log) {
    let mut clock = 0;
    let mut add = |clock: u64, event: Event| {
        log.append(Some(clock), event).expect("an entry");
    };
    add(clock, Event::Started(Box::new(started())));
    add(clock, Event::Watching { pid: 1 });
    for second in 1..=600 {
        clock = second * 1000;
        let succeeded = u32::from(!(61..=400).contains(&second));
        add(clock, Event::Second { callers: vec![(20, 20 * succeeded), (5, 5 * succeeded), (10, 10 * succeeded)] });
        match second {
            60 => {
                add(clock, Event::Injecting);
                add(clock, Event::Broken);
            }
            90 => add(clock, Event::Acknowledged),
            300 => add(clock, Event::Diagnosis { findings: vec![FINDING] }),
            410 => add(clock, Event::Checked(Check::Passed)),
            _ if second % 20 == 0 => add(clock, Event::Looked { what: "metrics".to_owned() }),
            _ => {}
        }
    }
    add(clock, Event::Ended { by: Ending::Finished });
    log.publish().expect("a published log");
}

const FINDING: Finding = Finding { location: Location::App, cause: Cause::Hangs };

fn started() -> Started {
    let brief = Brief {
        scenario: "app-hangs".to_owned(),
        title: "The app hangs".to_owned(),
        difficulty: "beginner".to_owned(),
        parameters: std::collections::BTreeMap::new(),
        ticket: "Nothing works.".to_owned(),
        symptom: "No answer.".to_owned(),
        solution: "Restart it.".to_owned(),
        lessons: Vec::new(),
        hints: Vec::new(),
        diagnosis: Diagnosis { first: FINDING, also: None },
        par: Par { detect: Duration::from_mins(1), mitigate: Duration::from_mins(5), resolve: Duration::from_mins(8) },
        injects: Vec::new(),
        wrong_fixes: Vec::new(),
    };
    Started {
        version: lab_drill::LOG_VERSION,
        id: "20261130-a1".to_owned(),
        lab: "default".to_owned(),
        engine: "embedded".to_owned(),
        scoring: score::VERSION,
        commitment: Secret::from_seed(1).commitment(),
        known: Known::Nothing,
        coach: false,
        quiet: 60_000,
        fault: true,
        brief,
        users: None,
        callers: vec![("reports".to_owned(), 20.0), ("users".to_owned(), 5.0), ("orders".to_owned(), 10.0)],
    }
}
