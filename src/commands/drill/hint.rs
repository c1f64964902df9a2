//! `lab drill hint`: what the hints are about, their prices, and the text of those that were opened.

use lab_core::error::Exit;
use lab_drill::brief::Hint;
use lab_drill::event::Event;
use lab_report::report::text;
use lab_report::term::{Tone, clean};
use serde::Serialize;

use super::{Active, next};
use crate::commands::session::Session;

/// Document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    hints: Vec<HintDocument<'a>>,
    /// Number of the hint that `--open` opens. Null if all are open.
    next: Option<usize>,
}

#[derive(Serialize)]
struct HintDocument<'a> {
    number: usize,
    about: &'a str,
    /// Percent of the points for the diagnosis and the resolution.
    cost: u8,
    opened: bool,
    /// Null until it is opened.
    text: Option<&'a str>,
}

pub(super) fn run(session: &Session, open: bool, json: bool) -> anyhow::Result<Exit> {
    let mut active = if open { Active::open_running(session)? } else { Active::open(session)? };
    if open && let Some(index) = active.drill.next_hint() {
        active.append(Event::Hint { index })?;
    }
    let hints = &active.drill.started.brief.hints;
    let is_open = |index: usize| active.drill.hints.iter().any(|hint| hint.index == index);
    let closed = active.drill.next_hint();
    if json {
        let document = |(index, hint): (usize, &Hint)| HintDocument {
            number: index + 1,
            about: &hints[index].about,
            cost: hint.cost,
            opened: is_open(index),
            text: is_open(index).then(|| hints[index].text.as_str()),
        };
        let hints = hints.iter().enumerate().map(document).collect();
        return session.json(&Document { hints, next: closed.map(|index| index + 1) });
    }
    for (index, hint) in hints.iter().enumerate().filter(|(index, _)| is_open(*index)) {
        show(session, index, hint, true)?;
    }
    let name = active.lab.name_option();
    match closed {
        Some(index) => {
            show(session, index, &hints[index], false)?;
            next(
                session,
                &format!("lab drill hint --open{name} opens it; it costs nothing if the incident is not resolved"),
            )
        }
        None if hints.is_empty() => session.line("this drill has no hints"),
        None => session.line(&session.term.painter().paint(Tone::Dim, "all hints are open")),
    }
}

/// Shows what a hint is about and, if it is open, its text, else its price.
fn show(session: &Session, index: usize, hint: &Hint, is_open: bool) -> anyhow::Result<()> {
    let price = if is_open { String::new() } else { format!(" · price {}%", hint.cost) };
    let heading = format!("hint {}: {}", index + 1, clean(&hint.about));
    session.line(&format!("{}{price}", session.term.painter().paint(Tone::Strong, &heading)))?;
    if is_open {
        for line in text::wrap(&hint.text, session.term.width().saturating_sub(2)) {
            session.line(&format!("  {line}"))?;
        }
    }
    Ok(())
}
