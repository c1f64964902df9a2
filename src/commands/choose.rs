//! Which engine a new lab gets: the one that was asked for, else Docker where a daemon answers at once and every image
//! is there, else processes on this machine, so that a first run takes seconds and never a download.

use std::time::Duration;

use super::session::Session;
use crate::cli::EngineChoice;
use crate::engine::docker::{self, ImageReport};
use crate::engine::embedded;
use crate::error::Failure;
use crate::lab::{Containers, Lab, Record};
use crate::report::human;
use crate::term::Tone;

/// How long a daemon may take to answer before the choice goes on without it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a new lab is to be like.
pub(super) struct Wish<'a> {
    pub(super) engine: EngineChoice,
    pub(super) containers: Containers,
    pub(super) gateway_port: u16,
    /// The verb that the user would repeat with `--engine`.
    pub(super) verb: &'a str,
}

impl<'a> Wish<'a> {
    pub(super) fn new(engine: EngineChoice, gateway_port: u16, verb: &'a str) -> anyhow::Result<Self> {
        let containers = Containers::new(None, None).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        Ok(Self { engine, containers, gateway_port, verb })
    }
}

/// The record of a new lab. Says on stderr what was chosen, where nobody asked for it.
pub(super) async fn record(session: &Session, lab: &Lab, wish: Wish<'_>) -> anyhow::Result<Record> {
    let engine = match wish.engine {
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => embedded::NAME,
        EngineChoice::Auto => {
            let (engine, why) = best(lab, &wish).await?;
            session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &why));
            engine
        }
    };
    if engine != docker::NAME && (wish.containers.stack.is_some() || wish.containers.app_image.is_some()) {
        return Err(Failure::usage("--stack and --app-image are for labs on Docker").hint("--engine docker").into());
    }
    Ok(Record { containers: wish.containers, ..Record::new(engine, wish.gateway_port) })
}

/// The best engine that this machine has now, and one line that says why, and how to get the other.
async fn best(lab: &Lab, wish: &Wish<'_>) -> anyhow::Result<(&'static str, String)> {
    let own = wish.containers.stack.is_some() || wish.containers.app_image.is_some();
    let docker = lab.docker(&wish.containers)?;
    let verb = wish.verb;
    let report = match tokio::time::timeout(PATIENCE, docker.images()).await {
        Ok(Ok(report)) => report,
        // Whoever brings a stack of their own wants Docker; its own error says what is wrong with it.
        _ if own => return Ok((docker::NAME, "running on docker".to_owned())),
        Ok(Err(_)) | Err(_) => return Ok((embedded::NAME, "no Docker daemon answers: running embedded".to_owned())),
    };
    let ImageReport { missing, .. } = report;
    if missing.is_empty() || own {
        let why = format!("Docker answers, its images are here: running on docker ({verb} --engine embedded: without)");
        return Ok((docker::NAME, why));
    }
    let images = human::count(missing.len() as u64, "image");
    let why =
        format!("Docker answers, {images} of the stack not here: running embedded ({verb} --engine docker fetches)");
    Ok((embedded::NAME, why))
}
