//! `lab callers`: the callers' traffic in a background process, so that an outage has an effect while a person works on it.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, Utc};
use serde::Serialize;

use super::scenario::current::CurrentScenario;
use super::session::Session;
use super::time_span::parse_span;
use crate::cli::{CallersCommand, StartCallersArgs};
use lab_core::error::{Exit, Failure};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, short_id, text};
use lab_report::term::{Tone, clean};
use lab_runner::callers::{self, CallerMix, CallerState, CallersError, CallersProcess, CallersState, RECENT};
use lab_runner::lab::{Lab, StateFolder};
use lab_scenario::{Source, value};

pub(super) mod host;

/// Longest time limit.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// Document of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a str,
    running: bool,
    /// Reason why they ended. Null if they are running or never ran.
    ended: Option<String>,
    pid: Option<u32>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// Requests per second, over all callers.
    rate: Option<f64>,
    scenario: Option<&'a str>,
    /// Run that left its fault in the lab.
    run: Option<&'a str>,
    callers: Vec<CallerReport<'a>>,
}

#[derive(Serialize)]
struct CallerReport<'a> {
    #[serde(flatten)]
    counts: &'a CallerState,
    failed: u64,
    /// Share of successful requests in the last seconds. Null if there were none.
    recent_success: Option<f64>,
}

pub(super) async fn run(session: &Session, command: &CallersCommand) -> anyhow::Result<Exit> {
    match command {
        CallersCommand::Start(args) => start(session, args).await,
        CallersCommand::Stop => stop(session).await,
        CallersCommand::Status { json } => status(session, *json),
    }
}

async fn start(session: &Session, args: &StartCallersArgs) -> anyhow::Result<Exit> {
    let duration = parse_span(&args.duration)
        .map_err(|error| Failure::usage(format!("--duration {:?}: {error}", args.duration)))?;
    if duration > MAX_DURATION {
        return Err(Failure::usage(format!("--duration {:?}: expected at most 24h", args.duration)).into());
    }
    let rate = args.rate.as_deref().map(value::rate).transpose();
    let rate = rate.map_err(|error| Failure::usage(format!("--rate: {error}")))?;
    let connected = session.connect()?;
    let (lab, process) = (&connected.lab, CallersProcess::new(&connected.lab));
    refuse_in_drill(lab)?;
    let mut mix = mix(lab, args.scenario.as_deref(), &args.set)?;
    if let Some(rate) = rate {
        mix = mix.with_rate(rate);
    }
    if let Some(holder) = lab.running() {
        let message =
            format!("{holder} is in progress in lab {}, and would count the callers' requests as its own", lab.name());
        return Err(Failure::failed(message).hint("start them when the run has ended").into());
    }
    // A lab that is not up has no address to send to.
    connected.describe().await?;
    if process.is_running() {
        let message = format!("callers are sending requests in lab {} already", lab.name());
        return Err(Failure::failed(message)
            .hint(format!("lab callers stop{0}, or see lab callers status{0}", lab.name_option()))
            .into());
    }
    process.start(mix.clone(), duration).await.map_err(|error| failure(&error, lab))?;
    session.line(&format!("callers send {} for {}", summary(&mix), lasting(duration)))?;
    session.line(&session.term.painter().paint(Tone::Dim, &format!("next: {}", next(lab))))
}

/// Callers of the given scenario, else of the kept run in the lab, else the lab's own.
pub(super) fn mix(lab: &Lab, scenario: Option<&str>, set: &[String]) -> anyhow::Result<CallerMix> {
    let state = StateFolder::open()?;
    let current = match scenario {
        Some(scenario) => Some(CurrentScenario::named(&state, lab, &Source::parse(scenario), set)?),
        None => CurrentScenario::of_lab(&state, lab)?,
    };
    Ok(current.map_or_else(CallerMix::single, |current| {
        CallerMix::from_plan(&current.plan, current.executed, current.run.as_deref())
    }))
}

/// Lets the callers of a run that left its fault in the lab go on. A failure does not change the result of the run.
pub(super) async fn go_on(session: &Session, lab: &Lab, mix: CallerMix) {
    let started = CallersProcess::new(lab).start(mix.clone(), callers::DEFAULT_DURATION).await;
    let message = match started {
        Ok(()) => format!(
            "callers go on: {} for {}; stop them with lab callers stop{}",
            summary(&mix),
            lasting(callers::DEFAULT_DURATION),
            lab.name_option()
        ),
        Err(error) => session.term.stderr_painter().paint(Tone::Warn, &error.to_string()),
    };
    let width = if session.term.stderr_is_terminal() { session.term.width() } else { usize::MAX };
    for line in text::wrap(&clean(&message), width) {
        session.term.note(&line);
    }
}

/// Stops callers that an earlier run left, before another run or its undo. Returns true if they were sending.
pub(super) async fn stop_those_of_runs(lab: &Lab) -> anyhow::Result<bool> {
    let process = CallersProcess::new(lab);
    let of_run = process.is_running() && process.state().is_some_and(|state| state.mix.run.is_some());
    if !of_run {
        return Ok(false);
    }
    process.stop().await.map_err(|error| failure(&error, lab).into())
}

/// Stops the callers of earlier runs, and refuses a run while others are sending: their requests would be counted as its own.
pub(super) async fn make_way(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    if stop_those_of_runs(lab).await? {
        session.term.note("stopped the callers of the previous run");
    }
    if callers::is_running(lab) {
        let message =
            format!("callers are sending requests in lab {}, and this run would count them as its own", lab.name());
        return Err(Failure::failed(message).hint(format!("lab callers stop{}", lab.name_option())).into());
    }
    Ok(())
}

async fn stop(session: &Session) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let lab = &connected.lab;
    refuse_in_drill(lab)?;
    if !callers::stop(lab).await.map_err(|error| failure(&error, lab))? {
        return session.line(&format!("no callers are sending requests in lab {}", lab.name()));
    }
    let sent: u64 = CallersProcess::new(lab).state().map_or(0, |state| state.callers.iter().map(|one| one.sent).sum());
    session.line(&format!("callers stopped after {}", human::count(sent, "request")))
}

/// In a drill, the referee sends the callers' requests and judges by them.
fn refuse_in_drill(lab: &Lab) -> anyhow::Result<()> {
    if lab.drill()?.is_none() {
        return Ok(());
    }
    let message = format!("the callers of lab {} belong to the drill in progress", lab.name());
    let name = lab.name_option();
    let hint = format!(
        "lab callers status{name} shows them; lab drill finish{name} or lab drill give-up{name} ends the drill"
    );
    Err(Failure::failed(message).hint(hint).into())
}

fn failure(error: &CallersError, lab: &Lab) -> Failure {
    let hint = lab_system::background::holder_hint(&CallersProcess::new(lab).lock());
    let failure = Failure::failed(error.to_string());
    if matches!(error, CallersError::Process(_)) { failure.hint(hint) } else { failure }
}

fn next(lab: &Lab) -> String {
    let name = lab.name_option();
    format!("lab callers status{name} · lab callers stop{name}")
}

/// `20 requests per second (web 15, batch 5)`.
fn summary(mix: &CallerMix) -> String {
    let each = mix.senders.iter().map(|sender| format!("{} {}", sender.name, human::number(sender.rate)));
    let each =
        if mix.senders.len() > 1 { format!(" ({})", each.collect::<Vec<_>>().join(", ")) } else { String::new() };
    format!("{} requests per second{each}", human::number(mix.rate()))
}

fn lasting(duration: Duration) -> String {
    human::clock(duration.as_secs_f64())
}

fn status(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let (lab, process) = (&connected.lab, CallersProcess::new(&connected.lab));
    let (running, mut state) = (process.is_running(), process.state());
    if let Some(state) = state.as_mut().filter(|_| lab.drill().is_ok_and(|drill| drill.is_some())) {
        // The callers of a drill are those of its incident.
        (state.mix.scenario, state.mix.run) = (None, None);
    }
    let killed = "the process was killed".to_owned();
    let ended = state.as_ref().filter(|_| !running).map(|state| state.ended.clone().map_or(killed, |(_, why)| why));
    let died = state.as_ref().is_some_and(|state| !running && state.ended.is_none());
    let exit = if died { Exit::NotPassed } else { Exit::Passed };
    if json {
        session.json(&report(lab, running, ended, state.as_ref()))?;
        return Ok(exit);
    }
    let Some(state) = state else {
        session.line(&format!("no callers are sending requests in lab {}", lab.name()))?;
        let next = format!("next: lab callers start{}", lab.name_option());
        return session.line(&session.term.painter().paint(Tone::Dim, &next));
    };
    session.line(&heading(&state, ended.as_deref()))?;
    if let Some(scenario) = &state.mix.scenario {
        let run = state.mix.run.as_deref().map(|run| format!(", run {}", short_id(run))).unwrap_or_default();
        session.line(&format!("scenario {}{run}", clean(scenario)))?;
    }
    session.line("")?;
    table(&state, running).write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(exit)
}

fn report<'a>(lab: &'a Lab, running: bool, ended: Option<String>, state: Option<&'a CallersState>) -> Report<'a> {
    Report {
        lab: lab.name(),
        running,
        ended,
        pid: state.filter(|_| running).map(|state| state.pid),
        since: state.map(|state| state.since),
        until: state.map(|state| state.until),
        rate: state.map(|state| state.mix.rate()),
        scenario: state.and_then(|state| state.mix.scenario.as_deref()),
        run: state.and_then(|state| state.mix.run.as_deref()),
        callers: state.into_iter().flat_map(|state| &state.callers).map(caller_report).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
fn caller_report(counts: &CallerState) -> CallerReport<'_> {
    let (sent, succeeded) = counts.last_seconds();
    let recent_success = (sent > 0).then(|| succeeded as f64 / sent as f64);
    CallerReport { counts, failed: counts.sent - counts.succeeded, recent_success }
}

/// `20 requests per second since 12:03:11 (4m 10s), until 13:03:11`.
fn heading(state: &CallersState, ended: Option<&str>) -> String {
    let clock = |at: DateTime<Utc>| at.with_timezone(&Local).format("%H:%M:%S").to_string();
    let seconds = |time: TimeDelta| human::clock(time.to_std().unwrap_or_default().as_secs_f64());
    let rate = human::number(state.mix.rate());
    match (ended, &state.ended) {
        (None, _) => {
            let age = seconds(Utc::now() - state.since);
            format!("{rate} requests per second since {} ({age}), until {}", clock(state.since), clock(state.until))
        }
        (Some(why), Some((at, _))) => format!("ended at {}: {why}", clock(*at)),
        (Some(why), None) => format!("ended unexpectedly: {why}"),
    }
}

fn table(state: &CallersState, running: bool) -> Table {
    let last = format!("last {RECENT}s");
    let retried = state.callers.iter().any(|caller| caller.attempts > caller.sent);
    let mut columns = vec![("caller", Side::Left), ("rate", Side::Right), ("sent", Side::Right)];
    if retried {
        columns.push(("attempts", Side::Right));
    }
    columns.extend([("success", Side::Right), ("failed", Side::Left), (&last, Side::Right)]);
    let mut table = Table::new(&columns);
    for caller in &state.callers {
        let (sent, succeeded) = caller.last_seconds();
        let recent = if running && sent > 0 { human::share(succeeded, sent) } else { "-".to_owned() };
        let tone = if running && succeeded < sent { Tone::Failed } else { Tone::Plain };
        let mut row: Vec<Cell> = vec![
            caller.name.as_str().into(),
            format!("{}/s", human::number(caller.rate)).into(),
            caller.sent.to_string().into(),
        ];
        if retried {
            row.push(caller.attempts.to_string().into());
        }
        row.extend([caller.succeeded.to_string().into(), failures(caller).into(), Cell::new(tone, recent)]);
        table.row(row);
    }
    table
}

/// `401 x20 timeout x3`.
fn failures(caller: &CallerState) -> String {
    let codes = caller.codes.iter().filter(|(code, _)| !(200..300).contains(*code));
    let codes = codes.map(|(code, count)| format!("{code} x{count}"));
    let errors = caller.errors.iter().map(|(cause, count)| format!("{cause} x{count}"));
    let unsent = (caller.unsent > 0).then(|| format!("not sent x{}", caller.unsent));
    let all: Vec<String> = codes.chain(errors).chain(unsent).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}
