//! Traffic to servers that work, fail and recover: every request is in exactly one count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab_traffic::{Amount, Cause, Job, Load, Outcome, Retry, Summary, TrafficProgress};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http_server::{OK, Reply, refusing, serve, serve_on};

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 24\r\n\r\n{\"error\":\"unauthorized\"}";

fn load(url: &str, requests: u64, rate: f64) -> Load {
    Load {
        url: format!("{url}/api/users"),
        method: "GET".to_owned(),
        headers: vec![("X-API-Key".to_owned(), "apikey-v1".to_owned())],
        amount: Amount::Requests(requests),
        rate,
        connections: 1,
        timeout: Duration::from_secs(10),
        retry: Retry::default(),
    }
}

async fn run(load: &Load) -> Summary {
    let summary = lab_traffic::run(load, &|_| {}, &CancellationToken::new()).await;
    let seen: u64 = summary.codes.values().chain(summary.errors.values()).sum();
    assert_eq!(summary.sent, seen, "each request is in one count: {summary:?}");
    assert_eq!(summary.latency.len(), summary.codes.values().sum::<u64>());
    assert!(!summary.interrupted);
    summary
}

/// Complete outcome of a load with one unnamed caller.
async fn run_job(load: &Load) -> Outcome {
    let outcome = lab_traffic::run_job(&Job::from(load), &|_| {}, &CancellationToken::new()).await;
    outcome.expect("it is valid")
}

/// Result of two requests to a server with this fixed response.
async fn cause_of(reply: fn() -> Reply) -> Cause {
    let server = serve(move |_, _| reply()).await;
    let summary = run(&Load { connections: 2, timeout: Duration::from_secs(1), ..load(&server.url, 2, 1000.0) }).await;
    assert_eq!((summary.sent, summary.failed(), summary.errors.len()), (2, 2, 1), "{summary:?}");
    assert!(summary.first_failure <= summary.last_failure && summary.lasting_success.is_none());
    *summary.errors.keys().next().expect("there is one")
}

#[tokio::test]
async fn requests_are_sent_as_configured_on_one_connection() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = serve(move |_, head| {
        seen.lock().expect("no panic").push(head.to_lowercase());
        Reply::Send(OK.to_owned())
    })
    .await;
    let summary = run(&load(&server.url, 20, 200.0)).await;
    assert_eq!((summary.sent, summary.unsent, summary.failed()), (20, 0, 0));
    assert_eq!(summary.codes.into_iter().collect::<Vec<_>>(), [(200, 20)]);
    assert!(summary.duration >= Duration::from_millis(95), "the last one is due at 95 ms");
    assert_eq!((summary.first_failure, summary.last_failure), (None, None));
    assert!(summary.lasting_success.is_some_and(|first| first < summary.duration));
    let heads = heads.lock().expect("no panic");
    let host = server.url.trim_start_matches("http://");
    for head in heads.iter() {
        assert!(head.starts_with("get /api/users http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {host}\r\n")) && head.contains("x-api-key: apikey-v1\r\n"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact_with_many_connections() {
    let server = serve(|number, _| Reply::Send(if number % 4 == 0 { UNAUTHORIZED } else { OK }.to_owned())).await;
    let summary = run(&Load { connections: 16, ..load(&server.url, 2000, 20_000.0) }).await;
    assert_eq!(summary.codes.into_iter().collect::<Vec<_>>(), [(200, 1500), (401, 500)]);
    assert_eq!((summary.sent, server.requests()), (2000, 2000));
}

#[tokio::test]
async fn a_duration_sends_the_requests_due_within_it() {
    let server = serve(|_, _| Reply::Send(UNAUTHORIZED.to_owned())).await;
    let amount = Amount::Duration(Duration::from_millis(100));
    let summary = run(&Load { amount, ..load(&server.url, 0, 200.0) }).await;
    assert_eq!((summary.sent, summary.failed(), summary.codes[&401]), (20, 20, 20));
    assert_eq!(summary.lasting_success, None);
}

#[tokio::test]
async fn each_failure_has_its_cause() {
    assert_eq!(cause_of(|| Reply::Last(String::new())).await, Cause::Reset);
    assert_eq!(
        cause_of(|| Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned())).await,
        Cause::Reset
    );
    assert_eq!(
        cause_of(|| Reply::Last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal".to_owned())).await,
        Cause::Reset
    );
    assert_eq!(
        cause_of(|| Reply::Last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned())).await,
        Cause::Protocol
    );
    assert_eq!(cause_of(|| Reply::Last("SSH-2.0-OpenSSH_9.2\r\n".to_owned())).await, Cause::Protocol);
    assert_eq!(cause_of(|| Reply::Silence).await, Cause::Timeout);
    // The head arrives, but not the body.
    assert_eq!(
        cause_of(|| Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned())).await,
        Cause::Timeout
    );

    let (_held, url) = refusing();
    let summary = run(&load(&url, 5, 1000.0)).await;
    assert_eq!(summary.errors.into_iter().collect::<Vec<_>>(), [(Cause::Refused, 5)]);
    // A label of 64 letters is refused by the resolver itself, without a network.
    let summary = run(&load(&format!("http://{}.test", "a".repeat(64)), 2, 1000.0)).await;
    assert_eq!(summary.errors.into_iter().collect::<Vec<_>>(), [(Cause::Dns, 2)]);
}

#[tokio::test]
async fn a_stall_counts_in_the_latency_of_every_request_due_during_it() {
    let server =
        serve(|number, _| if number == 5 { Reply::Late(1000, OK.to_owned()) } else { Reply::Send(OK.to_owned()) })
            .await;
    let summary = run(&load(&server.url, 60, 50.0)).await;
    assert_eq!((summary.sent, summary.unsent, summary.failed()), (60, 0, 0));
    // Due at 100 ms and every 20 ms; answered at 1,100 ms at the earliest.
    let waited = summary.latency.count_between(500_000, summary.latency.high());
    assert!(waited >= 25, "{waited}");
    assert!(summary.max_ms().is_some_and(|longest| longest >= 999.0));
}

#[tokio::test]
async fn requests_that_cannot_start_in_time_are_unsent() {
    let server = serve(|_, _| Reply::Silence).await;
    let load = Load { timeout: Duration::from_millis(200), ..load(&server.url, 25, 50.0) };
    let begin = Instant::now();
    let summary = run(&load).await;
    // The schedule takes 480 ms, and the last requests up to 400 ms more. The limit allows for a slow machine.
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(summary.sent + summary.unsent, 25);
    assert!(summary.sent >= 2 && summary.unsent >= 10, "{summary:?}");
    assert_eq!(summary.errors.into_iter().collect::<Vec<_>>(), [(Cause::Timeout, summary.sent)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_lies_between_its_first_failure_and_the_first_lasting_success() {
    for connections in [1, 4] {
        let dead = 20..50;
        let server =
            serve(
                move |number, _| {
                    if dead.contains(&number) { Reply::Last(String::new()) } else { Reply::Send(OK.to_owned()) }
                },
            )
            .await;
        let summary = run(&Load { connections, ..load(&server.url, 100, 400.0) }).await;
        let (answered, failed) = (summary.codes[&200], summary.errors[&Cause::Reset]);
        assert_eq!(answered + failed, 100, "{summary:?}");
        // The first request on each closed idle connection is sent twice.
        assert_eq!((answered + 30, failed), (server.requests() as u64, 30 + 100 - server.requests() as u64));
        let (first, last) = (summary.first_failure.expect("some failed"), summary.last_failure.expect("some failed"));
        let lasting = summary.lasting_success.expect("it came back");
        assert!(first < last && last < lasting && lasting < summary.duration, "{summary:?}");
        // Due at 50 ms and at 122.5 ms.
        assert!(first >= Duration::from_millis(40) && last >= Duration::from_millis(110), "{summary:?}");
    }
}

#[tokio::test]
async fn a_server_that_starts_to_listen_is_reached_at_once() {
    let (socket, url) = refusing();
    socket.set_nonblocking(true).expect("a socket");
    let (socket, server) = (Mutex::new(Some(socket)), Mutex::new(None));
    let listen = |progress: TrafficProgress| {
        if progress.done >= 10
            && let Some(socket) = socket.lock().expect("no panic").take()
        {
            socket.listen(16).expect("it is bound");
            let listener = TcpListener::from_std(socket.into()).expect("it is a listener");
            *server.lock().expect("no panic") = Some(serve_on(listener, |_, _| Reply::Send(OK.to_owned())));
        }
    };
    let summary = lab_traffic::run(&load(&url, 100, 200.0), &listen, &CancellationToken::new()).await;
    let (refused, answered) = (summary.errors[&Cause::Refused], summary.codes[&200]);
    assert!(refused >= 10 && answered > 0, "{summary:?}");
    assert_eq!(refused + answered, 100);
    assert!(summary.lasting_success > summary.last_failure);
}

#[tokio::test]
async fn a_server_that_closes_after_each_response_gives_no_errors() {
    // With `Connection: close`, which is known at once at any rate.
    let server = serve(|_, _| Reply::Last(OK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"))).await;
    let summary = run(&load(&server.url, 50, 5000.0)).await;
    assert_eq!(summary.codes.into_iter().collect::<Vec<_>>(), [(200, 50)]);
    // Without it, which is noticed while the connection is idle.
    let server = serve(|_, _| Reply::Last(OK.to_owned())).await;
    let summary = run(&load(&server.url, 10, 20.0)).await;
    assert_eq!(summary.codes.into_iter().collect::<Vec<_>>(), [(200, 10)]);
}

#[tokio::test]
async fn an_idempotent_request_on_a_closed_idle_connection_is_sent_again() {
    // Requests 1 and 3 are not answered, on a connection that answered the one before.
    let reply = |number: usize, _: &str| match number {
        1 | 3 => Reply::Last(String::new()),
        _ => Reply::Send(OK.to_owned()),
    };
    let server = serve(reply).await;
    let outcome = run_job(&load(&server.url, 20, 1000.0)).await;
    assert_eq!((outcome.summary.codes[&200], outcome.summary.failed(), outcome.resent), (20, 0, 2));
    assert_eq!(server.requests(), 22);
    // A request with side effects is sent once.
    let server = serve(reply).await;
    let post = Load { method: "POST".to_owned(), ..load(&server.url, 20, 1000.0) };
    let outcome = run_job(&post).await;
    assert_eq!((outcome.summary.codes[&200], outcome.summary.errors[&Cause::Reset], outcome.resent), (18, 2, 0));
    assert_eq!(server.requests(), 20);
}

#[tokio::test]
async fn requests_without_response_on_a_new_connection_or_with_a_partial_one_are_not_sent_again() {
    let server =
        serve(|number, _| if number == 0 { Reply::Send(OK.to_owned()) } else { Reply::Last(String::new()) }).await;
    let outcome = run_job(&load(&server.url, 10, 1000.0)).await;
    // The second request is sent twice, each later request once on a new connection.
    assert_eq!((outcome.summary.errors[&Cause::Reset], outcome.resent, server.requests()), (9, 1, 11));
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let server =
        serve(move |number, _| if number % 2 == 0 { Reply::Send(OK.to_owned()) } else { Reply::Last(half.to_owned()) })
            .await;
    let outcome = run_job(&load(&server.url, 20, 1000.0)).await;
    assert_eq!((outcome.summary.errors[&Cause::Reset], outcome.resent, server.requests()), (10, 0, 20));
}

#[tokio::test]
async fn cancellation_abandons_requests_in_flight_and_counts_them_separately() {
    let cancel = CancellationToken::new();
    let trip = cancel.clone();
    let server = serve(move |number, _| {
        if number < 5 {
            return Reply::Send(OK.to_owned());
        }
        trip.cancel();
        Reply::Silence
    })
    .await;
    let last = AtomicU64::new(0);
    let progress = |progress: TrafficProgress| {
        assert_eq!(progress.planned, 1000);
        last.store(progress.done, Ordering::SeqCst);
    };
    let summary = lab_traffic::run(&load(&server.url, 1000, 200.0), &progress, &cancel).await;
    assert!(summary.interrupted);
    assert_eq!((summary.sent, summary.in_flight, summary.failed(), server.requests()), (5, 1, 0, 6));
    assert_eq!(summary.unsent, 0, "requests that are not due are not counted");
    assert!(summary.duration >= Duration::from_millis(25), "{summary:?}");
    assert_eq!(last.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn cancellation_waits_briefly_for_responses() {
    let cancel = CancellationToken::new();
    let trip = cancel.clone();
    let server = serve(move |_, _| {
        trip.cancel();
        Reply::Send(OK.to_owned())
    })
    .await;
    let summary = lab_traffic::run(&load(&server.url, 1000, 200.0), &|_| {}, &cancel).await;
    assert_eq!((summary.sent, summary.codes[&200], summary.interrupted), (1, 1, true));
}

#[tokio::test]
async fn an_invalid_load_is_not_sent() {
    let load = load("https://127.0.0.1", 7, 20.0);
    let summary = run(&load).await;
    assert_eq!((summary.sent, summary.unsent), (0, 7));
}

#[tokio::test]
async fn open_requests_continue_after_a_halt_and_are_counted_apart() {
    // The first two are answered at once, the next one late, and the last never.
    let server = serve(|number, _| match number {
        0 | 1 => Reply::Send(OK.to_owned()),
        2 => Reply::Late(500, OK.to_owned()),
        _ => Reply::Silence,
    })
    .await;
    let amount = Amount::Duration(Duration::from_mins(1));
    let timeout = Duration::from_secs(4);
    let load = Load { amount, timeout, connections: 4, ..load(&server.url, 0, 20.0) };
    let (control, commands) = lab_traffic::traffic_control();
    let sending =
        tokio::spawn(async move { lab_traffic::run_controlled(&load, commands, &CancellationToken::new()).await });
    while server.requests() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    control.halt();
    let first = control.request_summary().await.expect("traffic continues");
    assert_eq!((first.sent, first.codes[&200], first.failed()), (2, 2, 0), "{first:?}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let second = control.request_summary().await.expect("one is still open");
    assert_eq!((second.sent, second.codes[&200], second.failed()), (1, 1, 0), "{second:?}");
    let rest = sending.await.expect("no panic");
    assert_eq!((rest.sent, rest.errors[&Cause::Timeout], server.requests()), (1, 1, 4), "{rest:?}");
    assert!(rest.first_failure.is_some_and(|at| at >= Duration::from_millis(150)), "{rest:?}");
    assert!(control.request_summary().await.is_err(), "traffic has ended");
}
