//! The console of a seat. It is not a shell: a line is one command of lab, parsed by the same command line, of which only
//! what is listed is offered. It runs as a process of its own against the seat's lab, with limits on time and output.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use lab_core::engine::{Roles, secret};
use lab_host::{APP_SETTINGS, GATEWAY_SETTINGS};
use lab_report::term::clean_lines;
use lab_room::backend::{Line, Output};
use lab_scenario::value;
use lab_system::{background, deadline};
use lab_traffic::{Amount, Pace};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::process::Command as Process;

use super::words;
use crate::cli::{
    self, Command, ConsoleCommand, DbCommand, EnvCommand, KeyCommand, RequestArgs, SendArgs, parse_console,
};
use crate::commands::session::IN_CONSOLE;
use crate::commands::traffic::{DEFAULT_RATE, pace};

/// Longest line in characters.
const LONGEST: usize = 2000;
/// Time limit of a command, and of one that sends traffic.
const TIME_LIMIT: Duration = Duration::from_secs(20);
const TRAFFIC_TIME_LIMIT: Duration = Duration::from_secs(75);
/// Maximum output in bytes.
const OUTPUT_LIMIT: usize = 64 << 10;
/// Limits of traffic.
const MAX_RATE: f64 = 50.0;
const MAX_DURATION: Duration = Duration::from_mins(1);
const MAX_REQUESTS: u64 = 1000;
/// Requests that may be sent as fast as the responses arrive.
const MAX_BURST: u64 = 100;
/// Beginning of the addresses of gateways.
const LOOPBACK: &str = "http://127.0.0.1:";
/// First argument of a line that shows help.
const HELP: &str = "help";
/// Variables of the server's environment that a command needs to reach a Docker daemon.
const KEPT: [&str; 10] = [
    "PATH",
    "HOME",
    "TZ",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
];
const UPSTREAM: &str = "GATEWAY_UPSTREAM";

/// Parses a line.
///
/// # Errors
/// The text for the participant, if it is malformed or not offered.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    if line.chars().count() > LONGEST {
        return Err(format!("the line is too long: at most {LONGEST} characters"));
    }
    let typed = words::split(line)?;
    match parse_console(&typed)? {
        ConsoleCommand::Help(text) => {
            let shown = format!("lab {}", words::join(typed.strip_prefix(&["lab".to_owned()]).unwrap_or(&typed)));
            Ok(Line { arguments: vec![HELP.to_owned(), text], shown: shown.trim_end().to_owned() })
        }
        ConsoleCommand::Run(cli, arguments) => {
            check(&cli.command)?;
            let shown: Vec<String> = arguments.iter().map(|word| masked(word)).collect();
            Ok(Line { arguments, shown: format!("lab {}", words::join(&shown)) })
        }
    }
}

/// `NAME=VALUE` with the value of a secret masked.
fn masked(word: &str) -> String {
    match word.split_once('=') {
        Some((name, value)) => format!("{name}={}", secret::mask_value(&Roles::default(), name, value)),
        None => word.to_owned(),
    }
}

/// Refuses values that reach out of the seat's lab, or that are too much for a shared machine.
fn check(command: &Command) -> Result<(), String> {
    match command {
        Command::Request(RequestArgs { data: Some(data), .. }) => no_file("--data", data),
        Command::Traffic(args) => check_traffic(&args.send),
        Command::Db(DbCommand::Query(args)) if args.sql == "-" => {
            Err("the console has no standard input: write the statement into the line".to_owned())
        }
        Command::Env(args) => match &args.command {
            Some(EnvCommand::Set { variables, .. }) => {
                variables.iter().try_for_each(|variable| check_variable(variable))
            }
            Some(EnvCommand::Unset { names, .. }) => names.iter().try_for_each(|name| check_variable(name)),
            None => Ok(()),
        },
        Command::Key(KeyCommand::Rotate { key }) if key.is_empty() => Err("the key is empty".to_owned()),
        _ => Ok(()),
    }
}

fn no_file(option: &str, text: &str) -> Result<(), String> {
    if text.starts_with('@') {
        Err(format!("{option} @FILE is not offered in this console: write the text"))
    } else {
        Ok(())
    }
}

/// Refuses variables of which the values could name another host.
fn check_variable(variable: &str) -> Result<(), String> {
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    // Others could name a host or a file, as on the embedded engine.
    let variables = [&APP_SETTINGS[..], &GATEWAY_SETTINGS].concat();
    if !variables.contains(&name) {
        return Err(format!("{name} cannot be changed in this console; it can change {}", variables.join(", ")));
    }
    let host = value.split(':').next().unwrap_or_default();
    if name == UPSTREAM && !["", "app", "gateway", "db"].contains(&host) {
        return Err(format!("{UPSTREAM}: {host:?} is not a service of this lab; the app is app:8000"));
    }
    Ok(())
}

fn check_traffic(args: &SendArgs) -> Result<(), String> {
    if let Some(body) = &args.body {
        no_file("--body", body)?;
    }
    for (option, time) in [("--timeout", Some(&args.timeout)), ("--connect-timeout", args.connect_timeout.as_ref())] {
        let time = time.map(|time| value::timeout(time)).transpose().map_err(|error| format!("{option}: {error}"))?;
        if time.is_some_and(|time| time > TIME_LIMIT) {
            return Err(format!("{option}: at most 20s in this console"));
        }
    }
    let (pace, amount, connections) = pace(args, DEFAULT_RATE).map_err(|failure| failure.message)?;
    if connections > 64 {
        return Err("--connections: at most 64 in this console".to_owned());
    }
    let rate = match &pace {
        Pace::Open { stages, .. } => stages.iter().map(|stage| stage.from.max(stage.to)).fold(0.0, f64::max),
        Pace::Closed => match amount {
            Amount::Requests(count) if count <= MAX_BURST => return Ok(()),
            _ => return Err(format!("--connections: add --rate, or at most --requests {MAX_BURST}")),
        },
    };
    if rate > MAX_RATE {
        return Err("--rate: at most 50 requests per second in this console".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "few requests")]
    let (requests, seconds) = match amount {
        Amount::Requests(count) => (count as f64, count as f64 / rate),
        Amount::Duration(time) => (time.as_secs_f64() * rate, time.as_secs_f64()),
    };
    if seconds > MAX_DURATION.as_secs_f64() {
        return Err("traffic lasts at most 60s in this console".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "few requests")]
    if requests > MAX_REQUESTS as f64 {
        return Err(format!("at most {MAX_REQUESTS} requests in this console"));
    }
    Ok(())
}

/// Runs a line against a lab of the state folder `state`.
pub(super) async fn run(state: &std::path::Path, lab: &str, line: &Line) -> Output {
    if let [help, text] = line.arguments.as_slice()
        && help == HELP
    {
        return Output { exit: Some(0), text: text.clone() };
    }
    let is_traffic = line.arguments.first().is_some_and(|verb| verb == "traffic");
    let limit = if is_traffic { TRAFFIC_TIME_LIMIT } else { TIME_LIMIT };
    let (exit, text) = match execute(state, lab, line, limit).await {
        Ok(done) => done,
        Err(error) => (None, format!("the command could not be run: {error}\n").into_bytes()),
    };
    // The participant has one lab and cannot select another, so its name is left out of hints.
    let mut text = String::from_utf8_lossy(&text).replace(&format!(" --name {lab}"), "");
    if is_traffic {
        text = without_gateway(&text);
    }
    Output { exit, text: clean_lines(&offered_hints(&text)) }
}

/// Leaves out the address of the lab's gateway before a path: the participant is on another machine.
fn without_gateway(text: &str) -> String {
    let mut parts = text.split(LOOPBACK);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.trim_start_matches(|c: char| c.is_ascii_digit()) {
            path if path.starts_with('/') && path.len() < part.len() => shown.push_str(path),
            _ => shown.extend([LOOPBACK, part]),
        }
    }
    shown
}

/// Leaves out hints about commands that the console does not offer.
fn offered_hints(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let Some(hints) = content.trim_start().strip_prefix("next: ") else {
            shown.push_str(line);
            continue;
        };
        let is_offered = |hint: &&str| match hint.find("lab ") {
            Some(at) => cli::is_offered(hint[at + 4..].split(['(', ',', ';']).next().unwrap_or_default().trim_end()),
            None => true,
        };
        let hints: Vec<&str> = hints.split(" · ").filter(is_offered).collect();
        if !hints.is_empty() {
            let indent = &content[..content.len() - content.trim_start().len()];
            let end = &line[content.len()..];
            shown.extend([indent, "next: ", &hints.join(" · "), end]);
        }
    }
    shown
}

/// Runs the process. Returns its exit code, and `None` if it was ended.
async fn execute(
    state: &std::path::Path,
    lab: &str,
    line: &Line,
    limit: Duration,
) -> io::Result<(Option<u8>, Vec<u8>)> {
    let (reader, writer) = io::pipe()?;
    let kept: BTreeMap<_, _> = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect();
    let mut process = Process::new(background::own_executable());
    process
        .arg0("lab")
        .args(["--name", lab])
        .args(&line.arguments)
        .env_clear()
        .envs(kept)
        .env("LAB_STATE_DIR", state)
        .env(IN_CONSOLE, "1")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    let mut child = process.spawn()?;
    // It has this process's copies of the pipe, which would keep it open.
    drop(process);
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut text = Vec::new();
    let done = deadline::timeout(limit, async {
        let is_whole = read(&mut reader, &mut text).await?;
        if is_whole { child.wait().await.map(Some) } else { Ok(None) }
    });
    let done = done.await;
    let note = match done {
        Ok(Ok(Some(status))) => return Ok((status.code().and_then(|code| u8::try_from(code).ok()), text)),
        Ok(Ok(None)) => format!("\n(ended: the console shows at most {} KiB)\n", OUTPUT_LIMIT >> 10),
        Ok(Err(error)) => format!("\n(ended: {error})\n"),
        Err(_) => format!("\n(ended after {} s, the console's limit)\n", limit.as_secs()),
    };
    if let Some(group) = group {
        // It may have ended in the meantime.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().await?;
    text.extend(note.into_bytes());
    Ok((None, text))
}

/// Reads the output. Returns false if there is more than the limit.
async fn read(reader: &mut (impl AsyncRead + Unpin), text: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = vec![0; 8192];
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(true);
        }
        let free = OUTPUT_LIMIT - text.len();
        text.extend_from_slice(&buffer[..length.min(free)]);
        if length > free {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests;
