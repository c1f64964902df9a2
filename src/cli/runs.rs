//! Arguments of `lab runs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// `lab runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List past runs, newest first
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show a past run
    Show {
        /// Run id, or the end of it
        id: String,
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write a report of a run: HTML page, Markdown ticket, JUnit XML or JSON
    #[command(
        after_help = "Examples:\n  lab runs report 7f3a --html review.html\n  lab runs report 7f3a --markdown -\n  \
        lab runs report 7f3a --html review.html --junit results.xml\n\nUse - for standard output."
    )]
    Report(ReportArgs),
    /// Compare two runs side by side
    #[command(after_help = "Examples:\n  lab runs diff 7f3a 91c0\n  lab runs diff 7f3a 91c0 --json")]
    Diff {
        /// Run id, or the end of it
        one: String,
        /// Run id to compare with, or the end of it
        other: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Export a run to one file, to import on another machine
    #[command(
        after_help = "Examples:\n  lab runs export 7f3a room-2.run\n  lab runs export 7f3a - | ssh other lab runs import -"
    )]
    Export {
        /// Run id, or the end of it
        id: String,
        /// Output file; - for standard output
        file: PathBuf,
    },
    /// Import an exported run into the run history
    #[command(after_help = "Examples:\n  lab runs import room-2.run")]
    Import {
        /// File to import; - for standard input
        file: PathBuf,
    },
}

/// `lab runs report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run id, or the end of it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) forms: Forms,
}

/// Requested report files, at least one.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Forms {
    /// Self-contained HTML page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Markdown, for a ticket
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// JUnit XML, for CI
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// The journal as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
