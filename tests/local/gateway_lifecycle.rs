//! Lifecycle of a gateway: routes, redeployments of the app, start and shutdown.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rustix::process::Signal;

use crate::support::{Client, OK, Service, TIMEOUT, get, lab, mirror, until, upstream};

#[test]
fn connections_to_the_upstream_are_reused_and_closed_with_their_route() {
    let serve = |count: Arc<AtomicUsize>| {
        upstream(move |mut client| {
            count.fetch_add(1, Ordering::SeqCst);
            while client.head().is_some() {
                client.send(OK);
            }
            count.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let (first, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut gateway = Service::gateway(serve(Arc::clone(&first)), &[]);
    for _ in 0..10 {
        assert_eq!(get(gateway.address, "/", &[]).status, 200);
    }
    assert_eq!(first.load(Ordering::SeqCst), 1);
    gateway.route(serve(Arc::clone(&second)));
    until(|| first.load(Ordering::SeqCst) == 0);
    assert_eq!(get(gateway.address, "/", &[]).status, 200);
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (0, 1));

    gateway.send("route elsewhere:8000 127.0.0.1:1");
    gateway.send("what is this");
    gateway.send("route app:8000 nowhere");
    gateway.log_until(|log| log.matches("ignored: ").count() == 3);
    assert_eq!(get(gateway.address, "/", &[]).status, 200);
    gateway.send("unroute app:8000");
    until(|| second.load(Ordering::SeqCst) == 0);
    assert_eq!(get(gateway.address, "/", &[]).status, 502);
    gateway.log_until(|log| log.contains(r#""error":"cannot connect to app:8000: nothing listens there""#));
}

/// Sends requests without pause, reconnecting when the connection is closed. Returns their number and the failures.
fn traffic(address: SocketAddr, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut sent, mut failed) = (0, Vec::new());
    let mut client = Client::connect(address);
    while !stop.load(Ordering::SeqCst) {
        client.get("/api/users", &[("X-API-Key", "apikey-v1")]);
        sent += 1;
        match client.response() {
            Some(answer) if answer.status == 200 && !answer.broken => {}
            other => {
                failed.push(format!("{other:?}"));
                client = Client::connect(address);
            }
        }
    }
    (sent, failed)
}

#[test]
fn no_request_is_lost_while_the_app_is_redeployed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut app = Service::app(folder.path(), "i0");
    let mut gateway = Service::gateway(app.address, &[("GATEWAY_READ_TIMEOUT", "20s")]);
    let (address, stop) = (gateway.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| traffic(address, &stop))).collect();
        for number in 1..=5 {
            let instance = format!("i{number}");
            let next = Service::app(folder.path(), &instance);
            gateway.route(next.address);
            until(|| get(address, "/health", &[]).text().contains(&instance));
            app.signal(Signal::TERM);
            assert_eq!(app.wait().code(), Some(0));
            app = next;
        }
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            let (sent, failed) = caller.join().expect("it does not panic");
            assert!(sent > 0 && failed.is_empty(), "{} of {sent} failed: {:?}", failed.len(), failed.first());
        }
    });
}

#[test]
fn a_second_gateway_can_take_over_the_port() {
    let upstream = mirror();
    let mut old = Service::gateway(upstream, &[("GATEWAY_REUSE_PORT", "on"), ("GATEWAY_INSTANCE", "old")]);
    let listen = old.address.to_string();
    let env = [("GATEWAY_LISTEN", listen.as_str()), ("GATEWAY_REUSE_PORT", "on"), ("GATEWAY_INSTANCE", "new")];
    let mut kept = Client::connect(old.address);
    kept.get("/", &[]);
    assert_eq!(kept.response().expect("a response").status, 200);
    // Suspended, so that connections are in its backlog when the signal arrives.
    old.signal(Signal::STOP);
    let mut waiting: Vec<_> = (0..4).map(|_| Client::connect(old.address)).collect();
    for client in &mut waiting {
        client.get("/", &[]);
    }
    kept.get("/", &[]);
    let mut new = Service::start("gateway", &env);
    new.route(upstream);
    old.signal(Signal::TERM);
    old.signal(Signal::CONT);
    for mut client in waiting.into_iter().chain([kept]) {
        assert_eq!(client.response().expect("a response").status, 200);
    }
    assert_eq!(old.wait().code(), Some(0));
    for _ in 0..8 {
        assert_eq!(get(new.address, "/", &[]).status, 200);
    }
    new.log_until(|log| log.matches(r#""instance":"new""#).count() == 8);
}

#[test]
fn the_port_is_exclusive_by_default() {
    let gateway = Service::gateway(mirror(), &[]);
    let listen = gateway.address.to_string();
    let mut command = lab();
    let output = crate::command::output(command.arg("gateway").env("GATEWAY_LISTEN", &listen).stdin(Stdio::null()));
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3));
    assert!(error.starts_with(&format!("error: the gateway cannot listen on {listen}: ")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn sigterm_and_the_end_of_standard_input_shut_the_gateway_down() {
    let (arrived, arrival) = mpsc::channel();
    let (respond, permission) = mpsc::channel::<()>();
    let (arrived, permission) = (std::sync::Mutex::new(arrived), std::sync::Mutex::new(permission));
    let upstream = upstream(move |mut client| {
        client.head();
        arrived.lock().unwrap().send(()).unwrap();
        if permission.lock().unwrap().recv_timeout(TIMEOUT).is_ok() {
            client.send(OK);
        }
    });
    let mut gateway = Service::gateway(upstream, &[("GATEWAY_READ_TIMEOUT", "1m")]);
    let mut client = Client::connect(gateway.address);
    client.get("/", &[]);
    arrival.recv_timeout(TIMEOUT).expect("it arrives");
    gateway.signal(Signal::TERM);
    until(|| std::net::TcpStream::connect(gateway.address).is_err());
    respond.send(()).unwrap();
    let answer = client.response().expect("a response");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(gateway.wait().code(), Some(0));

    let mut gateway = Service::gateway(mirror(), &[]);
    gateway.close_stdin();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn configuration_errors_are_one_line_and_exit_2() {
    let bad = [
        ("GATEWAY_LISTEN", ""),
        ("GATEWAY_LISTEN", "sesame"),
        ("GATEWAY_UPSTREAM", "sesame"),
        ("GATEWAY_CONNECT_TIMEOUT", "sesame"),
        ("GATEWAY_READ_TIMEOUT", "0s"),
        ("GATEWAY_MAX_BODY", "sesame"),
        ("GATEWAY_FORWARD_API_KEY", "sesame"),
        ("GATEWAY_REUSE_PORT", "sesame"),
        ("GATEWAY_INSTANCE", "open sesame"),
    ];
    for (name, value) in bad {
        let mut command = lab();
        command.arg("gateway").env("GATEWAY_LISTEN", "127.0.0.1:0").env(name, value).stdin(Stdio::null());
        let output = crate::command::output(&mut command);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {error}");
        let problem = if value.is_empty() { "is not set" } else { "is malformed" };
        assert!(error.starts_with(&format!("error: {name} {problem}: expected ")), "{error}");
        assert!(error.lines().count() == 1 && !error.contains("sesame") && output.stdout.is_empty(), "{error}");
    }
}
