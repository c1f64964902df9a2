//! Arguments of `lab scenario`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, NewLabArgs};

/// `lab scenario`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioCommand {
    /// List the built-in scenarios
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a scenario's ticket and symptom; hints and solution only on request
    #[command(after_help = "Examples:\n  lab scenario show rotate-key\n  lab scenario show rotate-key --hints\n  \
        lab scenario show rotate-key --solution\n  lab scenario show rotate-key --source > my.yaml")]
    Show(ShowArgs),
    /// Validate scenario files without running them
    #[command(
        after_help = "Examples:\n  lab scenario validate my.yaml\n  lab scenario validate rotate-key --set requests=5\n  \
        lab scenario validate scenarios/ --json"
    )]
    Validate(ValidateArgs),
    /// Create a scenario file to start from, commented and ready to run
    #[command(
        after_help = "Examples:\n  lab scenario new slow-login\n  lab scenario new slow-login --out incidents/\n\n\
        Existing files are not overwritten. The JSON Schema for editors is written next to the scenario."
    )]
    New(NewArgs),
    /// Print the JSON Schema of scenario files, or a reference page of every key
    #[command(
        after_help = "Examples:\n  lab scenario schema > scenario.schema.json\n  lab scenario schema --format markdown"
    )]
    Schema {
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: SchemaFormat,
    },
    /// Run a scenario: inject the fault, observe, fix, restore
    #[command(
        after_help = "Examples:\n  lab scenario run rotate-key\n  lab scenario run rotate-key --set requests=100 --set rate=50\n  \
        lab scenario run rotate-key --until observe  # leave the fault in the lab\n  \
        lab scenario run my.yaml --dry-run           # show the plan only\n  \
        lab scenario run my.yaml --format json > run.json\n  \
        lab scenario run rotate-key --report review.html --report results.xml\n  \
        lab scenario run rotate-key --pace workshop  # slow enough for alerts to fire\n  \
        lab scenario run stale-caller app-down       # one after the other\n\n\
        Uses the lab of --name; without it the lab `default` if it is up, else a temporary lab. After --until or --keep: \
        `lab scenario check` tells if the incident is resolved, `lab recover` undoes it."
    )]
    Run(RunArgs),
    /// Check whether a scenario's incident is resolved in a running lab, and show what is still wrong
    #[command(after_help = "Examples:\n  lab scenario check rotate-key\n  lab scenario check rotate-key --symptom\n  \
        lab scenario check rotate-key --json\n\n\
        Uses the parameters of the scenario's kept run in the lab, if there is one. Changes nothing.\n\
        Exits 0 if all checks pass, 1 if one fails, 2 if the scenario has no such check, and 3 if the lab cannot be \
        checked.")]
    Check(CheckArgs),
    /// Prove a scenario's claims: its fault breaks the lab, its fix resolves it, and no wrong fix does
    #[command(after_help = "Examples:\n  lab scenario prove rotate-key\n  lab scenario prove --all\n  \
        lab scenario prove my.yaml --engine docker\n  lab scenario prove --all --format json\n\n\
        Each proof runs in a temporary lab. Parts of other scenarios are exempt.\n\
        Exits 0 if every scenario is proven, 1 if a claim is not proven.")]
    Prove(ProveArgs),
}

/// `lab scenario check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Name from `lab scenario list`, or a file
    pub(crate) scenario: String,
    /// Check for the symptom instead: passes while the fault is active
    #[arg(long)]
    pub(crate) symptom: bool,
    /// Set a parameter; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab scenario validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Scenario names, files or folders [default: all built-in scenarios]
    #[arg(value_name = "SCENARIO|FOLDER")]
    pub(crate) scenarios: Vec<String>,
    /// Set a parameter; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON document, with the position of each error
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab scenario new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the scenario and, without extension, of its file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: String,
    /// Output file or folder [default: the current folder]
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

/// Format of the scenario schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// JSON Schema, for editors and validators
    #[default]
    Json,
    /// Reference page, for people
    Markdown,
}

/// `lab scenario prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Names from `lab scenario list`, or files
    #[arg(value_name = "SCENARIO", required_unless_present = "all")]
    pub(crate) scenarios: Vec<String>,
    /// All built-in scenarios
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) all: bool,
    /// Set a parameter instead of using its short value; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "all")]
    pub(crate) set: Vec<String>,
    /// Number of temporary labs at the same time [default: one per core, three with the embedded engine]
    #[arg(long, value_name = "NUMBER", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=16))]
    pub(crate) jobs: Option<usize>,
    /// Allow `run` steps to run their commands on this machine, as you
    #[arg(long)]
    pub(crate) allow_commands: bool,
    #[command(flatten)]
    pub(crate) new_lab: NewLabArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ProofFormat,
    /// Print one JSON document, like --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

/// Duration of each step with traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PaceChoice {
    /// As written in the scenario: seconds
    #[default]
    Quick,
    /// About a minute each, at the same rate: time for people, dashboards and alerts
    Workshop,
}

/// Output format of proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProofFormat {
    /// One line per proof as it finishes
    #[default]
    Text,
    /// One JSON document when all have finished
    Json,
}

/// `lab scenario show`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct ShowArgs {
    /// Name from `lab scenario list`, or a file
    pub(crate) scenario: String,
    /// Show the hints, from vague to specific
    #[arg(long)]
    pub(crate) hints: bool,
    /// Show the cause, the fix, wrong fixes, the parameters and the steps
    #[arg(long)]
    pub(crate) solution: bool,
    /// Print the scenario file, as a starting point for your own
    #[arg(long, conflicts_with_all = ["hints", "solution", "json"])]
    pub(crate) source: bool,
    /// Print one JSON document; hints and solution only on request
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab scenario run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct RunArgs {
    /// Names from `lab scenario list`, or files; several run one after the other
    #[arg(value_name = "SCENARIO", required = true)]
    pub(crate) scenarios: Vec<String>,
    /// Set a parameter; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Keep the lab as the scenario leaves it; `lab recover` undoes the changes
    #[arg(long)]
    pub(crate) keep: bool,
    /// Stop after this step, or at the end of this phase (before the first step of a later one), and keep the lab as it is then
    #[arg(long, value_name = "STEP|PHASE")]
    pub(crate) until: Option<String>,
    /// With --keep or --until: do not let the callers go on in the background
    #[arg(long)]
    pub(crate) no_callers: bool,
    /// Undo the changes of an earlier interrupted run first
    #[arg(long)]
    pub(crate) recover: bool,
    /// Show steps, changes, duration and undo without starting anything
    #[arg(long, conflicts_with_all = ["recover", "reports", "format"])]
    pub(crate) dry_run: bool,
    /// Print one JSON document, like --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Duration of each step with traffic
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pace: PaceChoice,
    /// Allow `run` steps to run their commands on this machine, as you
    #[arg(long)]
    pub(crate) allow_commands: bool,
    #[command(flatten)]
    pub(crate) new_lab: NewLabArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Also write a report; the extension selects the format: .html, .md, .xml (JUnit), .json; can be given several times
    #[arg(long = "report", value_name = "FILE")]
    pub(crate) reports: Vec<PathBuf>,
}

impl RunArgs {
    /// The output format, which has two spellings.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
