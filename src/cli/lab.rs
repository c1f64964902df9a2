//! Arguments of the commands that manage a lab: up, down, status, logs, watch, dashboard, key, recover.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use lab_core::engine::{APP, DB, GATEWAY};
use lab_core::error::Failure;

use super::{EngineChoice, ImagesChoice};

/// Lab as an argument, as an alternative to `--name`.
#[derive(Debug, Args)]
pub(crate) struct LabArgument {
    /// Lab to use, as an alternative to --name
    #[arg(value_name = "NAME", conflicts_with = "name")]
    lab: Option<String>,
}

impl LabArgument {
    /// Takes the argument. Refuses the names of services, because they are more likely a mistake than a lab.
    pub(super) fn take(&mut self) -> Result<Option<String>, Failure> {
        let lab = self.lab.take();
        match lab.as_deref() {
            Some(service @ (GATEWAY | APP | DB | "prometheus" | "grafana")) => {
                Err(Failure::usage(format!("{service} is a service, but this command concerns a whole lab"))
                    .hint(format!("lab start|stop|restart {service}; or --name {service} for a lab of this name")))
            }
            _ => Ok(lab),
        }
    }
}

/// Options for a new lab, shared by every command that can create one.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewLabArgs {
    /// Engine that runs the stack
    #[arg(long, env = "LAB_ENGINE", hide_env_values = true, value_enum, default_value_t)]
    pub(crate) engine: EngineChoice,
    /// Images that a new lab may use (Docker only) [default: auto]
    #[arg(long, env = "LAB_IMAGES", hide_env_values = true, value_enum)]
    pub(crate) images: Option<ImagesChoice>,
    /// Address of the Docker host to publish a new lab's ports on (Docker only) [default: 127.0.0.1]
    #[arg(long, env = "LAB_BIND", hide_env_values = true, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
}

/// Options of the stack of a new lab.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NewStackArgs {
    /// Gateway port on 127.0.0.1; 0 picks a free one [default: 8080 for the lab `default`, else a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Folder with your own compose.yaml, see docs/stack.md (Docker only)
    #[arg(long, value_name = "DIR")]
    pub(crate) stack: Option<PathBuf>,
    /// Additional folder that the stack may read; stored with the lab; can be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_folder: Vec<PathBuf>,
    /// Image for the app, instead of one built from lab itself (Docker only)
    #[arg(long, value_name = "IMAGE")]
    pub(crate) app_image: Option<String>,
}

impl NewStackArgs {
    /// An option that was given, for messages.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let options = [
            ("--port", self.port.is_some()),
            ("--stack", self.stack.is_some()),
            ("--allow-folder", !self.allow_folder.is_empty()),
            ("--app-image", self.app_image.is_some()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// `lab up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    #[command(flatten)]
    pub(crate) new_lab: NewLabArgs,
    #[command(flatten)]
    pub(crate) new_stack: NewStackArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

impl UpArgs {
    /// Options of `lab up` for a command that needs a lab.
    pub(crate) fn for_new_lab(new_lab: NewLabArgs, new_stack: NewStackArgs) -> Self {
        Self { lab: LabArgument { lab: None }, new_lab, new_stack, json: false }
    }
}

/// `lab down`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed by itself")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    /// Accepted for compatibility with `docker compose down`; volumes are always removed
    #[arg(short, long)]
    pub(crate) volumes: bool,
    /// All labs of this user
    #[arg(long, conflicts_with_all = ["name", "lab"])]
    pub(crate) all: bool,
    /// Remove everything the Docker daemon has under this name, even if another user owns it
    #[arg(long, conflicts_with = "all")]
    pub(crate) force: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    /// All labs of this user, one line each
    #[arg(short, long, conflicts_with_all = ["name", "lab"])]
    pub(crate) all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Services to show [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Follow new lines until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Start with the last lines of each service
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<usize>,
    /// Start this long ago (5m, 90s) or at a time (2026-11-24T10:15:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Print one JSON document: a list of lines
    #[arg(long, conflicts_with_all = ["follow", "timestamps"])]
    pub(crate) json: bool,
}

/// `lab stop`, `start`, `restart`, `kill`, `pause` and `unpause`.
#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    /// Services to change, such as gateway, app or db
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
}

/// `lab watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    /// Refresh interval, 100ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) refresh: String,
}

/// `lab dashboard`.
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    /// Dashboard port; 0 picks a free one [default: 3000 for the lab `default` if it is free, else a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Address to listen on; a non-loopback address makes the dashboard reachable for others [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
}

/// `lab key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Show the key that the server expects and the key that the caller sends
    Show {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Change the server's key; the caller keeps sending its own
    Rotate {
        /// New key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give the server's key to the caller, and to a scenario's callers if the lab has them
    Align {
        /// Give it only to this caller of a scenario
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
}

/// `lab reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
}

/// `lab recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgument,
    /// All labs of this user
    #[arg(long, conflicts_with_all = ["name", "lab"])]
    pub(crate) all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}
