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
        /// Run id, the end of it, or `last`
        id: String,
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Print the journal as one JSON document, like --format json
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Write a report of a run: HTML page, Markdown ticket, JUnit XML or JSON
    #[command(
        after_help = "Examples:\n  lab runs report 7f3a --html review.html\n  lab runs report 7f3a --markdown -\n  \
        lab runs report 7f3a --html review.html --junit results.xml\n  \
        lab runs report --markdown -                   the last run\n\nUse - for standard output."
    )]
    Report(ReportArgs),
    /// Compare two runs side by side
    #[command(after_help = "Examples:\n  lab runs diff 7f3a 91c0\n  lab runs diff 7f3a 91c0 --json")]
    Diff {
        /// Run id, the end of it, or `last`
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
        /// Run id, the end of it, or `last`
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
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run id, the end of it, or `last` [default: last]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) forms: Forms,
}

/// Requested report files, at least one.
#[derive(Clone, Debug, Args)]
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
    /// The journal as one JSON document, on standard output or in a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
}

impl ReportArgs {
    /// Reads `--json 7f3a` as `--json` and an id: a file name has an extension or a folder.
    pub(crate) fn disambiguate(&self) -> Self {
        let mut args = self.clone();
        let is_id = |file: &PathBuf| file.extension().is_none() && file.components().count() == 1;
        if args.id.is_none()
            && let Some(file) = args.forms.json.take_if(|file| is_id(file) && file.as_os_str() != "-")
        {
            args.id = file.to_str().map(str::to_owned);
            args.forms.json = Some("-".into());
        }
        args
    }
}
