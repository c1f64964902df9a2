//! Traffic jobs: both models, callers, warm-up, and faulty servers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab_traffic::{
    Amount, Arrivals, Caller, Cause, Job, Load, Outcome, Pace, RequestSpec, Retry, Stage, Update, run_job,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http_server::{OK, Reply, refusing, serve, serve_on};

const SECOND: Duration = Duration::from_secs(1);

/// Requests on two connections, without retries.
pub(crate) fn load(url: &str, requests: u64) -> Load {
    Load {
        url: format!("{url}/"),
        method: "GET".to_owned(),
        headers: Vec::new(),
        amount: Amount::Requests(requests),
        rate: 100.0,
        connections: 2,
        timeout: 10 * SECOND,
        retry: Retry::default(),
    }
}

/// Closed-loop job on two connections.
fn job(url: &str, requests: u64) -> Job {
    Job { pace: Pace::Closed, ..Job::from(&load(url, requests)) }
}

fn open(rate: f64) -> Pace {
    Pace::Open { stages: vec![Stage::steady(rate)], arrivals: Arrivals::Even }
}

pub(crate) async fn run(job: &Job) -> Outcome {
    let outcome = run_job(job, &|_| {}, &CancellationToken::new()).await.expect("a valid job");
    let summary = &outcome.summary;
    assert_eq!(summary.sent, summary.codes.values().chain(summary.errors.values()).sum::<u64>(), "{summary:?}");
    assert_eq!(summary.sent, outcome.callers.iter().map(|caller| caller.sent).sum::<u64>());
    assert_eq!(summary.latency.len(), outcome.by_code.values().map(hdrhistogram::Histogram::len).sum::<u64>());
    assert!(!summary.interrupted);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_closed_model_sends_as_fast_as_responses_arrive() {
    let server = serve(|_, _| Reply::Send(OK.to_owned())).await;
    let outcome = run(&job(&server.url, 500)).await;
    assert_eq!((outcome.summary.sent, outcome.summary.codes[&200], server.requests()), (500, 500, 500));
    assert!(outcome.delay.is_empty() && outcome.received == 500 * OK.len() as u64);
    let timed = Job { amount: Amount::Duration(Duration::from_millis(200)), ..job(&server.url, 0) };
    let outcome = run(&timed).await;
    assert!(outcome.summary.sent > 2 && outcome.summary.failed() == 0);
    assert!(outcome.summary.duration >= Duration::from_millis(150), "{:?}", outcome.summary);
}

#[tokio::test]
async fn a_response_before_the_body_was_read_counts() {
    // The server closes without reading the body, so that the connection is reset while the response can be read.
    let refusal = "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let server = crate::support::upstream(move |mut client| {
        client.head();
        client.send(refusal);
    });
    for keepalive in [true, false] {
        let mut job = Job { keepalive, connections: 4, ..job(&format!("http://{server}"), 100) };
        "POST".clone_into(&mut job.requests[0].method);
        job.requests[0].body = vec![b'x'; 2 << 20];
        let outcome = run(&job).await;
        assert_eq!(outcome.summary.codes.get(&413), Some(&100), "{:?}", outcome.summary);
    }
}

#[tokio::test]
async fn folded_headers_are_accepted() {
    let folded = "HTTP/1.1 200 OK\r\nx-folded: one\r\n two\r\ncontent-length:\r\n 2\r\n\r\nok";
    let server = serve(move |_, _| Reply::Send(folded.to_owned())).await;
    let outcome = run(&job(&server.url, 10)).await;
    assert_eq!((outcome.summary.codes[&200], outcome.summary.failed()), (10, 0));
}

#[tokio::test]
async fn callers_have_separate_shares_and_counts() {
    let keys = Arc::new(Mutex::new(HashMap::<String, u64>::new()));
    let seen = Arc::clone(&keys);
    let server = serve(move |_, head| {
        let key = head.lines().find_map(|line| line.strip_prefix("X-API-Key: ")).expect("a key").to_owned();
        let reply = if key == "new" { OK.replace("200 OK", "401 No") } else { OK.to_owned() };
        *seen.lock().expect("no panic").entry(key).or_default() += 1;
        Reply::Send(reply)
    })
    .await;
    let caller = |name: &str, share| Caller::new(name, vec![("X-API-Key".to_owned(), name.to_owned())], share);
    let callers = vec![caller("old", 0.8), caller("new", 0.2)];
    let outcome = run(&Job { callers, pace: open(1000.0), ..job(&server.url, 100) }).await;
    assert_eq!(*keys.lock().expect("no panic"), HashMap::from([("old".to_owned(), 80), ("new".to_owned(), 20)]));
    let [old, new] = outcome.callers.as_slice() else { panic!("two callers") };
    assert_eq!((old.sent, old.codes[&200], new.sent, new.codes[&401]), (80, 80, 20, 20));
    assert_eq!((outcome.by_code[&200].len(), outcome.by_code[&401].len()), (80, 20));
}

#[tokio::test]
async fn several_requests_go_to_several_servers_in_turn() {
    let (one, other) = (serve(|_, _| Reply::Send(OK.to_owned())).await, serve(|_, _| Reply::Send(OK.to_owned())).await);
    let body = vec![b'x'; 300_000];
    let request = |url: &str, body: Vec<u8>| RequestSpec {
        url: format!("{url}/"),
        method: "POST".to_owned(),
        headers: Vec::new(),
        body,
    };
    let requests = vec![request(&one.url, body), request(&other.url, Vec::new())];
    let outcome = run(&Job { requests, ..job(&one.url, 10) }).await;
    assert_eq!((outcome.summary.codes[&200], one.requests(), other.requests()), (10, 5, 5));
}

#[tokio::test]
async fn a_warm_up_is_sent_and_not_counted() {
    // The first requests fail, as on a cold server.
    let reply = |number, _: &str| Reply::Send(if number < 20 { OK.replace("200 OK", "503 No") } else { OK.to_owned() });
    let server = serve(reply).await;
    let warmup = Duration::from_millis(200);
    let outcome = run(&Job { warmup, pace: open(100.0), ..job(&server.url, 10) }).await;
    assert_eq!((server.requests(), outcome.summary.sent, outcome.summary.failed()), (30, 10, 0));
    assert!(outcome.summary.duration < SECOND, "from the end of the warm-up: {:?}", outcome.summary);
    let closed = run(&Job { warmup, ..job(&server.url, 10) }).await;
    assert_eq!(closed.summary.sent, 10);
}

#[tokio::test]
async fn a_ramp_sends_the_integral_of_its_rate() {
    let server = serve(|_, _| Reply::Send(OK.to_owned())).await;
    let stages = vec![
        Stage { length: Duration::from_millis(200), from: 0.0, to: 200.0 },
        Stage { length: Duration::from_millis(100), from: 300.0, to: 300.0 },
    ];
    let pace = Pace::Open { stages, arrivals: Arrivals::Even };
    let outcome = run(&Job { pace, amount: Amount::Duration(Duration::from_millis(300)), ..job(&server.url, 0) }).await;
    assert_eq!(outcome.summary.sent, 50);
    assert_eq!(outcome.delay.len(), 50);
}

#[tokio::test]
async fn intervals_add_up_to_the_total() {
    let server = serve(|_, _| Reply::Send(OK.to_owned())).await;
    let intervals = Mutex::new(Vec::new());
    let update = |update: Update<'_>| {
        if let Update::Interval(interval) = update {
            intervals.lock().expect("no panic").push(interval.clone());
        }
    };
    let job = Job { pace: open(50.0), ..job(&server.url, 60) };
    let outcome = run_job(&job, &update, &CancellationToken::new()).await.expect("valid");
    let intervals = intervals.into_inner().expect("no panic");
    assert!(intervals.len() >= 2, "1.2 s are more than one interval");
    assert_eq!(intervals.iter().map(|interval| interval.sent).sum::<u64>(), 60);
    assert_eq!(outcome.summary.sent, 60);
    for pair in intervals.windows(2) {
        assert_eq!(pair[0].start + pair[0].length, pair[1].start);
        assert_eq!(pair[0].length.subsec_nanos(), 0, "rows do not drift");
    }
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_own_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut head = [0; 1024];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    assert!(String::from_utf8_lossy(&head).contains("Connection: close\r\n"));
                    let _ = stream.write_all(OK.as_bytes()).await;
                }
            });
        }
    });
    let outcome = run(&Job { keepalive: false, ..job(&url, 20) }).await;
    assert_eq!((outcome.summary.codes[&200], accepted.load(Ordering::SeqCst)), (20, 20));
}

#[tokio::test]
async fn the_closed_model_pauses_after_a_refused_connection() {
    let (_held, url) = refusing();
    let job = Job { amount: Amount::Duration(Duration::from_millis(500)), ..job(&url, 0) };
    let outcome = run(&job).await;
    // Two connections, every 50 ms: 22 at the most.
    let refused = outcome.summary.errors[&Cause::Refused];
    assert!((2..=24).contains(&refused), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_reached_again() {
    let server = serve(|_, _| Reply::Send(OK.to_owned())).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let url = server.url.clone();
    let (server, back) = (Mutex::new(Some(server)), Mutex::new(None));
    let failures = AtomicUsize::new(0);
    let update = |update: Update<'_>| {
        let Update::Interval(interval) = update else { return };
        // Dropping the server closes its listener. No connections are left, since each ends after a response.
        if server.lock().expect("no panic").take().is_some() {
            return;
        }
        if interval.errors.contains_key(&Cause::Refused) && failures.fetch_add(1, Ordering::SeqCst) == 0 {
            let listener = std::net::TcpListener::bind(&address).expect("it is free again");
            listener.set_nonblocking(true).expect("a socket");
            let listener = TcpListener::from_std(listener).expect("a listener");
            *back.lock().expect("no panic") = Some(serve_on(listener, |_, _| Reply::Send(OK.to_owned())));
        }
    };
    let amount = Amount::Duration(4 * SECOND);
    let job = Job { keepalive: false, pace: open(20.0), amount, ..job(&url, 0) };
    let outcome = run_job(&job, &update, &CancellationToken::new()).await.expect("valid");
    let summary = &outcome.summary;
    assert!(summary.errors[&Cause::Refused] > 0, "{summary:?}");
    assert!(summary.lasting_success > summary.last_failure, "{summary:?}");
    assert_eq!(summary.sent, 80);
}

/// Result of requests to a server with this fixed response.
async fn result_of(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<u16, Cause> {
    let server = serve(move |_, _| reply()).await;
    let outcome = run(&Job { timeout: SECOND, ..job(&server.url, 4) }).await;
    let (codes, errors) = (outcome.summary.codes, outcome.summary.errors);
    assert_eq!(codes.len() + errors.len(), 1, "{codes:?} {errors:?}");
    codes.keys().next().copied().ok_or_else(|| *errors.keys().next().expect("there is one"))
}

#[tokio::test]
async fn failures_of_a_server_are_reported_exactly() {
    let endless = || Reply::Send(format!("HTTP/1.1 200 OK\r\nx-endless: {}", "a".repeat(100_000)));
    assert_eq!(result_of(endless).await, Err(Cause::Protocol));
    let garbage = || Reply::Send("\u{0}\u{1}\u{2} nothing of use \r\n\r\n".to_owned());
    assert_eq!(result_of(garbage).await, Err(Cause::Protocol));
    let cut = || Reply::Last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal".to_owned());
    assert_eq!(result_of(cut).await, Err(Cause::Reset));
    let half = || Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned());
    assert_eq!(result_of(half).await, Err(Cause::Reset));
    assert_eq!(result_of(|| Reply::Silence).await, Err(Cause::Timeout));
    let slow = || Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned());
    assert_eq!(result_of(slow).await, Err(Cause::Timeout));
    let interim = || Reply::Send(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"));
    assert_eq!(result_of(interim).await, Ok(200));
    let only_interim = || Reply::Send("HTTP/1.1 100 Continue\r\n\r\n".to_owned());
    assert_eq!(result_of(only_interim).await, Err(Cause::Timeout));
    let until_close = || Reply::Last("HTTP/1.1 200 OK\r\n\r\nuntil the end".to_owned());
    assert_eq!(result_of(until_close).await, Ok(200));
    let twice = || Reply::Send(format!("{OK}{OK}"));
    assert_eq!(result_of(twice).await, Ok(200));
}

#[tokio::test]
async fn a_connect_timeout_has_its_own_cause() {
    // With a full queue the kernel drops further connections, like a firewall.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("it is bound");
    let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
    let filler: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, SECOND / 5)).collect();
    assert!(filler.iter().any(Result::is_err), "the queue is full");
    let job = Job { connect_timeout: SECOND / 5, timeout: 5 * SECOND, ..job(&format!("http://{address}"), 2) };
    let outcome = run(&job).await;
    assert_eq!(outcome.summary.errors.into_iter().collect::<Vec<_>>(), [(Cause::Connect, 2)]);
}

#[tokio::test]
async fn an_ipv6_address_is_reached() {
    let listener = TcpListener::bind("[::1]:0").await.expect("this machine has IPv6 on its loopback");
    let server = serve_on(listener, |_, head| {
        Reply::Send(if head.contains("Host: [::1]:") { OK.to_owned() } else { OK.replace("200 OK", "400 No") })
    });
    let outcome = run(&job(&server.url, 4)).await;
    assert_eq!(outcome.summary.codes.into_iter().collect::<Vec<_>>(), [(200, 4)]);
}

#[tokio::test]
async fn requests_that_a_cancelled_job_did_not_start_are_unsent_by_caller_and_by_interval() {
    let server = serve(|_, _| Reply::Silence).await;
    let cancel = CancellationToken::new();
    let trip = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        trip.cancel();
    });
    let in_intervals = AtomicUsize::new(0);
    let update = |update: Update<'_>| {
        if let Update::Interval(interval) = update {
            in_intervals.fetch_add(usize::try_from(interval.unsent).expect("few"), Ordering::SeqCst);
        }
    };
    let caller = |name: &str, share| Caller::new(name, Vec::new(), share);
    let callers = vec![caller("a", 0.75), caller("b", 0.25)];
    // Two requests of the warm-up hold the connections.
    let warmup = Duration::from_millis(100);
    let job = Job { callers, warmup, pace: open(200.0), amount: Amount::Duration(600 * SECOND), ..job(&server.url, 0) };
    let outcome = run_job(&job, &update, &cancel).await.expect("valid");
    let summary = &outcome.summary;
    assert!(summary.interrupted && summary.sent == 0 && summary.in_flight == 0, "{summary:?}");
    assert!(summary.duration >= Duration::from_millis(400), "{summary:?}");
    let due = summary.duration.as_secs_f64() * 200.0;
    let unsent = u32::try_from(summary.unsent).expect("few");
    assert!((f64::from(unsent) - due).abs() <= 1.0, "{summary:?}");
    assert_eq!(in_intervals.load(Ordering::SeqCst), unsent as usize);
    let by_caller: Vec<_> = outcome.callers.iter().map(|caller| caller.unsent).collect();
    assert_eq!(by_caller.iter().sum::<u64>(), summary.unsent);
    assert!(by_caller[0].abs_diff(by_caller[1] * 3) <= 4, "{by_caller:?}");
}

#[tokio::test]
async fn a_cancelled_closed_job_keeps_its_results() {
    let cancel = CancellationToken::new();
    let trip = cancel.clone();
    let server = serve(move |number, _| {
        if number == 50 {
            trip.cancel();
        }
        Reply::Send(OK.to_owned())
    })
    .await;
    let job = Job { amount: Amount::Duration(600 * SECOND), ..job(&server.url, 0) };
    let outcome = run_job(&job, &|_| {}, &cancel).await.expect("valid");
    assert!(outcome.summary.interrupted && outcome.summary.codes[&200] >= 50, "{:?}", outcome.summary);
}
