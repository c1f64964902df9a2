//! Every clap type: what may be typed. The only place that imports clap. What a word means beyond its own syntax (a
//! duration, a key) is found out in the modules that know it.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const FIRST_STEPS: &str = "\
First steps:
  lab scenario run rotate-key      one outage, from the first request to the clean-up
  lab scenario list                what else there is to rehearse
  lab up                           a lab that stays, for trying things by hand
  lab traffic                      what its callers see
  lab key rotate apikey-v2         the server's key changes, the caller's does not
  lab down                         the lab goes away, its history stays

Exit codes: 0 held, 1 not held, 2 usage or invalid file, 3 engine or stack failed,
4 undo incomplete, 130 and 143 interrupted (after the undo).";

/// Rehearse incidents: bring up a small real system, break it on purpose, and see what the outage did.
#[derive(Debug, Parser)]
#[command(name = "lab", version, propagate_version = true, styles = STYLES, after_help = FIRST_STEPS)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The lab that is meant [default: default; `scenario run` makes one of its own where that is not up]
    #[arg(long, global = true, env = "LAB_NAME", hide_env_values = true, value_name = "NAME")]
    pub name: Option<String>,
}

impl Cli {
    /// Reads the command line. Prints help, or what is wrong with it, and ends the process where there is nothing to do.
    pub fn from_command_line() -> Self {
        Self::parse()
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    #[command(after_help = "Examples:\n  lab logs app --tail 20\n  lab logs -f\n  lab logs gateway app -f")]
    Logs(LogsArgs),
    /// Show or change the server's and the caller's key
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab key show\n  lab key rotate apikey-v2\n  lab key align")]
    Key(KeyCommand),
    /// Send requests, and see what comes back
    #[command(after_help = "Examples:\n  lab traffic\n  lab traffic --key apikey-v1\n  \
        lab traffic --rate 100 --duration 30s --connections 8\n  lab traffic --url http://127.0.0.1:9000/ --requests 10\n\n\
        Without --url the requests go to the lab's gateway, with the caller's key.\n\
        Exits 0 whatever the codes are, and 3 if nothing answered.")]
    Traffic(TrafficArgs),
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
    /// Show the runs so far
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab runs list\n  lab runs show 7f3a\n  lab runs show 7f3a --format json")]
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
}

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The one of the lab that runs already, else the best that this machine has
    #[default]
    Auto,
    /// Containers of a Docker daemon: Nginx, the app, Postgres, Prometheus, Grafana; fetches images that are not there
    Docker,
    /// Processes on this machine, no Docker
    Embedded,
}

/// `lab up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// What runs the stack
    #[arg(long, env = "LAB_ENGINE", hide_env_values = true, value_enum, default_value_t)]
    pub engine: EngineChoice,
    /// The gateway's port on 127.0.0.1; 0 for a free one [default: 8080 for the lab `default`, else a free one]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// A folder with a compose.yaml of your own (docs/stack.md); on Docker
    #[arg(long, value_name = "DIR")]
    pub stack: Option<PathBuf>,
    /// The app's image, instead of one made from lab itself; on Docker
    #[arg(long, value_name = "IMAGE")]
    pub app_image: Option<String>,
}

/// `lab down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Every lab of this user
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
}

/// `lab status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Every lab of this user, one line each
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// `lab logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Whose; all where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Go on as lines come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last lines of each service
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
}

/// `lab key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Show the key that the server expects, and the one that the caller sends
    Show {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Give the server another key; the caller keeps sending its own
    Rotate {
        /// The new key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give the caller the server's key
    Align,
}

/// `lab traffic`.
#[derive(Debug, Args)]
pub struct TrafficArgs {
    /// Sent as X-API-Key in this call [default: the caller's]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Requests a second
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub rate: String,
    /// How many requests [default: 40]
    #[arg(long, value_name = "COUNT", conflicts_with = "duration")]
    pub requests: Option<String>,
    /// For how long instead: 500ms, 10s, 2m
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// How many connections, each with one request at a time
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub connections: String,
    /// How long to wait for a response
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub timeout: String,
    /// What to ask the lab's gateway for
    #[arg(long, value_name = "PATH", default_value = "/api/users", conflicts_with = "url")]
    pub path: String,
    /// The HTTP method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// Sent with each request; can be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Any http address instead of a lab's
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// One JSON document instead of the table
    #[arg(long)]
    pub json: bool,
}

/// `lab query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// In `PromQL`
    #[arg(value_name = "EXPRESSION")]
    pub expression: String,
    /// Over the last while, as a sparkline: 5m, 1h
    #[arg(long, value_name = "TIME")]
    pub range: Option<String>,
    /// Prometheus' own answer
    #[arg(long)]
    pub json: bool,
}

/// `lab metrics`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// The page as the app shows it
    #[arg(long, conflicts_with = "watch")]
    pub raw: bool,
    /// Again every second, with the change per second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Any /metrics page instead of a lab's
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `lab scenario`.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Show the scenarios that come with lab
    List {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a scenario: what it tells, its parameters, its steps
    #[command(
        after_help = "Examples:\n  lab scenario show rotate-key\n  lab scenario show rotate-key --source > my.yaml"
    )]
    Show {
        /// A name from the list, or a file
        scenario: String,
        /// The file itself, to begin one of your own from
        #[arg(long)]
        source: bool,
    },
    /// Check scenario files, without running anything
    #[command(
        after_help = "Examples:\n  lab scenario validate my.yaml\n  lab scenario validate rotate-key --set requests=5"
    )]
    Validate {
        /// Names or files; every scenario that comes with lab where none is given
        scenarios: Vec<String>,
        /// A parameter's value; can be given several times
        #[arg(long = "set", value_name = "NAME=VALUE")]
        set: Vec<String>,
    },
    /// Run a scenario: break it, watch it, mend it, put everything back
    #[command(
        after_help = "Examples:\n  lab scenario run rotate-key\n  lab scenario run rotate-key --set requests=100 --set rate=50\n  \
        lab scenario run rotate-key --until observe    break it and leave it so; lab recover mends it\n  \
        lab scenario run my.yaml --format json > run.json"
    )]
    Run(RunArgs),
}

/// `lab scenario run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A name from `lab scenario list`, or a file
    pub scenario: String,
    /// A parameter's value; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Leave the lab as the scenario leaves it; `lab recover` puts it back
    #[arg(long)]
    pub keep: bool,
    /// Stop after this step, or after the last step of this phase, and leave the lab so
    #[arg(long, value_name = "STEP|PHASE")]
    pub until: Option<String>,
    /// What runs the stack
    #[arg(long, env = "LAB_ENGINE", hide_env_values = true, value_enum, default_value_t)]
    pub engine: EngineChoice,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `lab runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Show the runs so far, the newest first
    List {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a run again
    Show {
        /// The run's id, or the end of it
        id: String,
        /// What goes to standard output
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A timeline, for people
    #[default]
    Text,
    /// The journal, one document
    Json,
    /// The events, one a line, as they happen
    Ndjson,
}

/// `lab recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Every lab of this user
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
}

/// `lab app`.
#[derive(Debug, Args)]
pub struct AppArgs {
    /// How it is started
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Ask the app that runs under the same environment whether it is well, and exit 0 or 1; needs no shell
    #[arg(long)]
    pub health: bool,
}

/// How a service of the embedded engine is started. All else comes from its environment.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// End when standard input ends
    #[arg(long)]
    pub tied: bool,
}

/// The completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
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
