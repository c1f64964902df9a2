//! Command-line syntax. The only place that imports clap. Values with a syntax of their own (durations, keys) are parsed by
//! the modules that own them.

use clap::builder::styling::{AnsiColor, Styles};
use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};
use lab_core::error::Failure;

mod callers;
mod choice;
mod complete;
mod console;
mod db;
mod drill;
mod habits;
mod images;
mod lab;
mod metrics;
mod open;
mod request;
mod revisions;
mod room;
mod runs;
mod scenario;
mod service;
mod start_drill;
mod swarm;
mod traffic;

pub(crate) use callers::{CallersCommand, StartCallersArgs};
pub(crate) use choice::{EngineChoice, Format};
pub(crate) use complete::{Cursor, ValueKind};
pub(crate) use console::{ConsoleCommand, is_offered, parse_console};
pub(crate) use db::{DbCommand, DbQueryArgs};
pub(crate) use drill::{
    AffectedChoice, AudienceChoice, DebriefArgs, DrillCommand, FinishArgs, IncidentArgs, StartDrillArgs, StateChoice,
    UpdateArgs,
};
pub(crate) use images::{ImagesChoice, ImagesCommand, StackArgs};
pub(crate) use lab::{
    DashboardArgs, DownArgs, KeyCommand, LogsArgs, NewLabArgs, NewStackArgs, RecoverArgs, ResetArgs, ServicesArgs,
    StatusArgs, UpArgs, WatchArgs,
};
pub(crate) use metrics::{MetricsArgs, QueryArgs};
pub(crate) use open::{OpenArgs, PageChoice};
pub(crate) use request::RequestArgs;
pub(crate) use revisions::{EnvArgs, EnvCommand, HistoryArgs, RollbackArgs};
pub(crate) use room::{
    ExportFormat, RoomCommand, RoomDownArgs, RoomDrillArgs, RoomDrillCommand, RoomStatusArgs, RoomUpArgs, SceneChoice,
};
pub(crate) use runs::{Forms, RunsCommand};
pub(crate) use scenario::{
    CheckArgs, NewArgs, PaceChoice, ProofFormat, ProveArgs, RunArgs, ScenarioCommand, SchemaFormat, ShowArgs,
    ValidateArgs,
};
pub(crate) use service::ProcessCommand;
pub(crate) use swarm::SwarmCommand;
pub(crate) use traffic::{SendArgs, TrafficArgs, TrafficCommand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const FIRST_STEPS: &str = "\
First steps:
  lab scenario run rotate-key  rehearse an outage, from start to clean-up
  lab scenario list            list the other scenarios
  lab up                       start a lab that stays up, to try things by hand
  lab traffic                  send requests and see what callers see
  lab key rotate apikey-v2     change the server's key, but not the caller's
  lab history                  see what changed
  lab reset                    go back to how the lab was brought up
  lab down                     remove the lab (run history is kept)

To be on call:
  lab drill start              something breaks, and nobody names it
  lab drill status             messages, callers, services, what is due
  lab drill ack                you have noticed; then diagnose, update, fix
  lab drill finish             restore the lab and show the debrief
  lab drill list               your scores

To give a workshop:
  lab room up --seats 12       a lab for each participant, in the browser
  lab room drill start         the same incident for all of them

To fix a known incident yourself:
  lab scenario run wrong-upstream --until observe
  lab scenario check wrong-upstream

Exit codes: 0 passed, 1 failed, 2 usage or invalid file, 3 engine or stack
failed, 4 undo incomplete, 130 and 143 interrupted (after the undo).";

/// Rehearse incidents: start a small real system, break it on purpose, and see what the outage did.
#[derive(Debug, Parser)]
#[command(name = "lab", version, propagate_version = true, styles = STYLES, after_help = FIRST_STEPS)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Name of the lab to use [default: default] [env: LAB_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// The error of the same arguments without control characters: clap quotes arguments as they are, and the colours of its
/// messages reach the terminal.
fn without_controls(error: clap::Error, args: &[OsString]) -> clap::Error {
    let clean = |argument: &OsString| argument.to_string_lossy().replace(char::is_control, "\u{fffd}");
    parse(args.iter().map(clean).map(OsString::from)).err().unwrap_or(error)
}

/// Parses arguments without the program.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("lab".into()).chain(args))
}

/// Lab name from `LAB_NAME`, if it is set and not empty. A name that is not UTF-8 is an error, because ignoring it would
/// select another lab.
fn name_from_env() -> Result<Option<String>, Failure> {
    let Some(name) = std::env::var_os("LAB_NAME").filter(|name| !name.is_empty()) else { return Ok(None) };
    name.into_string().map(Some).map_err(|name| Failure::usage(format!("LAB_NAME is not UTF-8: {}", name.display())))
}

impl Cli {
    /// Parses the command line. `Err` is a usage error or the requested help text.
    pub(crate) fn from_command_line() -> Result<Self, CliError> {
        let args = habits::expand(std::env::args_os().skip(1).collect(), &Self::command())?;
        let mut typed = parse(args.iter().cloned())
            .map_err(|error| CliError::from_clap(&without_controls(error, &args), habits::missing_argument(&args)))?;
        if let Some(name) = typed.command.take_lab()? {
            typed.name = Some(name);
        }
        // Read here and not by clap, so that only a typed name conflicts with `--all`.
        let name = match typed.name {
            Some(name) => Some(name),
            None => name_from_env()?,
        };
        Ok(Self { name, ..typed })
    }
}

/// Text to print instead of running a command: help, version or a usage error.
#[derive(Debug)]
pub(crate) enum CliError {
    /// A message of clap.
    Clap {
        plain: String,
        coloured: String,
        /// False for `--help` and `--version`.
        is_error: bool,
        hint: Option<&'static str>,
    },
    /// An error of lab.
    Failure(Failure),
}

impl CliError {
    fn from_clap(error: &clap::Error, missing: Option<&'static str>) -> Self {
        Self::Clap {
            plain: error.render().to_string(),
            coloured: error.render().ansi().to_string(),
            is_error: error.use_stderr(),
            hint: missing.filter(|_| error.kind() == clap::error::ErrorKind::MissingRequiredArgument),
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a lab
    #[command(after_help = "Examples:\n  lab up\n  lab up --port 8081\n  lab up --name room-2 --port 0")]
    Up(UpArgs),
    /// Stop and remove a lab (run history is kept)
    #[command(after_help = "Examples:\n  lab down\n  lab down --name room-2\n  lab down --all")]
    Down(DownArgs),
    /// Show services, health, addresses and keys
    #[command(after_help = "Examples:\n  lab status\n  lab status --all\n  lab status --json | jq .services")]
    Status(StatusArgs),
    /// Show service logs
    #[command(after_help = "Examples:\n  lab logs app --tail 20\n  lab logs -f\n  lab logs gateway app --since 5m")]
    Logs(LogsArgs),
    /// Watch a lab live in a full-screen view
    #[command(after_help = "Examples:\n  lab watch\n  lab watch --name room-2\n  lab watch --refresh 250ms\n\n\
        Press q to quit and ? for the other keys. Watching does not change the lab.")]
    Watch(WatchArgs),
    /// Serve a lab's live dashboard to browsers until Ctrl-C
    #[command(after_help = "Examples:\n  lab dashboard\n  lab dashboard --name room-2 --port 3001\n  \
        lab dashboard --bind 0.0.0.0\n\n\
        A lab without Grafana serves its own dashboard (lab status shows the address). \
        Use this command to share it with a room, or to have it in addition to Grafana.")]
    Dashboard(DashboardArgs),
    /// Open the dashboard, Grafana, Prometheus or a report in a browser
    #[command(
        after_help = "Examples:\n  lab open\n  lab open prometheus\n  lab open report 7f3a\n  lab open --print\n\n\
        The address is always printed. $BROWSER selects the browser."
    )]
    Open(OpenArgs),
    /// Stop services gracefully
    #[command(after_help = "Examples:\n  lab stop app\n  lab stop app gateway")]
    Stop(ServicesArgs),
    /// Start stopped services
    #[command(after_help = "Examples:\n  lab start app")]
    Start(ServicesArgs),
    /// Stop and start services
    #[command(after_help = "Examples:\n  lab restart app\n  lab restart db app")]
    Restart(ServicesArgs),
    /// Kill services: requests in flight are lost
    #[command(after_help = "Examples:\n  lab kill app\n\nlab start starts them again.")]
    Kill(ServicesArgs),
    /// Freeze services: they keep their connections but do not answer
    #[command(after_help = "Examples:\n  lab pause db")]
    Pause(ServicesArgs),
    /// Resume paused services
    #[command(after_help = "Examples:\n  lab unpause db")]
    Unpause(ServicesArgs),
    /// Show or change the environment of a service
    #[command(after_help = "Examples:\n  lab env app\n  lab env set app APP_RATE_LIMIT=50/s APP_RATE_BURST=20\n  \
        lab env unset app APP_RATE_LIMIT\n\n\
        A change is a rolling redeployment: if the new instance does not become healthy, the old one keeps serving.")]
    Env(EnvArgs),
    /// Show what changed in a service, when and by whom
    #[command(after_help = "Examples:\n  lab history app\n  lab history\n  lab history app --json\n\n\
        `lab history db` also lists the SQL statements that changed the database.")]
    History(HistoryArgs),
    /// Return a service to an earlier revision
    #[command(after_help = "Examples:\n  lab rollback app\n  lab rollback app --to 1\n\n\
        A rollback restores the environment and the run state, and is a revision itself.")]
    Rollback(RollbackArgs),
    /// Show or change the API keys of the server and the caller
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab key show\n  lab key rotate apikey-v2\n  lab key align")]
    Key(KeyCommand),
    /// Send one request through the gateway and show the response
    #[command(
        after_help = "Examples:\n  lab request\n  lab request /health\n  lab request /api/users --key apikey-v2\n  \
        lab request -X POST -d '{}' -H 'Content-Type: application/json'\n\n\
        Exits 0 for any response, and 3 if there was none."
    )]
    Request(RequestArgs),
    /// Send requests and measure the responses
    #[command(after_help = "Examples:\n  lab traffic\n  lab traffic --key apikey-v1 --key apikey-v2=20%\n  \
        lab traffic --rate 100 --duration 30s\n  lab traffic --connections 64 --duration 10s\n  \
        lab traffic --stage 10s:0..200 --stage 30s:200\n  \
        lab traffic --rate 100 --expect 'latency.p99: \"< 50ms\"'\n  \
        lab traffic --as-callers\n  \
        lab traffic --url http://127.0.0.1:9000/ --requests 10\n\n\
        Without --url, requests go to the lab's gateway with the caller's key.\n\
        With a rate, latency is measured from the time a request was due, so a slow server cannot hide.\n\
        Exits 0 for any status codes, 1 if an --expect fails, and 3 if there was no response at all.")]
    Traffic(Box<TrafficArgs>),
    /// Let the callers send requests in the background
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab callers start\n  lab callers status\n  lab callers stop")]
    Callers(CallersCommand),
    /// Find and fix an incident that nobody names, against the clock
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab drill start\n  lab drill status\n  lab drill ack\n  lab drill diagnose gateway timeout too short\n  lab drill finish\n  lab drill list"
    )]
    Drill(DrillCommand),
    /// Give a workshop: one lab per participant, in the browser, with drills for all of them
    #[command(subcommand)]
    #[command(
        arg = room::name(),
        after_help = "Examples:\n  lab room up --seats 12 --bind 0.0.0.0\n  lab room drill start rotate-key --limit 30m\n  lab room status\n  \
        lab room reveal\n  lab room export -o results.html\n  lab room down"
    )]
    Room(RoomCommand),
    /// Query the app's database
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab db query 'SELECT * FROM users'")]
    Db(DbCommand),
    /// List, pull, save and load the images of a Docker lab's stack
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab images list\n  lab images pull\n  lab images save lab-images.tar\n  lab images load lab-images.tar\n\n\
        For a site without a registry: pull and save on a connected machine, then load and `lab up --images offline` there."
    )]
    Images(ImagesCommand),
    /// Set up and inspect a Docker Swarm for labs on several machines
    #[command(
        subcommand,
        after_help = "Examples:\n  lab swarm init\n  DOCKER_HOST=ssh://n2 lab swarm load\n  lab swarm status\n  lab up --engine swarm\n\n\
        DOCKER_HOST names a manager of the Swarm. See docs/swarm.md."
    )]
    Swarm(SwarmCommand),
    /// Query the lab's Prometheus
    #[command(
        after_help = "Examples:\n  lab query 'rate(app_auth_failures_total[1m])'\n  lab query job:app_auth_failures:ratio_rate30s --range 10m\n\n\
        Requires a lab on Docker: embedded labs have no Prometheus."
    )]
    Query(QueryArgs),
    /// Show the app's metrics
    #[command(
        after_help = "Examples:\n  lab metrics\n  lab metrics --filter app_auth\n  lab metrics --watch\n  lab metrics --raw"
    )]
    Metrics(MetricsArgs),
    /// Run scenarios, check if their incidents are resolved, and write your own
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab scenario list\n  lab scenario run rotate-key\n  lab scenario check rotate-key\n  lab scenario validate my.yaml"
    )]
    Scenario(ScenarioCommand),
    /// Show, report and compare past runs
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab runs list\n  lab runs show 7f3a\n  lab runs report 7f3a --html review.html\n  \
        lab runs diff 7f3a 91c0"
    )]
    Runs(RunsCommand),
    /// Take a lab back to how it was first brought up
    #[command(after_help = "Examples:\n  lab reset\n  lab reset room-2\n\n\
        Restores keys, environments, run states and data, and removes later revisions and kept faults. Stops the \
        callers. Ports and addresses stay the same.")]
    Reset(ResetArgs),
    /// Undo the changes of an interrupted or kept run
    #[command(after_help = "Examples:\n  lab recover\n  lab recover --all")]
    Recover(RecoverArgs),
    /// Check prerequisites and suggest fixes
    #[command(after_help = "Examples:\n  lab doctor\n  lab doctor --json")]
    Doctor {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print shell completions
    #[command(after_help = "Examples:\n  lab completions bash > ~/.local/share/bash-completion/completions/lab\n  \
        lab completions zsh > ~/.zfunc/_lab\n  lab completions fish > ~/.config/fish/completions/lab.fish")]
    Completions {
        /// Shell to print them for
        shell: clap_complete::Shell,
    },
    /// Print the names that can stand at the cursor, for shell completions
    #[command(hide = true)]
    Complete {
        /// Words after `lab`; the last one is incomplete
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Processes that lab starts itself
    #[command(flatten)]
    Process(ProcessCommand),
}

impl Command {
    /// Lab given as an argument: `lab up room-2`.
    fn take_lab(&mut self) -> Result<Option<String>, Failure> {
        let argument = match self {
            Self::Up(args) => &mut args.lab,
            Self::Down(args) => &mut args.lab,
            Self::Status(args) => &mut args.lab,
            Self::Watch(args) => &mut args.lab,
            Self::Dashboard(args) => &mut args.lab,
            Self::Reset(args) => &mut args.lab,
            Self::Recover(args) => &mut args.lab,
            Self::Room(command) => return Ok(command.take_room()),
            _ => return Ok(None),
        };
        argument.take()
    }
}

/// Returns the completion script for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lab", &mut out);
    complete::with_values(&String::from_utf8_lossy(&out), shell).into_bytes()
}

/// Finds what stands at the cursor: the last of the words after `lab`.
pub(crate) fn cursor(words: &[String]) -> Cursor {
    let lab = Cli::command();
    let Some((last, before)) = words.split_last() else { return Cursor::default() };
    let before = before.iter().map(OsString::from).collect();
    let expanded = habits::expand(before, &lab).unwrap_or_default().into_iter();
    let words = expanded.filter_map(|word| word.into_string().ok()).chain([last.clone()]);
    complete::cursor(&words.collect::<Vec<_>>(), &lab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  lab "), "{} has no example", verb.get_name());
        }
    }
}
