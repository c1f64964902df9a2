//! Blindness: nothing that a participant can read during a drill gives the incident away. Every incident is drilled, and every
//! byte is searched for its texts: the output of each command that shows something or is refused, the state folder, the
//! processes, the dashboard and the logs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::dashboard::start_dashboard;
use crate::desk::Desk;
use crate::drill::{Fix, play_all, plays};
use crate::pty::Pty;
use crate::spoilers::{Spoilers, plan_of_drill};
use crate::support::get;

/// Commands that show something about a lab, an incident or a run, or that are refused during a drill.
const READS: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["status", "--all"],
    &["logs"],
    &["logs", "--timestamps"],
    &["env", "app"],
    &["env", "app", "--json", "--reveal"],
    &["env", "gateway", "--reveal"],
    &["env", "db"],
    &["history"],
    &["history", "--json", "--reveal"],
    &["history", "callers"],
    &["key", "show"],
    &["key", "show", "--json"],
    &["request"],
    &["request", "/health", "--json"],
    &["request", "/metrics"],
    &["traffic", "--requests", "3"],
    &["callers", "start"],
    &["callers", "stop"],
    &["callers", "status"],
    &["callers", "status", "--json"],
    &["drill", "status"],
    &["drill", "status", "--json"],
    &["drill", "hint"],
    &["drill", "hint", "--json"],
    &["drill", "diagnose"],
    &["drill", "diagnose", "--json"],
    &["drill", "diagnose", "nowhere", "nothing is wrong"],
    &["drill", "list"],
    &["drill", "list", "--json"],
    &["drill", "show"],
    &["drill", "show", "--json"],
    &["drill", "start"],
    &["drill", "resume"],
    &["drill", "ack"],
    &["db", "query", "SELECT * FROM users"],
    &["images", "list"],
    &["query", "up"],
    &["metrics"],
    &["metrics", "--json"],
    &["scenario", "check"],
    &["scenario", "check", "baseline"],
    &["scenario", "show"],
    &["scenario", "run", "baseline"],
    &["scenario", "prove", "baseline"],
    &["runs", "list"],
    &["runs", "list", "--json"],
    &["runs", "show"],
    &["runs", "report"],
    &["runs", "diff"],
    &["reset"],
    &["recover"],
    &["up"],
    &["doctor"],
    &["rollback", "app", "--to", "99"],
];
/// Commands that would end the drill or its fault, that would not end by themselves, or that read no lab.
const LEFT_OUT: &[&str] = &[
    // The test watches these on a terminal, and reads the dashboard's page.
    "watch",
    "drill watch",
    "dashboard",
    // Opens a browser on pages that are read here.
    "open",
    // Change the lab.
    "stop",
    "start",
    "restart",
    "kill",
    "pause",
    "unpause",
    "env set",
    "env unset",
    "key rotate",
    "key align",
    // End the drill.
    "down",
    "drill finish",
    "drill give-up",
    // Writes what it is given.
    "drill update",
    // Know every scenario, but no lab.
    "scenario list",
    "scenario validate",
    "scenario new",
    "scenario schema",
    "traffic compare",
    "completions",
    // Belong to the trainer of a room.
    "room down",
    "room drill end",
    "room drill pause",
    "room drill resume",
    "room drill start",
    "room export",
    "room extend",
    "room freeze",
    "room inject",
    "room pause",
    "room reset",
    "room resume",
    "room reveal",
    "room say",
    "room scene",
    "room status",
    "room up",
    // Know machines, but no drill.
    "swarm init",
    "swarm load",
    "swarm save",
    "swarm status",
    // Need files or a registry.
    "images pull",
    "images save",
    "images load",
    "runs export",
    "runs import",
];

#[test]
fn nothing_gives_the_incident_away() {
    play_all(&plays("embedded", |fix| matches!(fix, Fix::Runbook)), 4, |play| is_blind(&play.incident));
}

fn is_blind(incident: &str) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let before = READS.iter().map(|args| if changes_alone(args) { String::new() } else { all_output(&desk, args) });
    let before: Vec<String> = before.collect();
    let begun = desk.lab(&["drill", "start", "--from", incident, "--seed", "1", "--quiet", "1s"]).status(0);
    let plan = plan_of_drill(&desk.state(), incident);
    let spoilers = Spoilers::new(&plan);
    spoilers.are_not_in("lab drill start", &format!("{}{}", begun.stdout, begun.stderr));
    for (args, before) in READS.iter().zip(before) {
        spoilers.are_not_new_in(&format!("lab {}", args.join(" ")), &all_output(&desk, args), &before);
    }
    let (dashboard, address) = start_dashboard(&desk, &[]);
    for path in ["/", "/data"] {
        spoilers.are_not_in(path, &get(address, path, &[]).text());
    }
    let running = [&["watch"][..], &["drill", "watch"]].map(|args| (args, Pty::start(&desk.command(args), 120, 40)));
    for (args, mut pty) in running {
        let screen = pty.shows("q quit");
        spoilers.are_not_in(&args.join(" "), &screen);
        pty.types("q");
        pty.wait();
    }
    spoilers.are_not_in("a process", &processes(&desk));
    for (name, text) in files(&desk.state()) {
        spoilers.are_not_in(&name, &name);
        spoilers.are_not_in(&name, &text);
    }
    dashboard.signal(rustix::process::Signal::TERM);
    dashboard.wait().status(143);
    let ended = desk.lab(&["drill", "give-up"]).status(0);
    let shown = desk.lab(&["drill", "show"]).status(0);
    // The texts are the right ones: the debrief has them.
    assert!(shown.stdout.contains(&plan.title), "{}{}", ended.stdout, shown.stdout);
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

/// Output and errors of a command.
fn all_output(desk: &Desk, args: &[&str]) -> String {
    let ran = desk.lab(args);
    format!("{}\n{}", ran.stdout, ran.stderr)
}

/// Commands that a drill refuses, and that would change something without one.
fn changes_alone(args: &[&str]) -> bool {
    matches!(
        args,
        ["reset" | "recover" | "up", ..] | ["callers" | "drill", "start", ..] | ["scenario", "run" | "prove", ..]
    )
}

/// Command lines and environments of lab's processes.
fn processes(desk: &Desk) -> String {
    let pids = desk.processes();
    assert!(pids.len() >= 3, "the host, its services and the referee run: {pids:?}");
    pids.iter().fold(String::new(), |mut all, pid| {
        for file in ["cmdline", "environ", "comm"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let _ = writeln!(all, "{}", String::from_utf8_lossy(&bytes).replace('\0', "\n"));
        }
        all
    })
}

/// Names and contents of all files of a folder.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            // A socket cannot be read, and a file may be gone.
            let bytes = std::fs::read(&path).unwrap_or_default();
            all.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    all
}

/// Every command is either read above or left out for a reason.
#[test]
fn no_command_is_forgotten() {
    let desk = Desk::new();
    let mut known: BTreeSet<String> = LEFT_OUT.iter().map(|name| (*name).to_owned()).collect();
    let leaves = leaves(&desk, &[]);
    for read in READS {
        let command =
            leaves.iter().filter(|leaf| read.join(" ").starts_with(leaf.as_str())).max_by_key(|leaf| leaf.len());
        known.insert(command.unwrap_or_else(|| panic!("lab {} is no command", read.join(" "))).clone());
    }
    assert_eq!(known, leaves);
}

/// Commands that do something, from the help.
fn leaves(desk: &Desk, command: &[&str]) -> BTreeSet<String> {
    let help = desk.lab(&[command, &["--help"]].concat()).status(0).stdout;
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names: Vec<&str> = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let names = names.into_iter().filter(|name| !name.is_empty() && *name != "help");
    let mut all: BTreeSet<String> = names.flat_map(|name| leaves(desk, &[command, &[name]].concat())).collect();
    // `lab env` and `lab traffic` do something themselves.
    let usage = help.split("\nUsage: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
    if !command.is_empty() && !usage.contains("<COMMAND>") {
        all.insert(command.join(" "));
    }
    all
}
