//! What may be typed after `lab query` and `lab metrics`.

use clap::Args;

/// `lab query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// In PromQL
    #[arg(value_name = "EXPRESSION")]
    pub(crate) expression: String,
    /// Over the last while, as a sparkline: 5m, 2h
    #[arg(long, value_name = "TIME")]
    pub(crate) range: Option<String>,
    /// Prometheus' own answer
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// The page as the app shows it
    #[arg(long, conflicts_with = "watch")]
    pub(crate) raw: bool,
    /// Again every second, with the change per second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Any /metrics page instead of a lab's
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}
