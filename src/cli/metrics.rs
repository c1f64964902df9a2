//! Arguments of `lab query` and `lab metrics`.

use clap::Args;

/// `lab query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// PromQL expression
    #[arg(value_name = "EXPRESSION")]
    pub(crate) expression: String,
    /// Query this time span and draw a sparkline per series: 5m, 2h
    #[arg(long, value_name = "TIME")]
    pub(crate) range: Option<String>,
    /// Print the JSON response of Prometheus
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Only metrics whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Print the page as the app serves it
    #[arg(long, conflicts_with = "watch")]
    pub(crate) raw: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with_all = ["raw", "watch"])]
    pub(crate) json: bool,
    /// Repeat every second, with the change per second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Read this /metrics page instead of a lab's
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}
