//! Output of `lab traffic` during the run: on a terminal, in a pipe, and if the CSV rows cannot be written.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Command;

use crate::desk::Desk;
use crate::pty::Pty;
use crate::traffic_cli::server;

/// Progress shown by the bar for this number of requests, or none if it is hidden.
fn done(screen: &str, planned: &str) -> Option<u64> {
    let before = screen.split_once(&format!(" of {planned}"))?.0;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_bar_of_a_rate_shows_requests_and_never_goes_back() {
    let desk = Desk::new();
    let url = format!("http://{}/", server().0);
    let args = ["traffic", "--url", &url, "--rate", "50", "--duration", "3s"];
    for columns in [80, 120] {
        let mut pty = Pty::start(&desk.command(&args), columns, 24);
        let last = Cell::new(0);
        pty.until("the result", |screen| {
            assert!(!screen.contains("s of 3s"), "the bar shows the time:\n{screen}");
            if let Some(now) = done(screen, "150") {
                assert!(now >= last.replace(now), "the bar went back:\n{screen}");
            }
            screen.contains("150 requests in")
        });
        assert!(last.get() >= 100, "the bar was last seen at {}", last.get());
        assert_eq!(pty.wait().code(), Some(0));
        pty.assert_terminal_restored();
    }
}

#[test]
fn without_a_rate_the_bar_shows_the_time() {
    let desk = Desk::new();
    let url = format!("http://{}/", server().0);
    let args = ["traffic", "--url", &url, "--connections", "1", "--duration", "2s"];
    let mut pty = Pty::start(&desk.command(&args), 80, 24);
    pty.shows("traffic 1s of 2s");
    assert_eq!(pty.wait().code(), Some(0));
}

#[test]
fn a_warm_up_is_shown_while_it_lasts() {
    let desk = Desk::new();
    let url = format!("http://{}/", server().0);
    let args = ["traffic", "--url", &url, "--rate", "40", "--requests", "40", "--warmup", "1s"];
    let mut pty = Pty::start(&desk.command(&args), 80, 24);
    pty.until("the warm-up, without a bar", |screen| screen.contains("warming up") && done(screen, "40").is_none());
    pty.until("the bar", |screen| {
        let bar = done(screen, "40").is_some();
        assert!(!bar || !screen.contains("warming up"), "the warm-up is over:\n{screen}");
        bar && screen.contains("traffic ")
    });
    pty.shows("40 requests in");
    assert_eq!(pty.wait().code(), Some(0));
}

#[test]
fn a_pipe_gets_a_line_every_five_seconds() {
    let desk = Desk::new();
    let url = format!("http://{}/", server().0);
    let args = ["traffic", "--url", &url, "--rate", "20", "--duration", "5500ms"];
    let result = desk.lab(&args).status(0).complains("5.0s: 20/s · 200 100% · p50 ").says("110 requests in");
    assert_eq!(result.stderr.lines().count(), 1, "{}", result.stderr);
}

#[test]
fn unwritable_rows_do_not_lose_the_result() {
    let desk = Desk::new();
    let url = format!("http://{}/", server().0);
    let pipe = desk.path().join("rows").display().to_string();
    for more in [&["--json"] as &[_], &[]] {
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is installed").success());
        // Reads the header and closes the pipe before the first row.
        let rows = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut head = String::new();
            BufReader::new(File::open(rows).expect("a pipe")).read_line(&mut head).expect("a line");
        });
        let args = ["traffic", "--url", &url, "--rate", "40", "--requests", "20", "--csv", &pipe];
        let result = desk.lab(&[&args, more].concat()).status(3).complains("--csv: cannot write: Broken pipe");
        reader.join().expect("the reader does not panic");
        if more.is_empty() {
            result.says("20 requests in").says("none failed");
        } else {
            assert_eq!(result.json()["sent"], 20);
        }
        std::fs::remove_file(&pipe).expect("a writable path");
    }
}
