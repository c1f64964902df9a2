//! lab's own dashboard on Docker, for stacks without Grafana's image: its data comes through the engine, and it starts and ends
//! with its lab.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab_http::{Http, Request};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Cli;
use crate::command::kill;
use crate::support::{leftovers, sweep, write_small_stack};

/// Time limit for the first evaluation of the rules by Prometheus.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_dashboard_shows_a_lab_of_containers,
        up_starts_a_dashboard_and_down_ends_it,
        up_restarts_a_dead_dashboard,
        the_dashboard_uses_the_requested_port_or_none,
        a_stack_with_grafana_has_no_other_dashboard,
        a_dashboard_ends_with_the_folder_of_its_lab,
        each_lab_has_its_own_dashboard_and_down_all_ends_them,
        the_dashboard_of_a_damaged_lab_ends_with_it,
        an_up_that_is_killed_leaves_no_dashboard,
    ]
}

async fn the_dashboard_shows_a_lab_of_containers() {
    let user = Cli::new("dashboard");
    user.lab(&["up"]).status(0);
    let mut served = user.start(&["dashboard", "--port", "0"]);
    let line = served.until("until Ctrl-C");
    let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{line}"));
    let http = Http::new();
    let begun = Instant::now();
    loop {
        user.lab(&["traffic", "--requests", "5", "--key", "wrong"]).status(0);
        let answer = http.request(&Request::get(format!("{address}data"))).await.expect("a response");
        let data: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let refused = data["points"]
            .as_array()
            .is_some_and(|all| all.iter().any(|point| point["refused"].as_f64().is_some_and(|refused| refused > 0.0)));
        let running = data["services"]["prometheus"] == "running" && data["services"]["app"] == "running";
        let rules = http.request(&Request::get(format!("{address}api/v1/rules?type=alert"))).await.expect("a response");
        // The alerts come from the lab's Prometheus, with the paths of its rule files.
        let from_prometheus = rules.status == 200 && rules.text().contains("/etc/prometheus/");
        if refused && running && from_prometheus && data["alerts"].is_array() {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "{data:#}\n{}", rules.text());
    }
    drop(served);
    user.finish();
}

/// Address of the dashboard as `status` shows it, without the final slash.
fn address(user: &Cli) -> Option<String> {
    let status = user.lab(&["status", "--json"]).status(0).json();
    Some(status["dashboard"].as_str()?.trim_end_matches('/').to_owned())
}

/// Process id in `dashboard.json`.
fn process(user: &Cli) -> u32 {
    let text = std::fs::read(user.state().join("labs").join(&user.name).join("dashboard.json")).expect("it exists");
    let file: Value = serde_json::from_slice(&text).expect("JSON");
    file["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a process id")
}

/// Status of its page, or none if nothing answers.
async fn page(address: &str, path: &str) -> Option<u16> {
    Some(Http::new().request(&Request::get(format!("{address}{path}"))).await.ok()?.status)
}

/// Writes gateway, app and database as a user's own stack. It starts fast and has no Grafana.
fn small_stack(user: &Cli) -> PathBuf {
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    folder
}

fn up_small(user: &Cli) {
    let folder = small_stack(user).display().to_string();
    user.lab(&["up", "--stack", &folder]).status(0);
}

/// Waits until no process of the user is left.
pub(crate) async fn until_none(user: &Cli) {
    let begun = Instant::now();
    while !user.processes().is_empty() {
        assert!(begun.elapsed() < TIMEOUT, "{:?} do not end", user.processes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn up_starts_a_dashboard_and_down_ends_it() {
    let user = Cli::new("served");
    user.lab(&["up"]).status(0);
    let at = address(&user).expect("it has a dashboard");
    assert_eq!(page(&at, "/").await, Some(200));
    user.lab(&["status"]).status(0).says(&format!("graphs {at}/"));
    user.lab(&["doctor"]).says(&format!("of lab {}: {at}/", user.name));
    // A running dashboard is not restarted.
    let process = process(&user);
    user.lab(&["up"]).status(0);
    assert_eq!((address(&user).as_ref(), self::process(&user)), (Some(&at), process));
    user.finish();
    assert_eq!(page(&at, "/").await, None);
}

/// Without Prometheus in the stack, the dashboard evaluates the alerts. It restarts on its port, or on another one if that is
/// taken. A dashboard that hangs ends with its lab.
async fn up_restarts_a_dead_dashboard() {
    let user = Cli::new("died");
    up_small(&user);
    let at = address(&user).expect("it has a dashboard");
    let begun = Instant::now();
    while page(&at, "/api/v1/rules").await != Some(200) {
        assert!(begun.elapsed() < TIMEOUT, "there is no alert source");
    }
    kill(process(&user), Signal::KILL);
    until_none(&user).await;
    assert_eq!(address(&user), None);
    user.lab(&["status"]).status(0).says("lab up --name");
    user.lab(&["doctor"]).says("lab up --name");
    user.lab(&["up"]).status(0);
    assert_eq!(address(&user).as_ref(), Some(&at));

    kill(process(&user), Signal::KILL);
    until_none(&user).await;
    let port = at.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
    let holder = format!("127.0.0.1:{port} is in use by docker");
    user.lab(&["up"]).status(0).complains(&holder).complains("the dashboard uses port");
    drop(other);
    let moved = address(&user).expect("it has a dashboard");
    assert_ne!(moved, at);
    assert_eq!(page(&moved, "/").await, Some(200));
    kill(process(&user), Signal::STOP);
    user.finish();
}

async fn the_dashboard_uses_the_requested_port_or_none() {
    let mut user = Cli::new("asked");
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = other.local_addr().expect("it has one").port();
    user.dashboard_port = Some(port);
    let stack = small_stack(&user).display().to_string();
    let holder = format!("127.0.0.1:{port} is in use by docker");
    user.lab(&["up", "--stack", &stack]).status(0).complains(&holder).complains("LAB_GRAFANA_PORT");
    assert_eq!(address(&user), None);
    assert_eq!(user.processes(), [0; 0]);
    drop(other);
    user.lab(&["up"]).status(0);
    assert_eq!(address(&user), Some(format!("http://127.0.0.1:{port}")));
    // It moves to the requested address.
    user.dashboard_port =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).map(|at| at.port()).ok();
    user.lab(&["up"]).status(0);
    assert_eq!(address(&user), user.dashboard_port.map(|port| format!("http://127.0.0.1:{port}")));
    assert_eq!(user.processes().len(), 1);
    user.finish();
}

/// Grafana is the service that `x-lab` names.
async fn a_stack_with_grafana_has_no_other_dashboard() {
    let user = Cli::new("grafana");
    up_small(&user);
    assert!(address(&user).is_some());
    let path = user.path().join("stack/compose.yaml");
    let text = std::fs::read_to_string(&path).expect("it exists");
    let with = text.replacen("x-lab:\n", "x-lab:\n  grafana: { service: gateway, port: 8080 }\n", 1);
    assert_ne!(text, with);
    std::fs::write(&path, with).expect("a writable path");
    user.lab(&["up"]).status(0);
    let status = user.lab(&["status", "--json"]).status(0).json();
    assert!(status["dashboard"].is_null() && status["grafana"].is_string(), "{status:#}");
    assert_eq!(user.processes(), [0; 0]);
    user.finish();
}

async fn a_dashboard_ends_with_the_folder_of_its_lab() {
    let user = Cli::new("forgotten");
    up_small(&user);
    assert_eq!(user.processes().len(), 1);
    std::fs::remove_dir_all(user.state()).expect("a writable path");
    until_none(&user).await;
    sweep(None, &user.name);
    user.assert_clean();
}

async fn each_lab_has_its_own_dashboard_and_down_all_ends_them() {
    let user = Cli::new("two").nameless();
    let stack = small_stack(&user).display().to_string();
    let (one, other) = (user.name.clone(), format!("{}-b", user.name));
    let at = |lab: &str| -> String {
        let status = user.lab(&["status", "--json", "--name", lab]).status(0).json();
        status["dashboard"].as_str().expect("it has a dashboard").trim_end_matches('/').to_owned()
    };
    for lab in [&one, &other] {
        user.lab(&["up", "--stack", &stack, "--name", lab]).status(0);
    }
    let (at_one, at_other) = (at(&one), at(&other));
    assert_ne!(at_one, at_other);
    assert_eq!(user.processes().len(), 2);
    user.lab(&["down", "--name", &other]).status(0);
    assert_eq!((page(&at_one, "/").await, page(&at_other, "/").await), (Some(200), None));
    user.lab(&["up", "--stack", &stack, "--name", &other]).status(0);
    user.lab(&["down", "--all"]).status(0);
    user.assert_clean();
    assert_eq!(leftovers(None, &other), "");
}

async fn the_dashboard_of_a_damaged_lab_ends_with_it() {
    let user = Cli::new("damaged");
    up_small(&user);
    let folder = user.state().join("labs").join(&user.name);
    for name in ["lab.json", "dashboard.json"] {
        std::fs::write(folder.join(name), "{").expect("a writable path");
    }
    assert_eq!(user.processes().len(), 1);
    user.finish();
}

/// The process of the dashboard already waits while the containers start.
async fn an_up_that_is_killed_leaves_no_dashboard() {
    let user = Cli::new("killed-up");
    let stack = small_stack(&user).display().to_string();
    let up = user.start(&["up", "--stack", &stack]);
    user.until_container(&user.name, "app", true);
    up.signal(Signal::KILL);
    up.wait();
    user.finish();
}
