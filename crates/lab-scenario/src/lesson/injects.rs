//! [`Inject`]: a message that arrives during a drill.

use std::time::Duration;

use serde::Serialize;

use super::seconds;
use crate::Expected;
use crate::reader::Reader;
use crate::schema::INJECT;
use crate::value;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, did_you_mean, quote_list};

/// Maximum number of injects in a scenario.
const MAX_INJECTS: usize = 20;
/// Default sender.
const CUSTOMER: &str = "the customer";
/// First message if the scenario has no ticket.
const NO_TICKET: &str = "Something is wrong with your service since a minute ago. Can you please have a look?";

/// A message that a drill delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inject {
    /// Time from `after` to the delivery, on the drill's own clock. In JSON: seconds.
    #[serde(serialize_with = "seconds::serialize")]
    pub at: Duration,
    /// Event that starts the delay.
    pub after: Trigger,
    /// Sender, for display: `the customer`.
    pub from: String,
    /// The message.
    pub text: String,
    /// It is the scenario's ticket, which arrives even if callers get through again by then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ticket: bool,
}

/// Event of a drill that an inject waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The first failed request.
    Impact,
    /// Callers get through again.
    Mitigated,
    /// The incident is fixed.
    Resolved,
    /// An update that was promised or asked for did not come in time.
    Overdue,
}

impl Trigger {
    /// All events, in the order of a drill.
    pub const ALL: [Self; 4] = [Self::Impact, Self::Mitigated, Self::Resolved, Self::Overdue];

    /// Name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Impact => "impact",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
            Self::Overdue => "overdue",
        }
    }
}

/// Injects as written. `place` is `None` if the file has no such key.
#[derive(Debug, Default)]
pub(crate) struct InjectsFile {
    place: Option<Place>,
    pub(crate) list: Vec<InjectFile>,
}

/// An inject as written.
#[derive(Debug)]
pub(crate) struct InjectFile {
    /// Place of the entry.
    place: Place,
    at: Option<Text>,
    after: Option<Text>,
    from: Option<Text>,
    pub(crate) text: Option<Text>,
}

pub(super) fn read(entry: &Entry, out: &mut Diagnostics) -> InjectsFile {
    let mut list = Vec::new();
    let expected = "a list, each entry with `at` and `text`";
    match &entry.value.kind {
        NodeKind::List(items) => {
            for item in items {
                let NodeKind::Mapping(entries) = &item.kind else {
                    out.push(fields::wrong_kind("injects", item, "a mapping with `at` and `text` in each entry"));
                    continue;
                };
                let fields = Fields::read(entries, INJECT.label, &INJECT.key_names(), &[], out);
                if fields.lacks("at") {
                    let label = "expected a time such as `at: 60s`";
                    out.push(Diagnostic::at("this inject has no `at`", &item.place).label(label));
                }
                let mut text = |key| fields.text(key, out);
                let (at, after, from, text) = (text("at"), text("after"), text("from"), text("text"));
                list.push(InjectFile { place: item.place.clone(), at, after, from, text });
            }
        }
        NodeKind::Null => out.push(fields::missing_value(&entry.key, expected)),
        NodeKind::Scalar(_) | NodeKind::Mapping(_) => out.push(fields::wrong_kind("injects", &entry.value, expected)),
    }
    InjectsFile { place: Some(entry.key.place.clone()), list }
}

/// Fills in parameters and defaults. Without the key, returns the four default messages.
pub(super) fn injects(file: &InjectsFile, ticket: Option<&str>, reader: &mut Reader<'_>) -> Vec<Inject> {
    let Some(place) = &file.place else { return default_injects(ticket) };
    if file.list.len() > MAX_INJECTS {
        let message = format!("{} injects are too many", file.list.len());
        reader.out.push(Diagnostic::at(message, place).label(format!("the limit is {MAX_INJECTS}")));
    }
    let mut injects: Vec<Inject> = file.list.iter().filter_map(|file| inject(file, ticket, reader)).collect();
    // The ticket arrives once; another message with its text is a reminder.
    injects.iter_mut().filter(|inject| inject.ticket).skip(1).for_each(|inject| inject.ticket = false);
    injects
}

fn inject(file: &InjectFile, ticket: Option<&str>, reader: &mut Reader<'_>) -> Option<Inject> {
    let at = file.at.as_ref().and_then(|text| reader.fixed("at", text, value::delay));
    let after = file.after.as_ref().map(|text| reader.fixed("after", text, trigger));
    let from = file.from.as_ref().map(|text| reader.open("from", text, value::sender));
    let text = match (&file.text, ticket) {
        (Some(text), _) => reader.open("text", text, value::paragraph),
        (None, Some(ticket)) => Some(ticket.to_owned()),
        (None, None) => {
            let message = "this inject has no `text`, and the scenario has no `ticket`";
            reader.out.push(Diagnostic::at(message, &file.place).label("expected `text: …`"));
            None
        }
    };
    let from = from.unwrap_or_else(|| Some(CUSTOMER.to_owned()))?;
    let after = after.unwrap_or(Some(Trigger::Impact))?;
    let ticket = after == Trigger::Impact && file.text.is_none();
    Some(Inject { at: at?, after, from, text: text?, ticket })
}

fn trigger(text: &str) -> Result<Trigger, Expected> {
    let names = Trigger::ALL.map(Trigger::name);
    let found = Trigger::ALL.into_iter().find(|trigger| trigger.name() == text);
    found.ok_or_else(|| Expected::new(did_you_mean(text, names, &format!("expected one of {}", quote_list(names)))))
}

/// Messages of a drill whose scenario states none.
fn default_injects(ticket: Option<&str>) -> Vec<Inject> {
    let inject = |seconds, after, from: &str, text: &str| Inject {
        at: Duration::from_secs(seconds),
        after,
        from: from.to_owned(),
        text: text.to_owned(),
        ticket: false,
    };
    vec![
        Inject { ticket: true, ..inject(60, Trigger::Impact, CUSTOMER, ticket.unwrap_or(NO_TICKET)) },
        inject(
            0,
            Trigger::Overdue,
            "the support lead",
            "Customers are asking me what is going on, and the update is overdue. What can I tell them, and when do I \
             hear from you again?",
        ),
        inject(
            5 * 60,
            Trigger::Impact,
            "a manager",
            "I am told that customers have had errors for five minutes. Who is working on it, and who is affected?",
        ),
        inject(
            15,
            Trigger::Mitigated,
            CUSTOMER,
            "It seems to work again. Is it fixed for good, or should we expect more of this today?",
        ),
    ]
}
