//! What may be typed after `lab scenario`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, GroundArgs};

/// `lab scenario`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioCommand {
    /// Show the scenarios that come with lab
    List {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a scenario: its ticket and its symptom; what gives it away only when asked
    #[command(after_help = "Examples:\n  lab scenario show rotate-key\n  lab scenario show rotate-key --hints\n  \
        lab scenario show rotate-key --solution\n  lab scenario show rotate-key --source > my.yaml")]
    Show(ShowArgs),
    /// Check scenario files, without running anything
    #[command(
        after_help = "Examples:\n  lab scenario validate my.yaml\n  lab scenario validate rotate-key --set requests=5\n  \
        lab scenario validate scenarios/ --json"
    )]
    Validate(ValidateArgs),
    /// Write a scenario of your own to begin from: commented, and it runs as it is
    #[command(
        after_help = "Examples:\n  lab scenario new slow-login\n  lab scenario new slow-login --out incidents/\n\n\
        Nothing is overwritten. The JSON Schema for editors is written beside it."
    )]
    New(NewArgs),
    /// Print the JSON Schema of scenario files, for editors; or every key as a page
    #[command(
        after_help = "Examples:\n  lab scenario schema > scenario.schema.json\n  lab scenario schema --format markdown"
    )]
    Schema {
        /// What goes to standard output
        #[arg(long, value_enum, default_value_t)]
        format: SchemaFormat,
    },
    /// Run a scenario: break it, watch it, mend it, put everything back
    #[command(
        after_help = "Examples:\n  lab scenario run rotate-key\n  lab scenario run rotate-key --set requests=100 --set rate=50\n  \
        lab scenario run rotate-key --until observe    break it and leave it so; lab recover mends it\n  \
        lab scenario run my.yaml --dry-run             what would happen; nothing is started\n  \
        lab scenario run my.yaml --format json > run.json\n  \
        lab scenario run rotate-key --report review.html --report results.xml\n  \
        lab scenario run rotate-key --pace workshop    a minute a step: long enough for alerts to fire"
    )]
    Run(RunArgs),
    /// Prove that a scenario does what it says: broken by its fault, mended by its remedy and by nothing else
    #[command(after_help = "Examples:\n  lab scenario prove rotate-key\n  lab scenario prove --all\n  \
        lab scenario prove my.yaml --engine docker\n  lab scenario prove --all --format json\n\n\
        Each proof has a lab of its own, which goes away with it. Parts for other scenarios are exempt.\n\
        Exits 0 if all are proved, 1 if a claim does not hold.")]
    Prove(ProveArgs),
}

/// `lab scenario validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Names, files or folders of files; every scenario that comes with lab where none is given
    #[arg(value_name = "SCENARIO|FOLDER")]
    pub(crate) scenarios: Vec<String>,
    /// A parameter's value; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// One JSON document, the mistakes with their places
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab scenario new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// What it is called: the file's name without its ending
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: String,
    /// The file, or a folder for it [default: the present folder]
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

/// How the language is described.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// A JSON Schema, for editors and validators
    #[default]
    Json,
    /// A page, for people
    Markdown,
}

/// `lab scenario prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Names from `lab scenario list`, or files
    #[arg(value_name = "SCENARIO", required_unless_present = "all")]
    pub(crate) scenarios: Vec<String>,
    /// Every scenario that comes with lab
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) all: bool,
    /// A parameter's value, instead of its short one; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "all")]
    pub(crate) set: Vec<String>,
    /// How many at a time [default: one a core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=16))]
    pub(crate) jobs: Option<usize>,
    /// Let `run` steps run their commands on this machine, as you
    #[arg(long)]
    pub(crate) allow_commands: bool,
    /// What it is made on
    #[command(flatten)]
    pub(crate) ground: GroundArgs,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ProofFormat,
}

/// How long each step with traffic goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PaceChoice {
    /// As the scenario has it: seconds
    #[default]
    Quick,
    /// About a minute each, at the same rate: time for people, dashboards and alerts
    Workshop,
}

/// How proofs are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProofFormat {
    /// A line a proof as it ends, for people
    #[default]
    Text,
    /// One document, when all have ended
    Json,
}

/// `lab scenario show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A name from the list, or a file
    pub(crate) scenario: String,
    /// The hints, from vague to exact
    #[arg(long)]
    pub(crate) hints: bool,
    /// What is broken and how it is mended, what does not mend it, the parameters and the steps
    #[arg(long)]
    pub(crate) solution: bool,
    /// The file itself, to begin one of your own from
    #[arg(long, conflicts_with_all = ["hints", "solution"])]
    pub(crate) source: bool,
}

/// `lab scenario run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct RunArgs {
    /// A name from `lab scenario list`, or a file
    pub(crate) scenario: String,
    /// A parameter's value; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Leave the lab as the scenario leaves it; `lab recover` puts it back
    #[arg(long)]
    pub(crate) keep: bool,
    /// Stop after this step, or after the last step of this phase, and leave the lab so
    #[arg(long, value_name = "STEP|PHASE")]
    pub(crate) until: Option<String>,
    /// Put back first what an earlier run in this lab was cut off from putting back
    #[arg(long)]
    pub(crate) recover: bool,
    /// Only say what would happen: steps, changes, how long it takes, what would be put back; starts nothing
    #[arg(long, conflicts_with_all = ["recover", "reports", "format"])]
    pub(crate) dry_run: bool,
    /// With --dry-run: one JSON document
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
    /// How long each step with traffic goes on
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pace: PaceChoice,
    /// Let `run` steps run their commands on this machine, as you
    #[arg(long)]
    pub(crate) allow_commands: bool,
    /// What it is made on
    #[command(flatten)]
    pub(crate) ground: GroundArgs,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Also write a report, in the form that the file's ending names: .html, .md, .xml (JUnit), .json; can be given several times
    #[arg(long = "report", value_name = "FILE")]
    pub(crate) reports: Vec<PathBuf>,
}
