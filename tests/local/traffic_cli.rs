//! `lab traffic` on the command line: validation, output and exit codes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::desk::Desk;
use crate::support::{OK, until, upstream};

/// Starts a server that answers 200. Returns its address and its number of requests.
pub(crate) fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = upstream(move |mut client| {
        while client.head().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            client.send(OK);
        }
    });
    (address, seen)
}

#[test]
fn invalid_arguments_are_refused_with_a_reason() {
    let desk = Desk::new();
    let url = |url: &'static str| vec!["--url", url];
    let with = |more: &[&'static str]| [&["--url", "http://127.0.0.1:1/"], more].concat();
    let cases = [
        (url("http://"), "empty host"),
        (url("https://127.0.0.1/"), "https is not supported"),
        (url("127.0.0.1:80"), "it must start with http://"),
        (url("/api/users"), "it must start with http://"),
        (with(&["--rate", "0"]), "a number above 0"),
        (with(&["--rate=-5"]), "a number above 0"),
        (with(&["--rate", "1e99"]), "at most 1000000"),
        (with(&["--duration", "0s"]), "at least one request"),
        (with(&["--duration", "900000m"]), "at most 30 days"),
        (with(&["--requests", "0"]), "a whole number from 1"),
        (with(&["--connections", "0"]), "a whole number from 1"),
        (with(&["--timeout", "0s"]), "more than 0"),
        (with(&["--stage", "10s"]), "expected a time and a rate"),
        (with(&["--connections", "2", "--poisson"]), "--poisson requires --rate"),
        (with(&["--key", "a", "--key", "b=100%"]), "the shares must add up"),
        (with(&["--key", "a", "--key", "b=0.001%"]), "b's share of 0.001% cannot be kept"),
        (with(&["--key", "a", "--key", "b", "--key", "c=99.99%"]), "a's share of 0.005% cannot be kept"),
        (with(&["--header", "Content-Length: 5"]), "lab sets this header itself"),
        (with(&["--expect", "banana: 1"]), "expected one of status.200"),
        (with(&["--csv", "/no/such/folder/x.csv"]), "cannot write /no/such/folder/x.csv"),
        (with(&["--json", "--csv", "-"]), "both write to standard output"),
        (with(&["--body", "@/no/such/file"]), "--body: cannot read /no/such/file"),
        (with(&["--body", "@/dev/zero"]), "cannot read /dev/zero: it is a device; expected a file"),
        (with(&["--targets", "/no/such/file"]), "cannot read /no/such/file"),
    ];
    for (args, why) in cases {
        desk.lab(&[&["traffic"], args.as_slice()].concat()).status(2).complains(why);
    }
}

#[test]
fn more_connections_than_descriptors_are_refused_before_anything_is_sent() {
    let desk = Desk::new();
    let mut shell = std::process::Command::new("sh");
    let command = "ulimit -n 100; exec \"$0\" traffic --url http://127.0.0.1:1/ --connections 200";
    shell.args(["-c", command, env!("CARGO_BIN_EXE_lab")]).current_dir(desk.path());
    let result = Desk::run(&["traffic"], shell).status(2);
    result.complains("200 need more open files than this process may have").complains("at most 36");
}

#[test]
fn a_mix_of_keys_is_shown_by_caller() {
    let desk = Desk::new();
    let address = upstream(|mut client| {
        while let Some(head) = client.head() {
            let old = head.contains("X-API-Key: old\r\n");
            client.send(if old { OK.to_owned() } else { OK.replace("200 OK", "401 No") });
        }
    });
    let url = format!("http://{address}/");
    let args = ["traffic", "--url", &url, "--key", "old", "--key", "new=20%", "--requests", "20", "--rate", "500"];
    let result = desk.lab(&args).status(0).says("caller").says("200: 16").says("401: 4");
    assert!(result.stdout.contains("<= "), "a histogram: {}", result.stdout);
    let json = desk.lab(&[&args as &[_], &["--json"]].concat()).status(0).json();
    assert_eq!(
        (json["callers"][1]["name"].as_str(), json["callers"][1]["codes"]["401"].as_u64()),
        (Some("new"), Some(4))
    );
}

#[test]
fn expectations_set_the_exit_code() {
    let desk = Desk::new();
    let (address, _) = server();
    let url = format!("http://{address}/");
    let run = |expects: &[&'static str]| {
        let mut args = vec!["traffic", "--url", &url, "--requests", "5", "--rate", "500"];
        for expect in expects {
            args.extend(["--expect", expect]);
        }
        desk.lab(&args)
    };
    run(&["status.200: \">= 99.9%\"", "latency.p99: \"< 3s\""]).status(0).says("passed");
    run(&["status.200: 100%", "failed: \">= 1\""]).status(1).says("failed");
    let refused = ["traffic", "--url", "http://127.0.0.1:1/", "--requests", "2", "--rate", "100"];
    desk.lab(&refused).status(3).says("refused");
    desk.lab(&[&refused as &[_], &["--expect", "failed: 100%"]].concat()).status(0);
}

#[test]
fn the_closed_model_needs_no_rate() {
    let desk = Desk::new();
    let (address, seen) = server();
    let url = format!("http://{address}/");
    let result = desk.lab(&["traffic", "--url", &url, "--connections", "2", "--requests", "300", "--json"]).status(0);
    let json = result.json();
    assert_eq!((json["model"].as_str(), json["sent"].as_u64()), (Some("closed"), Some(300)));
    assert!(json["wanted_rate"].is_null() && json["start_delay_ms"].is_null());
    assert_eq!(seen.load(Ordering::SeqCst), 300);
}

#[test]
fn a_file_of_requests_is_sent_in_turn() {
    let desk = Desk::new();
    let (address, seen) = server();
    let targets = desk.write("targets", &format!("GET /a\nAccept: */*\n\nPOST http://{address}/b\n@body\n"));
    desk.write("body", "{}");
    let url = format!("http://{address}/ignored");
    let args = ["traffic", "--targets", &targets, "--url", &url, "--requests", "6", "--rate", "500", "--json"];
    let json = desk.lab(&args).status(0).json();
    assert_eq!(
        (json["targets"].as_u64(), json["url"].as_str()),
        (Some(2), Some(format!("http://{address}/a").as_str()))
    );
    assert_eq!(seen.load(Ordering::SeqCst), 6);
    let wrong = desk.write("wrong", "GET /a\nnonsense\n");
    desk.lab(&["traffic", "--targets", &wrong]).status(2).complains("wrong:2: expected");
}

#[test]
fn the_time_series_goes_to_a_file_or_to_standard_output() {
    let desk = Desk::new();
    let (address, _) = server();
    let url = format!("http://{address}/");
    let file = desk.path().join("series.csv").display().to_string();
    let args = ["traffic", "--url", &url, "--requests", "5", "--rate", "500", "--csv"];
    desk.lab(&[&args as &[_], &[file.as_str()]].concat()).status(0).says("5 requests");
    let rows = std::fs::read_to_string(&file).expect("it was written");
    let sent: u64 = rows
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(2).expect("a column").parse::<u64>().expect("a number"))
        .sum();
    assert!(rows.starts_with("start,length,sent,") && sent == 5, "{rows}");
    let result = desk.lab(&[&args as &[_], &["-"]].concat()).status(0).says("start,length,sent,");
    assert!(!result.stdout.contains("5 requests"), "{}", result.stdout);
}

#[test]
fn ctrl_c_shows_the_results_so_far() {
    let desk = Desk::new();
    let (address, seen) = server();
    let url = format!("http://{address}/");
    for more in [["--rate", "100"], ["--connections", "2"]] {
        seen.store(0, Ordering::SeqCst);
        let running = desk.start(&[&["traffic", "--url", &url, "--duration", "60s"], more.as_slice()].concat());
        until(|| seen.load(Ordering::SeqCst) >= 5);
        running.signal(Signal::INT);
        running.wait().status(130).says("(interrupted)").says("200");
    }
}

#[test]
fn ctrl_c_with_a_hanging_server_counts_due_requests_and_requests_in_flight() {
    let desk = Desk::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = upstream(move |mut client| {
        while client.head().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let url = format!("http://{address}/");
    let interrupt = |more: &[&str]| {
        seen.store(0, Ordering::SeqCst);
        let args = ["traffic", "--url", &url, "--duration", "60s", "--connections", "2"];
        let running = desk.start(&[&args, more].concat());
        until(|| seen.load(Ordering::SeqCst) == 2);
        std::thread::sleep(std::time::Duration::from_millis(500));
        running.signal(Signal::INT);
        running.wait().status(130)
    };
    for rate in [&["--rate", "100"] as &[_], &[]] {
        let result = interrupt(rate).says("0 requests in ").says("(interrupted)").says("2 in flight");
        assert!(!result.stdout.contains("none failed") && !result.stdout.contains(" in 0.0s"), "{}", result.stdout);
        assert_eq!(result.stdout.contains("more could not be sent in time"), !rate.is_empty(), "{}", result.stdout);
        let json = interrupt(&[rate, &["--json"]].concat()).json();
        let number = |name: &str| json[name].as_f64().expect("a number");
        let lasted = number("duration");
        assert!((0.5..10.0).contains(&lasted), "{json}");
        assert_eq!((number("sent"), number("failed"), number("in_flight")), (0.0, 0.0, 2.0));
        let due = if rate.is_empty() { 2.0 } else { lasted * 100.0 };
        assert!((number("unsent") + 2.0 - due).abs() <= 1.0, "{json}");
    }
}

#[test]
fn two_results_are_compared() {
    let desk = Desk::new();
    let (address, _) = server();
    let url = format!("http://{address}/");
    let result = |name, rate| {
        let result = desk.lab(&["traffic", "--url", &url, "--requests", "5", "--rate", rate, "--json"]).status(0);
        desk.write(name, &result.stdout)
    };
    let (a, b) = (result("a.json", "500"), result("b.json", "1000"));
    let ran = desk.lab(&["traffic", "compare", &a, &b]).status(0);
    ran.says("a.json").says("p99.99").says("the requested rate differs: 500 and 1000");
    let json = desk.lab(&["traffic", "compare", &a, &b, "--json"]).status(0).json();
    assert_eq!((&json["before"], &json["after"]), (&"a.json".into(), &"b.json".into()), "{json}");
    assert_eq!(json["differences"][0], "the requested rate differs: 500 and 1000");
    let ok = json["values"].as_array().expect("a list").iter().find(|value| value["name"] == "200").expect("a row");
    assert_eq!((&ok["before"], &ok["change"], &ok["rating"]), (&100.into(), &0.into(), &"unchanged".into()), "{json}");
    let wrong = desk.write("wrong.json", "{}");
    desk.lab(&["traffic", "compare", &a, &wrong]).status(2).complains("is not a result of `lab traffic --json`");
    desk.lab(&["traffic", "compare", &a, "missing.json"]).status(2).complains("cannot read missing.json");
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_error() {
    let desk = Desk::new();
    // A label of 64 letters is refused by the resolver itself, without a network.
    let url = format!("http://{}.test/", "a".repeat(64));
    desk.lab(&["traffic", "--url", &url, "--requests", "2", "--rate", "100"]).status(3).says("no answer: dns");
}
