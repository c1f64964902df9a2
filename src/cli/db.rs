//! Arguments of `lab db`.

use clap::{Args, Subcommand};

/// `lab db`.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Run one SQL statement in the app's database; read-only unless --write
    #[command(
        after_help = "Examples:\n  lab db query 'SELECT * FROM users'\n  lab db query 'SELECT * FROM users' --csv > users.csv\n  \
        lab db query 'SELECT pid, state, query FROM pg_stat_activity'\n  \
        lab db query \"UPDATE users SET name = 'x' WHERE id = 1\" --write\n\n\
        PostgreSQL on Docker, SQLite on the embedded engine. Without --write, lab connects to PostgreSQL as the role viewer, \
        which reads data and statistics and may end sessions (pg_terminate_backend)."
    )]
    Query(DbQueryArgs),
}

/// `lab db query`.
#[derive(Debug, Args)]
pub(crate) struct DbQueryArgs {
    /// SQL statement; - reads it from standard input
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
    /// Allow changes, with the rights of the app
    #[arg(long)]
    pub(crate) write: bool,
    /// Time limit of the statement
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: String,
    /// Maximum number of rows, up to 100000
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub(crate) rows: usize,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Print CSV with a header
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}
