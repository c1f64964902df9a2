//! Messages of a drill: the customer's ticket 60 seconds after the impact, the injects of the incident, and messages from outside
//! of the scenario. All times are drill times, so they stand still while the referee cannot look. A message that has arrived
//! never disappears, because it depends only on what the referee knew at its time.

use serde::Serialize;

use crate::brief::{Inject, Moment};
use crate::fold::{Drill, Span};
use crate::updates::{Due, dues};

#[cfg(test)]
mod tests;

/// Drill time in milliseconds between the impact and the ticket, unless an inject is the ticket.
pub const TICKET_AFTER: u64 = 60_000;
/// Default sender of the ticket.
const CUSTOMER: &str = "the customer";

/// A message to the participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// When it arrived, in drill time in milliseconds.
    pub at: u64,
    /// Why it was sent.
    pub kind: Kind,
    /// Who writes it.
    pub from: String,
    /// The message.
    pub text: String,
}

/// Why a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is the ticket of the incident.
    Ticket,
    /// The scenario sends it.
    Inject,
    /// It comes from outside of the scenario, such as from a trainer.
    Note,
}

/// The ticket of the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket<'a> {
    /// When it arrived, in drill time in milliseconds.
    pub at: u64,
    /// The incident in a customer's words.
    pub text: &'a str,
}

/// All messages that arrived until `now`, in the order of their arrival.
pub fn messages(drill: &Drill, now: u64) -> Vec<Message> {
    let now = drill.ended.map_or(now, |end| now.min(end.at));
    let mut messages: Vec<Message> = drill
        .notes
        .iter()
        .map(|note| Message { at: note.at, kind: Kind::Note, from: note.from.clone(), text: note.text.clone() })
        .collect();
    if let Some(at) = drill.ticket_at() {
        let from = ticket(drill).map_or(CUSTOMER, |inject| &inject.from).to_owned();
        messages.push(Message { at, kind: Kind::Ticket, from, text: drill.started.brief.ticket.clone() });
    }
    let dues = dues(drill, now);
    for inject in drill.started.brief.injects.iter().filter(|inject| !inject.ticket) {
        let after = u64::try_from(inject.at.as_millis()).unwrap_or(u64::MAX);
        let times = arrivals(drill, &dues, inject.after, after);
        messages.extend(times.into_iter().map(|at| Message {
            at,
            kind: Kind::Inject,
            from: inject.from.clone(),
            text: inject.text.clone(),
        }));
    }
    messages.retain(|message| message.at <= now);
    // Stable, so messages of the same time keep the order above.
    messages.sort_by_key(|message| message.at);
    messages
}

/// The inject that is the ticket.
fn ticket(drill: &Drill) -> Option<&Inject> {
    drill.started.brief.injects.iter().find(|inject| inject.ticket)
}

/// Drill time in milliseconds between the impact and the ticket: that of its inject, or the default.
pub(crate) fn ticket_after(drill: &Drill) -> u64 {
    ticket(drill).map_or(TICKET_AFTER, |inject| u64::try_from(inject.at.as_millis()).unwrap_or(u64::MAX))
}

/// Times at which an inject arrives.
fn arrivals(drill: &Drill, dues: &[Due], moment: Moment, after: u64) -> Vec<u64> {
    let lasts = |span: &Span| span.known_since(span.at.saturating_add(after));
    match moment {
        // Not while the callers succeed.
        Moment::Impact => {
            let at = drill.impact.map(|impact| impact.saturating_add(after));
            let succeeds = |at: u64| drill.mitigations().iter().any(|last| last.span.known_since(at) == Some(at));
            at.filter(|at| !succeeds(*at)).into_iter().collect()
        }
        // Each time that an update is overdue.
        Moment::Overdue => {
            let overdue = dues.iter().map(|due| (due.at.saturating_add(after), due.sent));
            overdue.filter(|(at, sent)| sent.is_none_or(|sent| sent > *at)).map(|(at, _)| at).collect()
        }
        // Once, if it lasts. A message that it works again follows one that it does not.
        Moment::Mitigated => {
            let ticket = drill.ticket_at().unwrap_or(u64::MAX);
            let lasts = |span: &Span| span.known_since(span.at.max(ticket).saturating_add(after));
            drill.mitigations().iter().find_map(|mitigation| lasts(&mitigation.span)).into_iter().collect()
        }
        Moment::Resolved => drill.resolutions().iter().find_map(lasts).into_iter().collect(),
    }
}
