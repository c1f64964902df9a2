//! What may be typed after `lab traffic`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `lab traffic`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TrafficArgs {
    /// Instead of sending.
    #[command(subcommand)]
    pub(crate) command: Option<TrafficCommand>,
    /// What to send.
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

/// What is done with what was sent before.
#[derive(Debug, Subcommand)]
pub(crate) enum TrafficCommand {
    /// Show two results of `lab traffic --json` side by side
    #[command(after_help = "Examples:\n  lab traffic --json > before.json\n  lab traffic --json > after.json\n  \
        lab traffic compare before.json after.json")]
    Compare {
        /// The first result
        #[arg(value_name = "A.json")]
        before: PathBuf,
        /// The second
        #[arg(value_name = "B.json")]
        after: PathBuf,
    },
}

/// What `lab traffic` sends, and how it shows what comes back.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Sent as X-API-Key in this call; several for several callers, each with a share: old --key new=20% [default: the caller's]
    #[arg(long = "key", value_name = "KEY[=SHARE%]", help_heading = "What is sent")]
    pub(crate) keys: Vec<String>,
    /// What to ask the lab's gateway for
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/api/users",
        conflicts_with = "url",
        help_heading = "What is sent"
    )]
    pub(crate) path: String,
    /// Any http address instead of a lab's
    #[arg(long, value_name = "URL", help_heading = "What is sent")]
    pub(crate) url: Option<String>,
    /// The HTTP method [default: GET, with --body POST]
    #[arg(long, value_name = "METHOD", help_heading = "What is sent")]
    pub(crate) method: Option<String>,
    /// Sent with each request; can be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", help_heading = "What is sent")]
    pub(crate) headers: Vec<String>,
    /// A body, or @FILE for a file's content
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "What is sent")]
    pub(crate) body: Option<String>,
    /// A file of requests in vegeta's plain format, sent in turn; a path in it is one on the lab's gateway, or on --url
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "method", "body"], help_heading = "What is sent")]
    pub(crate) targets: Option<PathBuf>,

    /// Requests a second; without it, --connections sends as fast as it is answered [default: 20]
    #[arg(long, value_name = "RATE", help_heading = "How fast")]
    pub(crate) rate: Option<String>,
    /// A rate for a while, 30s:200, or a ramp, 30s:0..200; several follow each other
    #[arg(long = "stage", value_name = "TIME:RATE", conflicts_with_all = ["rate", "requests", "duration"], help_heading = "How fast")]
    pub(crate) stages: Vec<String>,
    /// At random distances, as independent callers come (a Poisson process), not at equal ones
    #[arg(long, help_heading = "How fast")]
    pub(crate) poisson: bool,
    /// The same random distances as last time; any number
    #[arg(long, value_name = "SEED", requires = "poisson", help_heading = "How fast")]
    pub(crate) seed: Option<u64>,
    /// How many requests [default: 40]
    #[arg(long, value_name = "COUNT", conflicts_with = "duration", help_heading = "How fast")]
    pub(crate) requests: Option<String>,
    /// For how long instead: 500ms, 10s, 2m [default without --rate: 10s]
    #[arg(long, value_name = "TIME", help_heading = "How fast")]
    pub(crate) duration: Option<String>,
    /// Send for so long before anything counts
    #[arg(long, value_name = "TIME", help_heading = "How fast")]
    pub(crate) warmup: Option<String>,
    /// How many connections, each with one request at a time [default: one for each 50 requests a second, at most 64]
    #[arg(long, value_name = "COUNT", help_heading = "How fast")]
    pub(crate) connections: Option<String>,
    /// A connection of its own for each request
    #[arg(long, help_heading = "How fast")]
    pub(crate) no_keepalive: bool,
    /// How long to wait for a response
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "How fast")]
    pub(crate) timeout: String,
    /// How long to wait for a connection [default: as --timeout]
    #[arg(long, value_name = "TIME", help_heading = "How fast")]
    pub(crate) connect_timeout: Option<String>,

    /// What must be seen, else exit 1: 'status.200: ">= 99.9%"', 'latency.p99: "< 50ms"'; several times
    #[arg(long = "expect", value_name = "METRIC: BOUND", help_heading = "What is shown")]
    pub(crate) expects: Vec<String>,
    /// One JSON document instead of the table
    #[arg(long, help_heading = "What is shown")]
    pub(crate) json: bool,
    /// A line a second into a file, as it happens; - for standard output, instead of the table
    #[arg(long, value_name = "FILE", help_heading = "What is shown")]
    pub(crate) csv: Option<PathBuf>,
}
