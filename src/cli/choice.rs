//! Values of options that several commands have.

use clap::ValueEnum;

/// Engine that runs the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// The running lab's engine, else Docker if it is ready, else embedded
    #[default]
    Auto,
    /// Docker containers: Nginx, the app, Postgres, Prometheus, Grafana; pulls missing images
    Docker,
    /// Processes on this machine, without Docker
    Embedded,
    /// A service of a Docker Swarm, on any of its nodes
    Swarm,
}

/// Output format of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A timeline for people
    #[default]
    Text,
    /// The journal as one JSON document
    Json,
    /// The events as they happen, one JSON object per line
    Ndjson,
}
