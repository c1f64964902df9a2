//! Which engine a new lab gets: the one that was asked for, else Docker where a daemon answers at once and every image
//! is there, else processes on this machine, so that a first run takes seconds and never a download.

use crate::engines::Connect;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::session::Session;
use crate::cli::{EngineChoice, GroundArgs, ImagesChoice};
use crate::engines::dashboard::asked_port;
use lab_containers::docker::{self, ImageReport};
use lab_core::error::Failure;
use lab_report::report::human;
use lab_report::term::Tone;
use lab_runner::lab::{Containers, Lab, Record};
use lab_system::deadline;

/// How long a daemon may take to answer before the choice goes on without it.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// What a new lab is to be like.
pub(super) struct Wish<'a> {
    pub(super) engine: EngineChoice,
    pub(super) containers: Containers,
    pub(super) gateway_port: u16,
    /// The verb that the user would repeat with `--engine`.
    pub(super) verb: &'a str,
}

impl<'a> Wish<'a> {
    pub(super) fn new(ground: &GroundArgs, gateway_port: u16, verb: &'a str) -> anyhow::Result<Self> {
        let mut containers = Containers::new().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        containers.offline = ground.images == Some(ImagesChoice::Offline);
        containers.bind = ground.bind;
        Ok(Self { engine: ground.engine, containers, gateway_port, verb })
    }

    /// It has what only a lab on Docker can have.
    fn is_for_docker(&self) -> bool {
        let Containers { stack, app_image, bind, .. } = &self.containers;
        stack.is_some() || app_image.is_some() || bind.is_some()
    }
}

/// The record of a new lab. Says on stderr what was chosen, where nobody asked for it.
pub(super) async fn record(session: &Session, lab: &Lab, wish: Wish<'_>) -> anyhow::Result<Record> {
    let engine = match wish.engine {
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
        EngineChoice::Auto => {
            let (engine, why) = best(lab, &wish).await?;
            session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &why));
            engine
        }
    };
    if engine != docker::NAME && wish.is_for_docker() {
        let message = "--stack, --app-image and --bind (LAB_BIND) are for labs on Docker";
        return Err(Failure::usage(message).hint("--engine docker").into());
    }
    let dashboard_port = if engine == docker::NAME { dashboard_port()? } else { None };
    let containers = Containers { dashboard_port, ..wish.containers };
    Ok(Record { containers, ..Record::new(engine, wish.gateway_port) })
}

/// The port that the environment asks for, for lab's own dashboard.
pub(super) fn dashboard_port() -> Result<Option<u16>, Failure> {
    asked_port().map_err(|error| Failure::usage(error).hint("a number to 65535; 0 for a free one"))
}

/// The folder of a stack of the user's own, however it is spelled.
pub(super) fn stack_folder(typed: &Path) -> anyhow::Result<PathBuf> {
    if typed.to_str().is_none() {
        let message = format!("--stack {}: the path is not UTF-8", typed.display());
        return Err(Failure::usage(message).hint("rename the folder").into());
    }
    Ok(std::path::absolute(typed)?)
}

/// The folders that a stack may read beside its own files.
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

/// What Docker has for a new lab now.
pub(super) enum DockerHere {
    /// A daemon answers, and every image is there.
    Ready,
    /// So many images are not there.
    Lacks(u64),
    /// The daemon is on another machine.
    Elsewhere,
    /// No daemon answers.
    Silent,
}

/// What Docker has for a new lab now.
pub(super) async fn docker_here(lab: &Lab, containers: &Containers) -> anyhow::Result<DockerHere> {
    let docker = lab.docker(containers)?;
    Ok(match deadline::timeout(PATIENCE, docker.images()).await {
        Ok(Ok(ImageReport { elsewhere: true, .. })) => DockerHere::Elsewhere,
        Ok(Ok(ImageReport { missing, .. })) if missing.is_empty() => DockerHere::Ready,
        Ok(Ok(ImageReport { missing, .. })) => DockerHere::Lacks(missing.len() as u64),
        Ok(Err(_)) | Err(_) => DockerHere::Silent,
    })
}

/// The best engine that this machine has now, and one line that says why, and how to get the other.
async fn best(lab: &Lab, wish: &Wish<'_>) -> anyhow::Result<(&'static str, String)> {
    let own = wish.is_for_docker();
    let verb = wish.verb;
    let missing = match docker_here(lab, &wish.containers).await? {
        DockerHere::Ready => 0,
        DockerHere::Lacks(missing) => missing,
        DockerHere::Elsewhere if own => 0,
        DockerHere::Elsewhere => {
            let why = "the Docker daemon is on another machine: running embedded (--bind ADDRESS: there, open to all)";
            return Ok((lab_embedded::NAME, why.to_owned()));
        }
        // Whoever asks for what Docker alone has wants Docker; its own error says what is wrong with it.
        DockerHere::Silent if own => return Ok((docker::NAME, "running on docker".to_owned())),
        DockerHere::Silent => return Ok((lab_embedded::NAME, "no Docker daemon answers: running embedded".to_owned())),
    };
    if missing == 0 || own {
        let why = format!("Docker answers, its images are here: running on docker ({verb} --engine embedded: without)");
        return Ok((docker::NAME, why));
    }
    let images = human::count(missing, "image");
    let why =
        format!("Docker answers, {images} of the stack not here: running embedded ({verb} --engine docker fetches)");
    Ok((lab_embedded::NAME, why))
}
