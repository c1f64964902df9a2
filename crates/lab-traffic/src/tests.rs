//! Tests of validation and summaries. Tests that send requests are integration tests.

use std::time::Duration;

use chrono::{TimeZone, Utc};

use super::target::{Host, Targets};
use super::{Amount, Caller, Cause, Job, Load, Pace, Retry, Stage, Summary};

fn load(url: &str) -> Load {
    Load {
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        amount: Amount::Requests(1),
        rate: 20.0,
        connections: 1,
        timeout: Duration::from_secs(5),
        retry: Retry::default(),
    }
}

fn header(name: &str, value: &str) -> Load {
    Load { headers: vec![(name.to_owned(), value.to_owned())], ..load("http://lab.test") }
}

fn refused(load: &Load) -> String {
    load.validate().expect_err("it must be refused").to_string()
}

/// The bytes of the first request of the first caller.
fn bytes(targets: &Targets) -> String {
    String::from_utf8(targets.get(0, 0).bytes.clone()).expect("text")
}

#[test]
fn an_address_becomes_host_port_path_and_host_header() {
    let cases = [
        ("http://127.0.0.1:8080/api/users?a=b#c", 8080, "/api/users?a=b", "127.0.0.1:8080"),
        ("http://lab.test", 80, "/", "lab.test"),
        ("HTTP://Lab.test:80/a b", 80, "/a%20b", "lab.test"),
        ("http://[::1]:8080?q", 8080, "/?q", "[::1]:8080"),
        ("http://lab.test/\u{fc}/%ff", 80, "/%C3%BC/%ff", "lab.test"),
    ];
    for (url, port, path, host) in cases {
        let targets = Job::from(&load(url)).targets().expect(url);
        assert_eq!(targets.endpoints[0].port, port);
        let agent = concat!("lab/", env!("CARGO_PKG_VERSION"));
        assert_eq!(bytes(&targets), format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\r\n"));
    }
    let host = |url| Job::from(&load(url)).targets().expect(url).endpoints[0].host.clone();
    assert_eq!(host("http://[::1]:80"), Host::Address("::1".parse().expect("an address")));
    assert_eq!(host("http://127.0.0.1"), Host::Address("127.0.0.1".parse().expect("an address")));
    assert_eq!(host("http://lab.test"), Host::Name("lab.test".to_owned()));
}

#[test]
fn a_request_has_its_own_headers_its_callers_and_its_body() {
    let mut job = Job::from(&header("user-agent", "mine"));
    job.requests[0].body = b"{}".to_vec();
    job.requests.push(job.requests[0].clone());
    job.requests[1].url = "http://other.test/x".to_owned();
    job.callers[0].headers.push(("X-API-Key".to_owned(), "one".to_owned()));
    job.keepalive = false;
    let targets = job.targets().expect("valid");
    assert_eq!(
        bytes(&targets),
        "GET / HTTP/1.1\r\nHost: lab.test\r\nuser-agent: mine\r\nX-API-Key: one\r\nConnection: close\r\n\
         Content-Length: 2\r\n\r\n{}"
    );
    assert_eq!((targets.endpoints.len(), targets.get(0, 0).endpoint, targets.get(0, 1).endpoint), (2, 0, 1));
}

#[test]
fn invalid_requests_are_refused_with_a_reason() {
    let cases = [
        ("https://lab.test/", "https is not supported, only http"),
        ("localhost:8080/x", "it must start with http://"),
        ("ftp://lab.test/", "it must start with http://"),
        ("", "it must start with http://"),
        ("http://", "empty host"),
        ("http://lab.test:99999", "invalid port number"),
        ("http://me:secret@lab.test", "a user or a password in it is not supported; send a header"),
    ];
    for (url, reason) in cases {
        assert_eq!(refused(&load(url)), format!("{url:?} is not an address to send to: {reason}"));
    }
    for method in ["", "GE T", "CONNECT", "GET\n"] {
        assert!(refused(&Load { method: method.to_owned(), ..load("http://lab.test") }).contains("not a method"));
    }
}

#[test]
fn a_refused_header_does_not_show_its_value() {
    for (name, value) in
        [("X-API-Key", "secret\nX-Evil: 1"), ("X-API-Key", "sécret"), ("X API", "secret"), ("Content-Length", "6")]
    {
        let message = refused(&header(name, value));
        assert!(message.starts_with(&format!("the header {name:?} cannot be sent: ")), "{message}");
        assert!(!message.contains("cret"), "{message}");
    }
    let own = Job::from(&header("host", "other.test")).targets().expect("valid");
    assert_eq!(bytes(&own).to_lowercase().matches("host: ").count(), 1);
    assert!(bytes(&own).contains("host: other.test\r\n"));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let good = || load("http://lab.test");
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e7] {
        assert!(refused(&Load { rate, ..good() }).starts_with("the rate must be between"));
    }
    assert_eq!(
        refused(&Load { amount: Amount::Requests(0), ..good() }),
        "the amount must be at least one request, not none"
    );
    assert!(refused(&Load { amount: Amount::Requests(u64::MAX), ..good() }).contains("at most 30 days"));
    assert!(refused(&Load { amount: Amount::Duration(Duration::ZERO), ..good() }).contains("at least one request"));
    assert_eq!(refused(&Load { connections: 0, ..good() }), "connections must be 1 to 10000, not 0");
    assert!(refused(&Load { timeout: Duration::ZERO, ..good() }).starts_with("the timeout must be above 0"));
}

#[test]
fn stages_and_shares_out_of_range_are_refused() {
    let job = |stages: &[(f64, f64)], shares: &[f64]| {
        let stage = |(from, to): &(f64, f64)| Stage { length: Duration::from_secs(1), from: *from, to: *to };
        let caller = |share: &f64| Caller::new("", Vec::new(), *share);
        Job {
            pace: Pace::Open { stages: stages.iter().map(stage).collect(), arrivals: super::Arrivals::Even },
            amount: Amount::Duration(Duration::from_secs(1)),
            callers: shares.iter().map(caller).collect(),
            ..Job::from(&load("http://lab.test"))
        }
    };
    assert_eq!(job(&[(0.0, 50.0), (50.0, 0.0)], &[0.8, 0.2]).validate(), Ok(()));
    for stages in [&[(0.0, 0.0)] as &[_], &[(-1.0, 5.0)], &[(1.0, 2e6)], &[(f64::NAN, 1.0)], &[]] {
        let refused = job(stages, &[1.0]).validate().expect_err("it must be refused").to_string();
        assert!(refused.starts_with("the rate must be between"), "{refused}");
    }
    for shares in [&[0.5, 0.4] as &[_], &[1.0, 0.0], &[]] {
        let refused = job(&[(1.0, 1.0)], shares).validate().expect_err("it must be refused").to_string();
        assert!(refused.starts_with("the callers' shares must be above 0% each"), "{refused}");
    }
}

fn summary(second: u32, ok: u64, failed: u64, micros: u64) -> Summary {
    let start = Utc.with_ymd_and_hms(2026, 11, 24, 10, 15, second).single().expect("a time");
    let mut summary = Summary::new(start);
    summary.sent = ok + failed;
    summary.duration = Duration::from_secs(2);
    summary.codes.extend([(200, ok), (401, failed)].into_iter().filter(|(_, count)| *count > 0));
    summary.latency.record_n(micros, ok + failed).expect("it resizes itself");
    if failed > 0 {
        summary.first_failure = Some(Duration::from_millis(100));
        summary.last_failure = Some(Duration::from_millis(500));
        summary.lasting_success = (ok > 0).then(|| Duration::from_millis(600));
    } else {
        summary.lasting_success = Some(Duration::ZERO);
    }
    summary
}

#[test]
fn merging_adds_counts_and_histograms_and_shifts_times() {
    let mut all = summary(0, 40, 0, 1000);
    all.merge(&summary(10, 0, 40, 400_000_000));
    assert_eq!((all.first_failure, all.last_failure), (Some(secs(10.1)), Some(secs(10.5))));
    assert_eq!(all.lasting_success, None, "the successes were before the failures");
    all.merge(&summary(20, 39, 1, 2000));
    let mut other = summary(30, 20, 0, 2000);
    other.errors.insert(Cause::Refused, 3);
    all.merge(&other);
    assert_eq!((all.sent, all.failed()), (140, 44));
    assert_eq!(all.codes.into_iter().collect::<Vec<_>>(), [(200, 99), (401, 41)]);
    assert_eq!(all.latency.len(), 140);
    assert_eq!(all.duration, secs(32.0));
    assert_eq!((all.first_failure, all.last_failure), (Some(secs(10.1)), Some(secs(20.5))));
    assert_eq!(all.lasting_success, Some(secs(20.6)));
}

#[test]
fn merging_does_not_care_which_comes_first() {
    let (early, late) = (summary(0, 30, 10, 500), summary(5, 10, 30, 900));
    let (mut one, mut other) = (early.clone(), late.clone());
    one.merge(&late);
    other.merge(&early);
    assert_eq!(one.latency, other.latency);
    assert_eq!((one.start, one.duration), (other.start, other.duration));
    assert_eq!((one.start, one.duration), (early.start, secs(7.0)));
    let times = |summary: &Summary| (summary.first_failure, summary.last_failure, summary.lasting_success);
    assert_eq!(times(&one), times(&other));
    assert_eq!(times(&one), (Some(secs(0.1)), Some(secs(5.5)), Some(secs(5.6))));
}

#[test]
fn percentiles_are_in_milliseconds_and_none_without_responses() {
    let mut summary = summary(0, 99, 0, 1000);
    summary.latency.record(100_000).expect("it resizes itself");
    assert_eq!(summary.percentile_ms(50.0), Some(1.0));
    assert_eq!(summary.percentile_ms(99.0), Some(1.0));
    let most = summary.percentile_ms(99.9).expect("there are some");
    assert!((most - 100.0).abs() < 0.1, "{most}");
    assert_eq!(summary.max_ms(), summary.percentile_ms(100.0));
    let empty = Summary::new(Utc::now());
    assert_eq!((empty.percentile_ms(99.0), empty.max_ms(), empty.rate()), (None, None, None));
}

fn secs(seconds: f64) -> Duration {
    Duration::from_millis(Duration::from_secs_f64(seconds + 0.0004).as_millis().try_into().expect("short"))
}
