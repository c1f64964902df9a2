//! Selects the engine of a new lab: the requested one, else Docker if a daemon answers at once and has all images, else
//! embedded. This way a first run takes seconds and never downloads anything.

use crate::engines::Connect;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::session::Session;
use crate::cli::{EngineChoice, ImagesChoice, NewLabArgs};
use crate::engines::dashboard::requested_port;
use lab_containers::docker::{self, ImageReport};
use lab_containers::swarm;
use lab_core::error::Failure;
use lab_report::report::human;
use lab_report::term::Tone;
use lab_runner::lab::{Containers, Lab, Record};
use lab_system::deadline;

/// Time for the daemon to answer before it counts as unavailable.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Requested properties of a new lab.
pub(super) struct NewLab<'a> {
    pub(super) engine: EngineChoice,
    pub(super) containers: Containers,
    pub(super) gateway_port: u16,
    /// Command to suggest with another `--engine`.
    pub(super) verb: &'a str,
}

impl<'a> NewLab<'a> {
    pub(super) fn new(args: &NewLabArgs, gateway_port: u16, verb: &'a str) -> anyhow::Result<Self> {
        let mut containers = Containers::new().map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?;
        containers.offline = args.images == Some(ImagesChoice::Offline);
        containers.bind = args.bind;
        Ok(Self { engine: args.engine, containers, gateway_port, verb })
    }

    /// Returns true if an option was given that requires Docker.
    fn needs_docker(&self) -> bool {
        let Containers { stack, app_image, bind, .. } = &self.containers;
        stack.is_some() || app_image.is_some() || bind.is_some()
    }
}

/// Creates the record of a new lab. If the engine was chosen automatically, notes the choice on stderr.
pub(super) async fn record(session: &Session, lab: &Lab, new_lab: NewLab<'_>) -> anyhow::Result<Record> {
    let engine = if let Some(engine) = engine_name(new_lab.engine) {
        engine
    } else {
        let (engine, why) = best(lab, &new_lab).await?;
        session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &why));
        engine
    };
    if engine == swarm::NAME {
        check_swarm(&new_lab.containers)?;
    } else if engine != docker::NAME && new_lab.needs_docker() {
        let message = "--stack, --app-image and --bind (LAB_BIND) require Docker";
        return Err(Failure::usage(message).hint("add --engine docker").into());
    }
    let dashboard_port = if has_dashboard_process(engine) { dashboard_port()? } else { None };
    let containers = Containers { dashboard_port, ..new_lab.containers };
    Ok(Record { containers, ..Record::new(engine, new_lab.gateway_port) })
}

/// Name of the chosen engine. `None` for `auto`.
pub(super) fn engine_name(choice: EngineChoice) -> Option<&'static str> {
    match choice {
        EngineChoice::Auto => None,
        EngineChoice::Docker => Some(docker::NAME),
        EngineChoice::Embedded => Some(lab_embedded::NAME),
        EngineChoice::Swarm => Some(swarm::NAME),
    }
}

/// Returns true if the dashboard of a lab on this engine is a process of its own.
pub(super) fn has_dashboard_process(engine: &str) -> bool {
    [docker::NAME, swarm::NAME].contains(&engine)
}

/// Refuses options that a lab on a Swarm cannot have.
fn check_swarm(containers: &Containers) -> Result<(), Failure> {
    let Containers { stack, app_image, bind, .. } = containers;
    if stack.is_some() || bind.is_some() {
        let message = "--stack and --bind (LAB_BIND) do not apply to a lab on a Swarm";
        return Err(Failure::usage(message).hint("its ports are open on all addresses of its node, see docs/swarm.md"));
    }
    match app_image {
        // A tag may be another image on each node.
        Some(image) if !(image.starts_with("sha256:") || image.contains("@sha256:")) => {
            let message = format!("--app-image {image}: on a Swarm, an image must be named by its id or digest");
            Err(Failure::usage(message).hint("use REGISTRY/lab@sha256:DIGEST, or omit it to use this lab's own image"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Dashboard port requested in the environment.
pub(super) fn dashboard_port() -> Result<Option<u16>, Failure> {
    requested_port().map_err(|error| Failure::usage(error).hint("use a number up to 65535, or 0 for a free port"))
}

/// Absolute path of `--stack`.
pub(super) fn stack_folder(typed: &Path) -> anyhow::Result<PathBuf> {
    if typed.to_str().is_none() {
        let message = format!("--stack {}: the path is not UTF-8", typed.display());
        return Err(Failure::usage(message).hint("rename the folder").into());
    }
    Ok(std::path::absolute(typed)?)
}

/// Canonical paths of `--allow-folder`.
pub(super) fn allowed_folders(typed: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let real = |path: &PathBuf| {
        let failed = |why: &str| Failure::usage(format!("--allow-folder {}: {why}", path.display()));
        let real = std::fs::canonicalize(path).map_err(|error| failed(&error.to_string()))?;
        match (real.is_dir(), real.to_str()) {
            (false, _) => Err(failed("expected a folder")),
            (true, None) => Err(failed("the path is not UTF-8")),
            (true, Some(_)) => Ok(real),
        }
    };
    typed.iter().map(real).collect()
}

/// Readiness of Docker for a new lab.
pub(super) enum DockerStatus {
    /// The daemon answers and has all images.
    Ready,
    /// Number of missing images.
    MissingImages(u64),
    /// The daemon is on another machine.
    Remote,
    /// The daemon does not answer.
    Unavailable,
}

/// Checks whether Docker is ready for a new lab.
pub(super) async fn docker_status(lab: &Lab, containers: &Containers) -> anyhow::Result<DockerStatus> {
    let docker = lab.docker(containers)?;
    Ok(match deadline::timeout(PATIENCE, docker.images()).await {
        Ok(Ok(ImageReport { is_remote: true, .. })) => DockerStatus::Remote,
        Ok(Ok(ImageReport { missing, .. })) if missing.is_empty() => DockerStatus::Ready,
        Ok(Ok(ImageReport { missing, .. })) => DockerStatus::MissingImages(missing.len() as u64),
        Ok(Err(_)) | Err(_) => DockerStatus::Unavailable,
    })
}

/// Selects the best available engine. Returns a note with the reason and the alternative.
async fn best(lab: &Lab, new_lab: &NewLab<'_>) -> anyhow::Result<(&'static str, String)> {
    let own = new_lab.needs_docker();
    let verb = new_lab.verb;
    let missing = match docker_status(lab, &new_lab.containers).await? {
        DockerStatus::Ready => 0,
        DockerStatus::MissingImages(missing) => missing,
        DockerStatus::Remote if own => 0,
        DockerStatus::Remote => {
            let why = "the Docker daemon is on another machine; using the embedded engine (lab up --bind ADDRESS uses Docker, open to all)";
            return Ok((lab_embedded::NAME, why.to_owned()));
        }
        // The user needs Docker: let its own error explain the problem.
        DockerStatus::Unavailable if own => return Ok((docker::NAME, "using Docker".to_owned())),
        DockerStatus::Unavailable => {
            return Ok((lab_embedded::NAME, "the Docker daemon does not answer; using the embedded engine".to_owned()));
        }
    };
    if missing == 0 || own {
        let why = format!("Docker is ready; using it ({verb} --engine embedded runs without it)");
        return Ok((docker::NAME, why));
    }
    let images = human::count(missing, "image");
    let are = if missing == 1 { "is" } else { "are" };
    let why = format!(
        "Docker is available, but {images} {are} missing; using the embedded engine ({verb} --engine docker pulls)"
    );
    Ok((lab_embedded::NAME, why))
}
