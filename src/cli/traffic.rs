//! Arguments of `lab traffic`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `lab traffic`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TrafficArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TrafficCommand>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

/// Works on earlier results instead of sending requests.
#[derive(Debug, Subcommand)]
pub(crate) enum TrafficCommand {
    /// Compare two results of `lab traffic --json` side by side
    #[command(after_help = "Examples:\n  lab traffic --json > before.json\n  lab traffic --json > after.json\n  \
        lab traffic compare before.json after.json")]
    Compare {
        /// First result
        #[arg(value_name = "A.json")]
        before: PathBuf,
        /// Second result
        #[arg(value_name = "B.json")]
        after: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// Requests to send and how to show the result.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct SendArgs {
    /// X-API-Key to send; several for several callers, each with a share: --key old --key new=20% [default: the caller's key]
    #[arg(long = "key", value_name = "KEY[=SHARE%]", help_heading = "Requests")]
    pub(crate) keys: Vec<String>,
    /// Send as the callers of the lab's kept run, or of its running callers: with their keys, shares and paths
    #[arg(long, conflicts_with_all = ["keys", "path", "url", "method", "headers", "body", "targets"], help_heading = "Requests")]
    pub(crate) as_callers: bool,
    /// Path on the lab's gateway
    #[arg(long, value_name = "PATH", default_value = "/api/users", conflicts_with = "url", help_heading = "Requests")]
    pub(crate) path: String,
    /// HTTP URL to send to, instead of a lab
    #[arg(long, value_name = "URL", help_heading = "Requests")]
    pub(crate) url: Option<String>,
    /// HTTP method [default: GET, or POST with --body]
    #[arg(short = 'X', long, value_name = "METHOD", help_heading = "Requests")]
    pub(crate) method: Option<String>,
    /// Header to send with each request; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", help_heading = "Requests")]
    pub(crate) headers: Vec<String>,
    /// Request body, or @FILE to read it from a file
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Requests")]
    pub(crate) body: Option<String>,
    /// File of requests in vegeta's plain format, sent in turn; paths are relative to the lab's gateway or --url
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "method", "body"], help_heading = "Requests")]
    pub(crate) targets: Option<PathBuf>,

    /// Requests per second: 20 or 20/s; without it, --connections sends as fast as responses arrive [default: 20]
    #[arg(long, value_name = "RATE", help_heading = "Rate")]
    pub(crate) rate: Option<String>,
    /// Constant rate for a time, 30s:200, or a ramp, 30s:0..200; can be given several times, in order
    #[arg(long = "stage", value_name = "TIME:RATE", conflicts_with_all = ["rate", "requests", "duration"], help_heading = "Rate")]
    pub(crate) stages: Vec<String>,
    /// Send at random intervals, like independent callers (a Poisson process)
    #[arg(long, help_heading = "Rate")]
    pub(crate) poisson: bool,
    /// Seed of the random intervals, to repeat them
    #[arg(long, value_name = "SEED", requires = "poisson", help_heading = "Rate")]
    pub(crate) seed: Option<u64>,
    /// Number of requests [default: 40]
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "duration", help_heading = "Rate")]
    pub(crate) requests: Option<String>,
    /// Duration, instead of a number of requests: 500ms, 10s, 2m [default without --rate: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Rate")]
    pub(crate) duration: Option<String>,
    /// Send for this long before measuring
    #[arg(long, value_name = "TIME", help_heading = "Rate")]
    pub(crate) warmup: Option<String>,
    /// Number of connections, each with one request at a time [default: one per 50 requests per second, at most 64]
    #[arg(short = 'c', long, value_name = "COUNT", help_heading = "Rate")]
    pub(crate) connections: Option<String>,
    /// Open a new connection for each request
    #[arg(long, help_heading = "Rate")]
    pub(crate) no_keepalive: bool,
    /// Time to wait for a response
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "Rate")]
    pub(crate) timeout: String,
    /// Time to wait for a connection [default: same as --timeout]
    #[arg(long, value_name = "TIME", help_heading = "Rate")]
    pub(crate) connect_timeout: Option<String>,

    /// Expectation; exits 1 if it fails: 'status.200: ">= 99.9%"', 'latency.p99: "< 50ms"'; can be given several times
    #[arg(long = "expect", value_name = "METRIC: BOUND", help_heading = "Output")]
    pub(crate) expects: Vec<String>,
    /// Print one JSON document instead of the table
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Write one CSV row per second to a file, as it happens; - for standard output instead of the table
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) csv: Option<PathBuf>,
}
