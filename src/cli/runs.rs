//! What may be typed after `lab runs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// `lab runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
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
    /// Write a run as a report: a page, a ticket, test results
    #[command(
        after_help = "Examples:\n  lab runs report 7f3a --html review.html\n  lab runs report 7f3a --markdown -\n  \
        lab runs report 7f3a --html review.html --junit results.xml\n\n- is standard output."
    )]
    Report(ReportArgs),
    /// Show two runs side by side
    #[command(after_help = "Examples:\n  lab runs diff 7f3a 91c0\n  lab runs diff 7f3a 91c0 --json")]
    Diff {
        /// A run's id, or the end of it
        one: String,
        /// Another's
        other: String,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Write a run to one file, to be imported elsewhere
    #[command(
        after_help = "Examples:\n  lab runs export 7f3a room-2.run\n  lab runs export 7f3a - | ssh other lab runs import -"
    )]
    Export {
        /// The run's id, or the end of it
        id: String,
        /// The file; - is standard output
        file: PathBuf,
    },
    /// Take a run that was exported into the history
    #[command(after_help = "Examples:\n  lab runs import room-2.run")]
    Import {
        /// The file; - is standard input
        file: PathBuf,
    },
}

/// `lab runs report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run's id, or the end of it
    pub(crate) id: String,
    /// In which forms, and where
    #[command(flatten)]
    pub(crate) forms: Forms,
}

/// At least one.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Forms {
    /// One page that needs nothing else, with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// For a ticket
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// JUnit XML, for CI
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// The journal
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
