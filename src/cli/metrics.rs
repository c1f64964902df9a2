//! What may be typed after `lab query` and `lab metrics`.

use clap::Args;

/// `lab query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// In PromQL
    #[arg(value_name = "EXPRESSION")]
    pub expression: String,
    /// Over the last while, as a sparkline: 5m, 2h
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
