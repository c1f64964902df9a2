//! The commands of a trainer: each is an action of the room's server, the same as a button of the trainer's page.

use std::path::Path;
use std::time::Duration;

use super::Room;
use crate::cli::{ExportFormat, RoomDrillArgs, SceneChoice};
use crate::commands::session::Session;
use crate::commands::time_span::parse_span;
use lab_core::error::{Exit, Failure};
use lab_scenario::Source;
use lab_system::files;

/// Longest drill, longest time until the fault, and most time that can be added at once.
const MAX_LIMIT: Duration = Duration::from_hours(2);
const MAX_QUIET: Duration = Duration::from_hours(1);
const MAX_EXTENSION: Duration = Duration::from_hours(2);
/// Access rights of an export: it has the names of people.
const MODE: u32 = 0o600;

/// Does an action. `done` is printed if the server does not say more.
pub(super) async fn send(
    session: &Session,
    action: &str,
    fields: &[(&str, String)],
    done: &str,
) -> anyhow::Result<Exit> {
    let message = Room::open(session)?.desk()?.post(action, fields).await?;
    session.line(message.as_deref().unwrap_or(done))
}

pub(super) async fn start_drill(session: &Session, args: &RoomDrillArgs) -> anyhow::Result<Exit> {
    let mut fields = Vec::new();
    let incident = &args.incident;
    for typed in incident.scenario.iter().chain(&incident.from) {
        fields.push(("scenario", scenario(typed)?));
    }
    fields.extend(incident.tag.iter().map(|tag| ("tag", tag.clone())));
    fields.extend(incident.difficulty.iter().map(|difficulty| ("difficulty", difficulty.clone())));
    if let Some(limit) = &args.limit {
        fields.push(("limit", seconds("--limit", limit, MAX_LIMIT)?));
    }
    if let Some(quiet) = &args.quiet {
        fields.push(("quiet", seconds("--quiet", quiet, MAX_QUIET)?));
    }
    if args.coach {
        fields.push(("coach", "true".to_owned()));
    }
    send(session, "drill", &fields, "the drill has begun").await
}

/// A name of the library, or an absolute path: the server has another working directory.
fn scenario(typed: &str) -> anyhow::Result<String> {
    match Source::parse(typed) {
        Source::Path(path) => Ok(std::path::absolute(path)?.display().to_string()),
        source => Ok(source.typed()),
    }
}

/// Whole seconds of a time, as `90s`.
fn seconds(option: &str, typed: &str, most: Duration) -> Result<String, Failure> {
    let span = parse_span(typed).map_err(|error| Failure::usage(format!("{option} {typed:?}: {error}")))?;
    if span > most {
        let hours = most.as_secs() / 3600;
        return Err(Failure::usage(format!("{option} {typed:?}: expected at most {hours}h")));
    }
    Ok(format!("{}s", span.as_secs().max(1)))
}

fn with_seat<'a>(fields: &[(&'a str, String)], seat: Option<u16>) -> Vec<(&'a str, String)> {
    fields.iter().cloned().chain(seat.map(|seat| ("seat", seat.to_string()))).collect()
}

pub(super) async fn say(session: &Session, text: &str, seat: Option<u16>) -> anyhow::Result<Exit> {
    send(session, "say", &with_seat(&[("text", text.to_owned())], seat), "sent").await
}

pub(super) async fn inject(session: &Session, text: &str, from: &str, seat: Option<u16>) -> anyhow::Result<Exit> {
    let fields = [("text", text.to_owned()), ("from", from.to_owned())];
    send(session, "inject", &with_seat(&fields, seat), "sent").await
}

pub(super) async fn extend(session: &Session, seat: u16, by: &str) -> anyhow::Result<Exit> {
    let fields = with_seat(&[("minutes", seconds("TIME", by, MAX_EXTENSION)?)], Some(seat));
    send(session, "extend", &fields, &format!("seat {seat} has {by} more")).await
}

pub(super) async fn reset(session: &Session, seat: u16) -> anyhow::Result<Exit> {
    send(session, "reset", &with_seat(&[], Some(seat)), &format!("the lab of seat {seat} is being reset")).await
}

pub(super) async fn freeze(session: &Session, frozen: bool) -> anyhow::Result<Exit> {
    let done = if frozen { "the board is frozen" } else { "the board goes on" };
    send(session, "freeze", &[("frozen", frozen.to_string())], done).await
}

pub(super) async fn scene(session: &Session, scene: SceneChoice, seat: Option<u16>) -> anyhow::Result<Exit> {
    let name = match scene {
        SceneChoice::Join => "join",
        SceneChoice::Tiles => "tiles",
        SceneChoice::Outage => "outage",
        SceneChoice::Top => "top",
        SceneChoice::Seat => "seat",
        SceneChoice::Debrief => "debrief",
    };
    if seat.is_some() && scene != SceneChoice::Seat {
        return Err(Failure::usage("--seat belongs to the scene `seat`").into());
    }
    let done = format!("the board shows {name}");
    send(session, "scene", &with_seat(&[("scene", name.to_owned())], seat), &done).await
}

pub(super) async fn export(
    session: &Session,
    format: Option<ExportFormat>,
    output: Option<&Path>,
) -> anyhow::Result<Exit> {
    let named = output.and_then(Path::extension).and_then(|extension| match extension.to_str()? {
        "json" => Some(ExportFormat::Json),
        "html" | "htm" => Some(ExportFormat::Html),
        _ => None,
    });
    let name = match format.or(named).unwrap_or(ExportFormat::Csv) {
        ExportFormat::Csv => "csv",
        ExportFormat::Json => "json",
        ExportFormat::Html => "html",
    };
    let text = Room::open(session)?.desk()?.export(name).await?;
    let Some(path) = output else { return session.print(&text) };
    files::write_output(path, &text, MODE)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    session.line(&format!("the results are in {}", path.display()))
}
