//! Reports of several outcomes. Tests also compare the fields of the document with the documentation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::compare::{Comparison, Rating};
use super::csv::Csv;
use super::progress::{RateHistory, Window};
use super::table::write_table;
use super::{TrafficReport, write_json};
use crate::report::text::columns;
use crate::term::Painter;
use lab_core::event::ExpectationResult;
use lab_traffic::{
    Amount, Arrivals, BodySample, Caller, CallerOutcome, Cause, Interval, Job, Load, Outcome, Pace, Retry, Stage,
    Summary,
};

fn job() -> Job {
    Job::from(&Load {
        url: "http://127.0.0.1:8080/api/users".to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        amount: Amount::Requests(50),
        rate: 20.0,
        connections: 1,
        timeout: Duration::from_secs(5),
        retry: Retry::default(),
    })
}

fn micros(values: &[(u64, u64)]) -> hdrhistogram::Histogram<u64> {
    let mut histogram = hdrhistogram::Histogram::new(3).expect("three digits are valid");
    for (value, count) in values {
        histogram.record_n(*value, *count).expect("it resizes");
    }
    histogram
}

fn outcome(answers: bool) -> Outcome {
    let latency = if answers { micros(&[(900, 30), (1400, 8), (12_000, 1)]) } else { micros(&[]) };
    let codes = if answers { BTreeMap::from([(200, 38), (401, 1)]) } else { BTreeMap::new() };
    let by_code = if answers {
        BTreeMap::from([(200, micros(&[(900, 30), (1400, 8)])), (401, micros(&[(12_000, 1)]))])
    } else {
        BTreeMap::new()
    };
    let errors = BTreeMap::from([(Cause::Refused, if answers { 1 } else { 40 })]);
    let summary = Summary {
        duration: Duration::from_micros(1_951_234),
        sent: 40,
        attempts: 40,
        unsent: if answers { 0 } else { 10 },
        codes,
        errors,
        latency,
        ..Summary::new("2026-11-24T10:15:30Z".parse().expect("a time"))
    };
    let delay = micros(&[(60, 40)]);
    let body = |text: &str, truncated| BodySample { bytes: text.as_bytes().to_vec(), truncated };
    let users = "[\n  {\"id\": 1, \"name\": \"ada\"},\n  {\"id\": 2, \"name\": \"grace\"},\n  {\"id\": 3, \"name\": \"edsger\"}";
    let bodies = [(200, body(users, true)), (204, body("", false)), (401, body("{\"error\":\"unknown key\"}", false))];
    let samples = if answers { BTreeMap::from(bodies) } else { BTreeMap::new() };
    Outcome { summary, callers: Vec::new(), by_code, delay, received: 7_410, resent: 0, samples }
}

fn expectation(passed: bool) -> ExpectationResult {
    ExpectationResult {
        metric: "status.200".to_owned(),
        expected: ">= 99.9%".to_owned(),
        observed: Some(95.0),
        observed_text: "95%".to_owned(),
        passed,
    }
}

/// Two callers, random arrivals, one expectation that failed.
fn mixed() -> TrafficReport {
    let mut job = job();
    job.pace = Pace::Open { stages: vec![Stage::steady(20.0)], arrivals: Arrivals::Poisson { seed: 7 } };
    let caller = |name: &str, share| Caller::new(name, Vec::new(), share);
    job.callers = vec![caller("apikey-v1", 0.8), caller("apikey-v2", 0.2)];
    let mut outcome = outcome(true);
    let seen = |name: &str, (code, count), errors: BTreeMap<Cause, u64>, latency| CallerOutcome {
        name: name.to_owned(),
        sent: count + errors.values().sum::<u64>(),
        attempts: count + errors.values().sum::<u64>(),
        unsent: 0,
        codes: BTreeMap::from([(code, count)]),
        errors,
        latency,
    };
    outcome.callers = vec![
        seen("apikey-v1", (200, 38), BTreeMap::new(), micros(&[(900, 30), (1400, 8)])),
        seen("apikey-v2", (401, 1), BTreeMap::from([(Cause::Refused, 1)]), micros(&[(12_000, 1)])),
    ];
    outcome.delay = micros(&[(900_000, 40)]);
    TrafficReport::new(&job, &outcome, vec![expectation(false)])
}

fn report(answers: bool) -> TrafficReport {
    TrafficReport::new(&job(), &outcome(answers), Vec::new())
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("in memory");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn tables_and_document() {
    let table = |report: &TrafficReport, width| text(|out| write_table(out, report, width, Painter::PLAIN));
    insta::assert_snapshot!("table", table(&report(true), 80));
    insta::assert_snapshot!("nothing_answers", table(&report(false), 80));
    insta::assert_snapshot!("callers", table(&mixed(), 80));
    insta::assert_snapshot!("json", text(|out| write_json(out, &mixed())));
    for width in [40, 80, 120] {
        for line in table(&mixed(), width).lines() {
            assert!(columns(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn requests_in_flight_do_not_count_as_succeeded() {
    let headline = |sent, failed, in_flight| {
        let report = TrafficReport { sent, failed, in_flight, interrupted: true, ..report(true) };
        text(|out| write_table(out, &report, 120, Painter::PLAIN)).lines().nth(1).expect("a headline").to_owned()
    };
    assert!(headline(40, 0, 0).ends_with(" as requested · none failed"));
    assert!(headline(40, 0, 2).ends_with(" as requested · 2 in flight"));
    assert!(headline(40, 1, 2).ends_with(" as requested · 1 failed (2.5%) · 2 in flight"));
    assert!(headline(0, 0, 0).ends_with(" as requested"));
}

#[test]
fn attempts_are_shown_if_there_are_more_than_requests() {
    let table = |report: &TrafficReport| text(|out| write_table(out, report, 100, Painter::PLAIN));
    assert!(!table(&mixed()).contains("attempts"));
    let mut retried = mixed();
    (retried.attempts, retried.callers[1].attempts) = (44, 6);
    let table = table(&retried);
    assert!(table.contains("40 requests, 44 attempts in "), "{table}");
    let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = table.lines().skip_while(|line| !line.starts_with("caller")).take(3).map(words).collect();
    assert_eq!(rows, [["caller", "sent", "attempts"], ["apikey-v1", "38", "38"], ["apikey-v2", "2", "6"]], "{table}");
}

#[test]
fn documents_of_this_and_earlier_versions_are_read() {
    let json = text(|out| write_json(out, &mixed()));
    let back: TrafficReport = serde_json::from_str(&json).expect("it is our own");
    // Exact to the sixth decimal.
    assert_eq!(text(|out| write_json(out, &back)), json);
    let old = r#"{"url": "http://a/", "method": "GET", "sent": 1, "unsent": 0, "failed": 0, "duration": 1, "rate": 1,
        "wanted_rate": 20, "codes": {"200": 1}, "errors": {}, "interrupted": false,
        "latency_ms": {"p50": 1, "p90": 1, "p99": 1, "p99.9": 1, "max": 1}}"#;
    let old: TrafficReport = serde_json::from_str(old).expect("fields may be missing");
    assert_eq!((old.format, old.codes[&200]), (0, 1));
}

#[test]
fn every_field_of_the_document_is_documented() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/traffic.md")).expect("the page");
    let document = serde_json::to_value(mixed()).expect("it is data");
    let mut names: Vec<String> = document.as_object().expect("an object").keys().cloned().collect();
    for inner in
        [&document["latency_ms"], &document["callers"][0], &document["histogram"][0], &document["expectations"][0]]
    {
        names.extend(inner.as_object().expect("an object").keys().cloned());
    }
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/traffic.md does not describe `{name}`");
    }
}

#[test]
fn latencies_have_sub_millisecond_precision() {
    let cases =
        [(0.0004, "1µs"), (0.085, "85µs"), (0.9999, "1.00ms"), (9.99, "9.99ms"), (12.0, "12.0ms"), (250.4, "250ms")];
    for (value, text) in cases {
        assert_eq!(super::fine(value), text);
    }
}

#[test]
fn buckets_are_round_and_have_no_gaps() {
    let buckets = |values: &[(u64, u64)]| -> Vec<(f64, u64)> {
        super::histogram(&micros(values)).into_iter().map(|bucket| (bucket.le, bucket.count)).collect()
    };
    assert_eq!(buckets(&[]), []);
    assert_eq!(buckets(&[(1000, 3)]), [(1.0, 3)], "the upper bound belongs to its bucket");
    assert_eq!(buckets(&[(900, 2), (12_000, 1)]), [(1.0, 2), (2.0, 0), (5.0, 0), (10.0, 0), (20.0, 1)]);
    let many: Vec<(u64, u64)> = (1..3000).map(|value| (value * 7, 1)).collect();
    assert_eq!(buckets(&many).iter().map(|(_, count)| count).sum::<u64>(), 2999);
}

fn interval(second: u64, sent: u64) -> Interval {
    Interval {
        start: Duration::from_secs(second),
        length: Duration::from_secs(1),
        sent,
        unsent: 0,
        codes: BTreeMap::from([(200, sent - 1)]),
        errors: BTreeMap::from([(Cause::Timeout, 1)]),
        latency: micros(&[(900, sent - 1)]),
        callers: Vec::new(),
    }
}

#[test]
fn the_last_second_and_the_last_minute_are_shown() {
    let mut history = RateHistory::default();
    for second in 0..70 {
        history.add(&interval(second, 10 + second));
    }
    assert_eq!(history.sparkline().chars().count(), 60);
    assert!(history.sparkline().ends_with('█'));
    let mut window = Window::new(&interval(0, 20));
    assert_eq!(window.figures(), "20/s · 200 95% · timeout 5% · p50 900µs · p99 900µs");
    window.add(&interval(1, 40));
    assert_eq!(window.line(), "2.0s: 30/s · 200 96.7% · timeout 3.3% · p50 900µs · p99 900µs");
}

#[test]
fn the_time_series_has_one_row_per_second() {
    let mut bytes = Vec::new();
    let mut csv = Csv::new(&mut bytes).expect("in memory");
    csv.row(&interval(0, 20)).expect("in memory");
    let nothing = Interval { codes: BTreeMap::new(), errors: BTreeMap::new(), latency: micros(&[]), ..interval(1, 1) };
    csv.row(&Interval { sent: 0, ..nothing }).expect("in memory");
    assert_eq!(
        String::from_utf8(bytes).expect("text"),
        "start,length,sent,unsent,1xx,2xx,3xx,4xx,5xx,errors,p50_ms,p90_ms,p99_ms,max_ms\n\
         0.000,1.000,20,0,0,19,0,0,0,1,0.900,0.900,0.900,0.900\n\
         1.000,1.000,0,0,0,0,0,0,0,0,,,,\n"
    );
}

#[test]
fn two_results_are_compared() {
    let mut after = report(true);
    after.rate *= 1.2;
    after.connections = 4;
    after.unsent = 3;
    if let Some(latency) = &mut after.latency_ms {
        latency.p99 *= 1.5;
    }
    let before = report(true);
    let comparison = Comparison::new(("a.json", &before), ("b.json", &after));
    let rating = |name: &str| comparison.values.iter().find(|value| value.name == name).map(|value| value.rating);
    let expected = [Rating::Better, Rating::Worse, Rating::Unchanged].map(Some);
    assert_eq!(["requests/s", "p99", "p50"].map(rating), expected);
    let shown = text(|out| comparison.write(out, 80, Painter::PLAIN));
    insta::assert_snapshot!("comparison", shown);
}
