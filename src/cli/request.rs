//! Arguments of `lab request`.

use clap::Args;

/// `lab request`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct RequestArgs {
    /// Path on the lab's gateway
    #[arg(value_name = "PATH", default_value = "/api/users")]
    pub(crate) path: String,
    /// HTTP method [default: GET, or POST with --data]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Header to send; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Request body, or @FILE to read it from a file
    #[arg(short, long, visible_alias = "body", value_name = "TEXT|@FILE")]
    pub(crate) data: Option<String>,
    /// X-API-Key to send [default: the caller's key]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Send no X-API-Key
    #[arg(long, conflicts_with = "key")]
    pub(crate) no_key: bool,
    /// Time to wait for the whole response
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: String,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Accepted for compatibility with curl: the head is always shown
    #[arg(short, long, hide = true)]
    include: bool,
    /// Accepted for compatibility with curl: there is no progress meter
    #[arg(short, long, hide = true)]
    silent: bool,
}
