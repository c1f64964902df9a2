//! What callers get is counted at the edge: by the gateway of the embedded engine, and by the exporter for nginx.

use std::net::{SocketAddr, UdpSocket};

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::Desk;
use crate::support::{Client, Service, TIMEOUT, exchange, get, lab, mirror, until, upstream};

/// Count of responses with this code on a metrics page.
fn counted(page: SocketAddr, code: u16) -> u64 {
    let text = get(page, "/metrics", &[]).text();
    let name = format!("gateway_requests_total{{code=\"{code}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn the_gateway_counts_callers_and_not_labs_own_requests() {
    let mut gateway = Service::gateway(mirror(), &[("GATEWAY_METRICS_LISTEN", "127.0.0.1:0")]);
    let page = gateway.metrics.expect("it has a metrics page");
    assert_eq!([200, 502, 499].map(|code| counted(page, code)), [0; 3], "its counters start at 0");
    for path in ["/api/users", "/health", "/metrics"] {
        assert_eq!(get(gateway.address, path, &[]).status, 200);
    }
    assert!(get(gateway.address, "/metrics", &[]).text().starts_with("GET /metrics"), "the page is on its own address");
    gateway.send("unroute app:8000");
    gateway.log_until(|log| log.contains("unroute app:8000"));
    assert_eq!(get(gateway.address, "/api/users", &[]).status, 502);
    until(|| counted(page, 502) == 1 && counted(page, 200) == 3);
    // The upstream never answers, and the client gives up.
    let (arrived, arrival) = std::sync::mpsc::channel();
    let silent = upstream(move |mut client| {
        client.head();
        arrived.send(()).expect("the test waits for it");
        client.ended();
    });
    gateway.route(silent);
    let mut client = Client::connect(gateway.address);
    client.get("/api/users", &[]);
    arrival.recv_timeout(TIMEOUT).expect("the request reaches the upstream");
    drop(client);
    until(|| counted(page, 499) == 1);
    assert_eq!(exchange(page, "POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap().status, 405);
    assert_eq!(get(page, "/api/users", &[]).status, 404);
}

#[test]
fn the_exporter_counts_the_access_log_of_nginx() {
    let syslog =
        UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").to_string();
    let start = |listen: &str| Service::spawn(lab().arg("edge").env("EDGE_LISTEN", listen).env("EDGE_SYSLOG", &syslog));
    let mut exporter = start("127.0.0.1:0");
    let page = exporter.address;
    let nginx = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let send = |text: &str| nginx.send_to(text.as_bytes(), &syslog).expect("it is sent");
    send("<190>Nov 30 10:00:00 nginx: status=200 request_time=0.004");
    send("no message of nginx");
    send("<190>Nov 30 10:00:00 nginx: status=502 request_time=0.001");
    until(|| counted(page, 200) == 1 && counted(page, 502) == 1);
    let health = || lab().args(["edge", "--health"]).env("EDGE_LISTEN", page.to_string()).status().expect("lab starts");
    assert_eq!(health().code(), Some(0));
    exporter.signal(Signal::TERM);
    assert_eq!(exporter.wait().code(), Some(0));
    assert_eq!(health().code(), Some(1));
    // A restarted one counts from 0, and nginx need not know.
    let _exporter = start(&page.to_string());
    send("<190>Nov 30 10:00:00 nginx: status=200 request_time=0.004");
    until(|| counted(page, 200) == 1);
    let missing = lab().args(["edge"]).env("EDGE_LISTEN", "x").output().expect("lab starts");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("EDGE_LISTEN is malformed"), "{missing:?}");
}

#[test]
fn the_exporter_probes_the_gateway() {
    let mut gateway = Service::gateway(mirror(), &[]);
    let variables = [("EDGE_LISTEN", "127.0.0.1:0"), ("EDGE_SYSLOG", "127.0.0.1:0")];
    let exporter = Service::spawn(
        lab().arg("edge").envs(variables).env("EDGE_GATEWAY", format!("localhost:{}", gateway.address.port())),
    );
    let up = || {
        let text = get(exporter.address, "/metrics", &[]).text();
        text.lines().find_map(|line| line.strip_prefix("gateway_up ")).map(str::to_owned)
    };
    until(|| up().as_deref() == Some("1"));
    gateway.signal(Signal::STOP);
    until(|| up().as_deref() == Some("0"));
    gateway.signal(Signal::CONT);
    until(|| up().as_deref() == Some("1"));
    gateway.signal(Signal::KILL);
    gateway.wait();
    until(|| up().as_deref() == Some("0"));
    let without = Service::spawn(lab().arg("edge").envs(variables));
    assert!(!get(without.address, "/metrics", &[]).text().contains("gateway_up"));
}

/// What the dashboard says now.
fn data(desk: &Desk) -> Value {
    let address = desk.status()["dashboard"].as_str().expect("it has a dashboard").to_owned();
    let address: SocketAddr = address.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
    let request = format!("GET /data HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    serde_json::from_slice(&exchange(address, request).expect("a response").body).expect("JSON")
}

#[test]
fn the_dashboard_does_not_call_a_lab_healthy_whose_callers_fail() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let traffic = || desk.lab(&["traffic", "--requests", "20", "--rate", "40"]);
    let headline = || data(&desk)["now"]["headline"]["text"].as_str().unwrap_or_default().to_owned();
    until(|| {
        traffic();
        headline() == "Requests are answered."
    });
    desk.lab(&["stop", "app"]).status(0);
    until(|| {
        traffic();
        headline().contains("a 502, the gateway does not reach the app")
    });
    let hops = data(&desk)["now"]["hops"].clone();
    let levels: Vec<&str> = hops.as_array().expect("a list").iter().filter_map(|hop| hop["level"].as_str()).collect();
    assert_eq!(levels[..2], ["bad", "bad"], "{hops}");
    let points = data(&desk)["points"].clone();
    let failed = |point: &Value| point["edge"]["codes"]["502"].as_f64().is_some_and(|rate| rate > 0.0);
    assert!(points.as_array().expect("a list").iter().any(failed), "{points}");
    desk.lab(&["stop", "gateway"]).status(0);
    until(|| headline() == "The gateway is stopped: callers get no response.");
}

/// Names of the alerts that fire, from the dashboard.
fn firing(desk: &Desk) -> Vec<String> {
    let alerts = data(desk)["alerts"].clone();
    let alerts = alerts.as_array().into_iter().flatten();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    firing.filter_map(|alert| alert["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_gateway_that_is_down_fires_an_alert_of_its_own() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    until(|| data(&desk)["points"].as_array().is_some_and(|points| points.len() > 3));
    desk.lab(&["kill", "gateway"]).status(0);
    until(|| firing(&desk) == ["GatewayDown"]);
    desk.lab(&["start", "gateway"]).status(0);
    until(|| firing(&desk).is_empty());
}

/// Takes half a minute: the rules look back over 30 s, and stay pending for 10 s.
#[test]
fn an_app_that_is_down_fires_an_alert_for_its_callers() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let traffic = desk.start(&["traffic", "--rate", "20", "--duration", "120s"]);
    until(|| data(&desk)["now"]["headline"]["text"] == "Requests are answered.");
    assert_eq!(firing(&desk), Vec::<String>::new());
    desk.lab(&["stop", "app"]).status(0);
    let begun = std::time::Instant::now();
    while !firing(&desk).contains(&"GatewayErrorRatioHigh".to_owned()) {
        assert!(begun.elapsed() < 4 * TIMEOUT, "it does not fire");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(!firing(&desk).contains(&"GatewayRejectionRatioHigh".to_owned()));
    traffic.signal(Signal::INT);
    traffic.wait();
}
