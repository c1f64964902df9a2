//! `lab images`: lists the stack's images, pulls them, and moves them to machines without a registry.

use crate::engines::Connect;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;

use super::choose;
use super::session::Session;
use super::signals;
use crate::cli::{ImagesCommand, StackArgs};
use lab_containers::docker::{self, ArchiveError, Docker, Manifest, Origin, StackImage};
use lab_core::engine::{EngineError, ProgressFn};
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::{Fallback, Tone};
use lab_runner::lab::Containers;
use lab_runner::runner::{Interrupt, Signal};

pub(super) async fn run(session: &Session, command: &ImagesCommand) -> anyhow::Result<Exit> {
    match command {
        ImagesCommand::List { stack, json } => list(session, &docker(session, Some(stack))?, *json).await,
        ImagesCommand::Pull { services, stack } => pull(session, &docker(session, Some(stack))?, services).await,
        ImagesCommand::Save { file, stack } => save(session, &docker(session, Some(stack))?, file).await,
        ImagesCommand::Load { file } => load(session, &docker(session, None)?, file).await,
    }
}

/// Docker engine with the selected stack: `--stack`, else the lab's.
fn docker(session: &Session, stack: Option<&StackArgs>) -> anyhow::Result<Docker> {
    let lab = session.lab()?;
    let own = stack.and_then(|args| args.stack.as_deref().map(|folder| (folder, &args.allow_folder)));
    let record = lab.record()?.filter(|record| record.engine == docker::NAME);
    let mut containers = match record {
        Some(record) => record.containers,
        None => Containers::new().map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?,
    };
    // `--images offline` of a lab does not forbid pulling by hand.
    containers.offline = false;
    let Some((folder, allowed)) = own else {
        let stack = lab.known_stack(&containers)?;
        return Ok(lab.docker_with(&containers, stack)?);
    };
    containers.stack = Some(choose::stack_folder(folder)?);
    containers.allowed = choose::allowed_folders(allowed)?;
    containers.app_image = None;
    Ok(lab.docker(&containers)?)
}

async fn list(session: &Session, docker: &Docker, json: bool) -> anyhow::Result<Exit> {
    let images = docker.inventory().await?;
    if json {
        return session.json(&images);
    }
    table(&images).write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    session.line("")?;
    let mut exit = Exit::Passed;
    for (image, error) in images.iter().filter_map(|image| Some((image, image.error.as_ref()?))) {
        exit = exit.worse(super::report_error(&Failure::failed(format!("{}: {error}", image.service)).into()));
    }
    for image in images.iter().filter(|image| image.stored.is_none() && image.error.is_none()) {
        if let Some(benefit) = &image.optional {
            let without = if benefit.is_empty() { String::new() } else { format!(" (without it: no {benefit})") };
            session.line(&format!("{} is optional{without}", image.service))?;
        }
    }
    let next = match (images.iter().any(needs_pull), images.iter().any(|image| image.stored.is_some())) {
        (true, _) => "next: lab images pull gets missing and official images · lab images load FILE",
        (false, true) => "all images are available · lab images save FILE copies them for machines without a registry",
        (false, false) => "nothing to pull",
    };
    session.line(&session.term.painter().paint(Tone::Dim, next))?;
    Ok(exit)
}

fn table(images: &[StackImage]) -> Table {
    let mut table = Table::new(&[
        ("service", Side::Left),
        ("image", Side::Left),
        ("size", Side::Right),
        ("digest", Side::Left),
        ("origin", Side::Left),
    ]);
    for image in images {
        let stored = image.stored.as_ref();
        let digest = stored.map(|stored| short(stored.digest.as_deref().unwrap_or(&stored.id)));
        table.row([
            image.service.as_str().into(),
            image.image.as_str().into(),
            stored.map_or_else(|| "-".to_owned(), |stored| human::bytes(stored.size)).into(),
            digest.unwrap_or("-").into(),
            origin(image),
        ]);
    }
    table
}

/// First twelve digits of a digest, as in `docker images`.
fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

fn origin(image: &StackImage) -> Cell {
    match image.stored.as_ref().map(|stored| stored.origin) {
        Some(Origin::Official) => Cell::new(Tone::Good, "official"),
        Some(Origin::StandIn) => Cell::new(Tone::Warn, "stand-in"),
        Some(Origin::Local) => Cell::new(Tone::Plain, "local"),
        None if image.error.is_some() => Cell::new(Tone::Failed, "unknown"),
        None if image.made_here => Cell::new(Tone::Plain, "made by lab up"),
        None if image.optional.is_some() => Cell::new(Tone::Warn, "missing"),
        None => Cell::new(Tone::Failed, "missing"),
    }
}

/// Returns true if the image is missing or a stand-in.
fn needs_pull(image: &StackImage) -> bool {
    match &image.stored {
        Some(stored) => stored.origin == Origin::StandIn,
        None => !image.made_here,
    }
}

async fn pull(session: &Session, docker: &Docker, services: &[String]) -> anyhow::Result<Exit> {
    let images = docker.inventory().await?;
    if let Some(unknown) = services.iter().find(|name| images.iter().all(|image| image.service != **name)) {
        let known: Vec<&str> = images.iter().map(|image| image.service.as_str()).collect();
        return Err(Failure::usage(format!("unknown service {unknown:?} (the stack has {})", known.join(", "))).into());
    }
    let named = |image: &&StackImage| services.is_empty() || services.contains(&image.service);
    let wanted: Vec<&StackImage> = images.iter().filter(named).filter(|image| needs_pull(image)).collect();
    if wanted.is_empty() {
        return session.line("all images are available");
    }
    let interrupt = signals::install()?;
    let progress = super::progress::show(&session.term);
    let pulling = join_all(wanted.iter().map(|image| docker.pull(image, &progress)));
    let pulled = tokio::select! {
        pulled = pulling => pulled,
        () = interrupt.stop().cancelled() => return Ok(interrupted(&interrupt)),
    };
    drop(progress);
    let mut exit = Exit::Passed;
    for (image, result) in wanted.iter().zip(pulled) {
        match result {
            Ok(stored) => {
                let size = human::bytes(stored.size);
                session.line(&format!("{}: pulled {}, {size}", image.service, image.image))?;
            }
            Err(error) => exit = exit.worse(super::report_error(&EngineError::into(error))),
        }
    }
    Ok(exit)
}

async fn save(session: &Session, docker: &Docker, file: &Path) -> anyhow::Result<Exit> {
    let images = docker.inventory().await?;
    if let Some((image, error)) = images.iter().find_map(|image| Some((image, image.error.as_ref()?))) {
        return Err(Failure::failed(format!("{}: {error}", image.service)).into());
    }
    let missing: Vec<&str> = images.iter().filter(|it| it.is_missing()).map(|it| it.image.as_str()).collect();
    if !missing.is_empty() {
        let message = format!("cannot save missing images: {}", missing.join(", "));
        return Err(Failure::failed(message).hint("get them with lab images pull").into());
    }
    for image in images.iter().filter(|image| image.stored.is_none() && !image.made_here) {
        let note = format!("{} is missing and will not be in the file", image.image);
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &note));
    }
    if images.iter().all(|image| image.stored.is_none()) {
        return Err(Failure::failed("none of the stack's images is available")
            .hint("get them with lab images pull")
            .into());
    }
    let interrupt = signals::install()?;
    let progress = bytes(session);
    let saved = docker.save(&images, file, &progress, interrupt.stop()).await;
    drop(progress);
    let Some(manifest) = done(&interrupt, saved)? else { return Ok(interrupted(&interrupt)) };
    show(session, &manifest)?;
    let size = human::bytes(manifest.size);
    session.line(&format!("saved to {}, {size}; next: lab images load FILE on the other machine", file.display()))
}

async fn load(session: &Session, docker: &Docker, file: &Path) -> anyhow::Result<Exit> {
    let interrupt = signals::install()?;
    let progress = bytes(session);
    let loaded = docker.load(file, &progress, interrupt.stop()).await;
    drop(progress);
    let Some(manifest) = done(&interrupt, loaded)? else { return Ok(interrupted(&interrupt)) };
    show(session, &manifest)?;
    session.line("loaded; next: lab up --engine docker")
}

fn show(session: &Session, manifest: &Manifest) -> anyhow::Result<()> {
    for image in &manifest.images {
        session.line(&format!("{}  {}  {}", short(&image.id), image.name, human::bytes(image.size)))?;
    }
    Ok(())
}

/// Unwraps the result, `None` if it was interrupted.
fn done(interrupt: &Interrupt, result: Result<Manifest, ArchiveError>) -> anyhow::Result<Option<Manifest>> {
    match result {
        Ok(manifest) => Ok(Some(manifest)),
        Err(ArchiveError::Interrupted) if interrupt.signal().is_some() => Ok(None),
        Err(ArchiveError::File { path, detail, hint }) => {
            let hint = hint.map(str::to_owned);
            Err(Failure { hint, ..Failure::failed(format!("{path}: {detail}")) }.into())
        }
        Err(ArchiveError::Engine(error)) => Err(error.into()),
        Err(error @ ArchiveError::Interrupted) => Err(error.into()),
    }
}

fn interrupted(interrupt: &Interrupt) -> Exit {
    interrupt.signal().map_or(Exit::Interrupted, Signal::exit)
}

/// Shows the transferred bytes as one progress line.
fn bytes(session: &Session) -> ProgressFn {
    let line = session.term.progress_line("images", Fallback::Silent);
    Arc::new(move |progress| {
        if let Some((done, total)) = progress.bytes {
            // Before saving, layers shared by images are counted twice.
            let about = if progress.stage == "saving" { "about " } else { "" };
            super::progress::transferred(&line, &progress.stage, (done, total), about);
        }
    })
}
