//! What may be typed after the verbs of a lab: up, down, status, logs, key, recover.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EngineChoice, ImagesChoice};

/// What a new lab is made on, wherever one is made.
#[derive(Debug, Args)]
pub(crate) struct GroundArgs {
    /// What runs the stack
    #[arg(long, env = "LAB_ENGINE", hide_env_values = true, value_enum, default_value_t)]
    pub(crate) engine: EngineChoice,
    /// Which images a new lab may be made from; on Docker [default: auto]
    #[arg(long, env = "LAB_IMAGES", hide_env_values = true, value_enum)]
    pub(crate) images: Option<ImagesChoice>,
    /// Publish a new lab's ports on this address of the daemon's machine, for all who reach it [default: 127.0.0.1]; on Docker
    #[arg(long, env = "LAB_BIND", hide_env_values = true, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
}

/// `lab up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// What it is made on
    #[command(flatten)]
    pub(crate) ground: GroundArgs,
    /// The gateway's port on 127.0.0.1; 0 for a free one [default: 8080 for the lab `default`, else a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// A folder with a compose.yaml of your own (docs/stack.md); on Docker
    #[arg(long, value_name = "DIR")]
    pub(crate) stack: Option<PathBuf>,
    /// A folder that the stack may read beside its own; the lab remembers it
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_folder: Vec<PathBuf>,
    /// The app's image, instead of one made from lab itself; on Docker
    #[arg(long, value_name = "IMAGE")]
    pub(crate) app_image: Option<String>,
}

/// `lab down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Remove its volumes too: they go in any case, since a lab's data is thrown away with it
    #[arg(short, long)]
    pub(crate) volumes: bool,
    /// Every lab of this user
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// What the Docker daemon has under this name, whoever brought it up
    #[arg(long, conflicts_with = "all")]
    pub(crate) force: bool,
}

/// `lab status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Every lab of this user, one line each
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Whose; all where none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Go on as lines come, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin with the last lines of each service
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<usize>,
    /// Begin with those of the last while (5m, 90s), or since a time (2026-11-24T10:15:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Say when each was written
    #[arg(short, long)]
    pub(crate) timestamps: bool,
}

/// `lab watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// How often to look: 100ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) refresh: String,
}

/// `lab dashboard`.
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// Its port; 0 for a free one [default: 3000 for the lab `default` where it is free, else a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// The address it listens on; one that others reach shows it to them [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
}

/// `lab key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Show the key that the server expects, and the one that the caller sends
    Show {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Give the server another key; the caller keeps sending its own
    Rotate {
        /// The new key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give the caller the server's key; where a scenario's callers are in the lab, them too
    Align {
        /// Give it to this caller of a scenario alone
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
}

/// `lab recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Every lab of this user
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}
