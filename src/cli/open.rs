//! Arguments of `lab open`.

use clap::{Args, ValueEnum};

/// `lab open`.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// Page to open
    #[arg(value_enum, default_value_t)]
    pub(crate) page: PageChoice,
    /// For a report: run id, the end of it, or `last` [default: last]
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Only print the address
    #[arg(long)]
    pub(crate) print: bool,
    /// Print one JSON document, and open nothing
    #[arg(long)]
    pub(crate) json: bool,
}

/// Page of a lab or of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageChoice {
    /// Grafana if the lab has it, else lab's own dashboard
    #[default]
    Dashboard,
    /// Grafana
    Grafana,
    /// Prometheus
    Prometheus,
    /// Incident review of a run
    Report,
}
