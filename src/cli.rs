//! Every clap type: what may be typed. The only place that imports clap. What a word means beyond its own syntax (a
//! duration, a key) is found out in the modules that know it.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

mod images;
mod lab;
mod metrics;
mod runs;
mod scenario;
mod service;
mod traffic;

pub(crate) use images::{ImagesChoice, ImagesCommand, StackArgs};
pub(crate) use lab::{
    DashboardArgs, DownArgs, GroundArgs, KeyCommand, LogsArgs, RecoverArgs, StatusArgs, UpArgs, WatchArgs,
};
pub(crate) use metrics::{MetricsArgs, QueryArgs};
pub(crate) use runs::{Forms, RunsCommand};
pub(crate) use scenario::{
    NewArgs, PaceChoice, ProofFormat, ProveArgs, RunArgs, ScenarioCommand, SchemaFormat, ShowArgs, ValidateArgs,
};
pub(crate) use service::{AppArgs, ServiceArgs};
pub(crate) use traffic::{SendArgs, TrafficArgs, TrafficCommand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const FIRST_STEPS: &str = "\
First steps:
  lab scenario run rotate-key  an outage, from the first request to the clean-up
  lab scenario list            what else there is to rehearse
  lab up                       a lab that stays, for trying things by hand
  lab traffic                  what its callers see
  lab key rotate apikey-v2     the server's key changes, the caller's does not
  lab down                     the lab goes away, its history stays

Exit codes: 0 held, 1 not held, 2 usage or invalid file, 3 engine or stack
failed, 4 undo incomplete, 130 and 143 interrupted (after the undo).";

/// Rehearse incidents: bring up a small real system, break it on purpose, and see what the outage did.
#[derive(Debug, Parser)]
#[command(name = "lab", version, propagate_version = true, styles = STYLES, after_help = FIRST_STEPS)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The lab that is meant [default: default; `scenario run` makes one of its own where that is not up] [env: LAB_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

impl Unread {
    fn new(error: &clap::Error) -> Self {
        Self {
            plain: error.render().to_string(),
            coloured: error.render().ansi().to_string(),
            is_wrong: error.use_stderr(),
        }
    }
}

/// The lab that `LAB_NAME` names; none if it is unset or empty. A name that is not UTF-8 is an error: ignored, it would mean
/// another lab.
fn name_from_env() -> Result<Option<String>, Unread> {
    let Some(name) = std::env::var_os("LAB_NAME").filter(|name| !name.is_empty()) else { return Ok(None) };
    name.into_string().map(Some).map_err(|name| {
        let message = format!("LAB_NAME is not UTF-8: {}\n", name.display());
        Unread::new(&Cli::command().error(clap::error::ErrorKind::InvalidUtf8, message))
    })
}

impl Cli {
    /// Reads the command line. The error is help, or says what is wrong with it.
    pub(crate) fn from_command_line() -> Result<Self, Unread> {
        let typed = Self::try_parse().map_err(|error| Unread::new(&error))?;
        // Not clap's to read: what the environment has is not in the way of `--all`, as a name that was typed is.
        let name = match typed.name {
            Some(name) => Some(name),
            None => name_from_env()?,
        };
        Ok(Self { name, ..typed })
    }
}

/// A command line that asks for nothing that could be done.
#[derive(Debug)]
pub(crate) struct Unread {
    /// What to show.
    pub(crate) plain: String,
    /// The same in colours.
    pub(crate) coloured: String,
    /// It is a mistake, and no request for help.
    pub(crate) is_wrong: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring a lab up
    #[command(after_help = "Examples:\n  lab up\n  lab up --port 8081\n  lab up --name room-2 --port 0")]
    Up(UpArgs),
    /// Take a lab down; the journals of its runs stay
    #[command(after_help = "Examples:\n  lab down\n  lab down --name room-2\n  lab down --all")]
    Down(DownArgs),
    /// Show what runs, how it is, and where it is reached
    #[command(after_help = "Examples:\n  lab status\n  lab status --all\n  lab status --json | jq .services")]
    Status(StatusArgs),
    /// Show what the services wrote
    #[command(after_help = "Examples:\n  lab logs app --tail 20\n  lab logs -f\n  lab logs gateway app --since 5m")]
    Logs(LogsArgs),
    /// Watch a lab on a full screen, as it changes
    #[command(after_help = "Examples:\n  lab watch\n  lab watch --name room-2\n  lab watch --refresh 250ms\n\n\
        q leaves, ? says what else can be typed. The lab stays as it is.")]
    Watch(WatchArgs),
    /// Serve a lab's live dashboard to a browser, until Ctrl-C
    #[command(after_help = "Examples:\n  lab dashboard\n  lab dashboard --name room-2 --port 3001\n  \
        lab dashboard --bind 0.0.0.0\n\n\
        Where no Grafana runs, a lab has one by itself (lab status tells where); this one is for a room, or beside Grafana.")]
    Dashboard(DashboardArgs),
    /// Show or change the server's and the caller's key
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab key show\n  lab key rotate apikey-v2\n  lab key align")]
    Key(KeyCommand),
    /// Send requests, and see what comes back
    #[command(after_help = "Examples:\n  lab traffic\n  lab traffic --key apikey-v1 --key apikey-v2=20%\n  \
        lab traffic --rate 100 --duration 30s\n  lab traffic --connections 64 --duration 10s\n  \
        lab traffic --stage 10s:0..200 --stage 30s:200 --expect 'latency.p99: \"< 50ms\"'\n  \
        lab traffic --url http://127.0.0.1:9000/ --requests 10\n\n\
        Without --url the requests go to the lab's gateway, with the caller's key.\n\
        With a rate, latency counts from when a request was due, whatever the server did meanwhile.\n\
        Exits 0 whatever the codes are, 1 if an --expect does not hold, and 3 if nothing answered.")]
    Traffic(Box<TrafficArgs>),
    /// List, fetch, save and load the images of the stack, for labs on Docker
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab images list\n  lab images pull\n  lab images save lab-images.tar\n  lab images load lab-images.tar\n\n\
        For a room without a registry: pull and save where there is one, load and `lab up --images offline` in the room."
    )]
    Images(ImagesCommand),
    /// Ask the lab's Prometheus
    #[command(
        after_help = "Examples:\n  lab query 'rate(app_auth_failures_total[1m])'\n  lab query job:app_auth_failures:ratio_rate30s --range 10m\n\n\
        Prometheus runs in labs on Docker."
    )]
    Query(QueryArgs),
    /// Show the app's metrics
    #[command(
        after_help = "Examples:\n  lab metrics\n  lab metrics --filter app_auth\n  lab metrics --watch\n  lab metrics --raw"
    )]
    Metrics(MetricsArgs),
    /// List, read, check and run scenarios
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab scenario list\n  lab scenario run rotate-key\n  lab scenario validate my.yaml"
    )]
    Scenario(ScenarioCommand),
    /// Show the runs so far, report them, compare them
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  lab runs list\n  lab runs show 7f3a\n  lab runs report 7f3a --html review.html\n  \
        lab runs diff 7f3a 91c0"
    )]
    Runs(RunsCommand),
    /// Put back what a run that was cut off, or kept, has changed
    #[command(after_help = "Examples:\n  lab recover\n  lab recover --all")]
    Recover(RecoverArgs),
    /// Check what this machine lacks, and what to do about it
    #[command(after_help = "Examples:\n  lab doctor")]
    Doctor,
    /// Print completions for a shell
    #[command(after_help = "Examples:\n  lab completions bash > ~/.local/share/bash-completion/completions/lab\n  \
        lab completions zsh > ~/.zfunc/_lab\n  lab completions fish > ~/.config/fish/completions/lab.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The service under test (started by the engine)
    #[command(hide = true)]
    App(AppArgs),
    /// The reverse proxy in front of it (started by the engine)
    #[command(hide = true)]
    Gateway(ServiceArgs),
    /// The process that an embedded lab lives in (started by the engine)
    #[command(hide = true)]
    Host,
    /// The process that serves the dashboard of a lab on containers (started by `lab up`)
    #[command(hide = true)]
    DashboardHost,
}

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// The one of the lab that runs already, else the best that this machine has
    #[default]
    Auto,
    /// Containers of a Docker daemon: Nginx, the app, Postgres, Prometheus, Grafana; fetches images that are not there
    Docker,
    /// Processes on this machine, no Docker
    Embedded,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A timeline, for people
    #[default]
    Text,
    /// The journal, one document
    Json,
    /// The events, one a line, as they happen
    Ndjson,
}

/// The completions of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lab", &mut out);
    out
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
