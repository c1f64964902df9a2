//! Callers that retry: requests and attempts are counted apart, and the pace stays that of the requests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab_traffic::{Arrivals, Caller, Cause, Job, Load, Outcome, Pace, Retry, Stage};

use crate::http_server::{OK, Reply, Server, refusing, serve};
use crate::traffic_jobs;

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

fn retries(retries: u32) -> Retry {
    Retry { retries, ..Retry::default() }
}

fn load(url: &str, requests: u64, retry: Retry) -> Load {
    Load { timeout: Duration::from_secs(5), retry, ..traffic_jobs::load(url, requests) }
}

async fn run(job: &Job) -> Outcome {
    let outcome = traffic_jobs::run(job).await;
    let summary = &outcome.summary;
    assert_eq!(summary.attempts, outcome.callers.iter().map(|caller| caller.attempts).sum::<u64>());
    assert_eq!((summary.in_flight, summary.interrupted), (0, false), "{summary:?}");
    outcome
}

/// Fails every other request with a 503, beginning with the first.
async fn every_other() -> Server {
    serve(|number, _| Reply::Send(if number % 2 == 0 { UNAVAILABLE } else { OK }.to_owned())).await
}

#[tokio::test]
async fn a_request_succeeds_if_one_of_its_attempts_does() {
    let server = every_other().await;
    // One after the other, so that each request gets a 503 and a 200.
    let job = Job { pace: Pace::Closed, connections: 1, ..Job::from(&load(&server.url, 20, retries(1))) };
    let outcome = run(&job).await;
    assert_eq!((outcome.summary.sent, outcome.summary.attempts, outcome.summary.failed()), (20, 40, 0));
    assert_eq!((outcome.summary.codes[&200], server.requests()), (20, 40));
}

#[tokio::test]
async fn without_retries_every_request_is_one_attempt() {
    let server = every_other().await;
    let outcome = run(&Job::from(&load(&server.url, 20, Retry::default()))).await;
    assert_eq!((outcome.summary.sent, outcome.summary.attempts, server.requests()), (20, 20, 20));
    assert_eq!(outcome.summary.failed(), 10);
}

#[tokio::test]
async fn the_last_attempt_is_the_result() {
    let server = serve(|_, _| Reply::Send(UNAVAILABLE.to_owned())).await;
    let outcome = run(&Job::from(&load(&server.url, 10, retries(3)))).await;
    assert_eq!((outcome.summary.sent, outcome.summary.attempts, outcome.summary.codes[&503]), (10, 40, 10));
    assert_eq!(server.requests(), 40);
    let (_socket, url) = refusing();
    let outcome = run(&Job::from(&load(&url, 10, retries(2)))).await;
    assert_eq!((outcome.summary.attempts, outcome.summary.errors[&Cause::Refused]), (30, 10));
}

#[tokio::test]
async fn a_rejection_is_not_repeated() {
    let server = serve(|_, _| Reply::Send(OK.replace("200 OK", "401 Unauthorized"))).await;
    let outcome = run(&Job::from(&load(&server.url, 10, retries(3)))).await;
    assert_eq!((outcome.summary.attempts, outcome.summary.codes[&401], server.requests()), (10, 10, 10));
}

/// Two connections would need 20 s for 40 attempts of 500 ms each if retries used them.
#[tokio::test]
async fn retries_do_not_delay_the_requests_that_are_due_meanwhile() {
    let server = serve(|_, _| Reply::Silence).await;
    let timeout = Duration::from_millis(100);
    let mut job = Job::from(&Load { timeout, rate: 20.0, connections: 4, ..load(&server.url, 20, retries(9)) });
    job.callers[0].retry.backoff = Duration::from_millis(50);
    let outcome = run(&job).await;
    assert_eq!((outcome.summary.sent, outcome.summary.unsent, outcome.summary.attempts), (20, 0, 200));
    let late = outcome.delay.max();
    assert!(late < 90_000, "a request waited {late} µs for a connection");
    assert_eq!(outcome.summary.errors[&Cause::Timeout], 20);
}

#[tokio::test]
async fn a_backoff_and_a_retry_after_header_delay_the_next_attempt() {
    let asked = UNAVAILABLE.replace("content-length", "Retry-After: 1\r\ncontent-length");
    let backoff = Duration::from_millis(200);
    let cases = [
        (Retry { backoff, ..retries(1) }, 0.2..0.9),
        (Retry { backoff, heed_retry_after: true, ..retries(1) }, 1.0..2.0),
    ];
    for (retry, expected) in cases {
        let times = Arc::new(Mutex::new(Vec::new()));
        let (seen, asked) = (Arc::clone(&times), asked.clone());
        let server = serve(move |_, _| {
            seen.lock().expect("no panic").push(Instant::now());
            Reply::Send(asked.clone())
        })
        .await;
        run(&Job::from(&load(&server.url, 1, retry))).await;
        let times = times.lock().expect("no panic");
        let gap = (times[1] - times[0]).as_secs_f64();
        assert!(expected.contains(&gap), "{retry:?}: {gap}");
    }
}

/// Callers in one job: one gives up early and retries, the other waits.
#[tokio::test]
async fn each_caller_has_its_own_timeout_and_retries() {
    let server = serve(|_, _| Reply::Late(300, OK.to_owned())).await;
    let hasty = Caller {
        timeout: Some(Duration::from_millis(100)),
        retry: retries(2),
        ..Caller::new("hasty", Vec::new(), 0.5)
    };
    let job = Job {
        callers: vec![Caller::new("patient", Vec::new(), 0.5), hasty],
        pace: Pace::Open { stages: vec![Stage::steady(20.0)], arrivals: Arrivals::Even },
        connections: 8,
        ..Job::from(&load(&server.url, 10, Retry::default()))
    };
    let outcome = run(&job).await;
    let counts: Vec<_> = outcome.callers.iter().map(|one| (one.name.as_str(), one.sent, one.attempts)).collect();
    assert_eq!(counts, [("patient", 5, 5), ("hasty", 5, 15)]);
    assert_eq!((outcome.callers[0].codes[&200], outcome.callers[1].errors[&Cause::Timeout]), (5, 5));
    assert_eq!(outcome.callers[1].errors.len(), 1, "{outcome:?}");
}

/// The outage clock follows requests that outlive their connection's next one.
#[tokio::test]
async fn the_times_of_an_outage_are_those_of_the_requests() {
    let begun = Instant::now();
    let server = serve(move |_, _| {
        Reply::Send(if begun.elapsed() < Duration::from_millis(400) { UNAVAILABLE } else { OK }.to_owned())
    })
    .await;
    let retry = Retry { backoff: Duration::from_millis(100), ..retries(1) };
    let outcome = run(&Job::from(&Load { rate: 20.0, ..load(&server.url, 20, retry) })).await;
    let summary = &outcome.summary;
    let (first, last) = (summary.first_failure.expect("it failed"), summary.last_failure.expect("it failed"));
    let lasting = summary.lasting_success.expect("it recovered");
    // A request that starts 100 ms before the end of the outage succeeds with its second attempt.
    assert!(first < Duration::from_millis(50), "{first:?}");
    assert!((Duration::from_millis(150)..Duration::from_millis(350)).contains(&last), "{last:?}");
    assert!(lasting > last && lasting < last + Duration::from_millis(120), "{last:?} {lasting:?}");
    assert!(summary.failed() > 2 && summary.failed() < 10, "{summary:?}");
}
