//! Incident review of a run, as sections of plain blocks. HTML and Markdown render the same review. Sections without content
//! are omitted.

use crate::report::journal::Journal;
use lab_core::event::{Status, StepResult};

mod cause;
mod facts;
mod impact;
mod repeat;
mod summary;
mod terminal;

pub(super) use facts::{codes, failed, sent};
pub(super) use terminal::write as write_terminal;

/// An incident review.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Review {
    /// The scenario's title.
    pub(super) title: String,
    /// `rotate-key · lab default · embedded · 2026-11-24 10:15:30 UTC · run 7f3a`.
    pub(super) subtitle: String,
    /// The result in one or two words.
    pub(super) badge: String,
    /// How the run ended. The colour of the badge.
    pub(super) status: Status,
    /// Sections in display order.
    pub(super) sections: Vec<Section>,
}

/// Titled part of a review.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    /// Anchor for links: one lower-case word.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<Block>,
}

/// Content of a section. Text in backticks is code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    /// A paragraph.
    Text(String),
    /// Text of the scenario's author, such as the ticket.
    Quote(String),
    /// Names and values.
    Facts(Vec<(&'static str, String)>),
    /// Bulleted list.
    List(Vec<String>),
    /// Table.
    Grid(Grid),
    /// Shell commands.
    Commands(Vec<String>),
    /// Charts of the run. Renderers without graphics omit them.
    Charts,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grid {
    /// Label for screen readers.
    pub(super) caption: &'static str,
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) name: &'static str,
    /// Right-aligned, for numbers.
    pub(super) number: bool,
}

/// Text of a cell, coloured by its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) status: Option<Status>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, status: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Status> for Cell {
    fn from(status: Status) -> Self {
        Self { text: super::status_name(status).to_owned(), status: Some(status) }
    }
}

impl Grid {
    pub(super) fn new(caption: &'static str, words: &[&'static str], numbers: &[&'static str]) -> Self {
        let head = |number| move |name: &&'static str| Head { name, number };
        let heads = words.iter().map(head(false)).chain(numbers.iter().map(head(true))).collect();
        Self { caption, heads, rows: Vec::new() }
    }
}

impl Review {
    /// The review of a run.
    pub(super) fn new(journal: &Journal) -> Self {
        let began = journal.start.format("%Y-%m-%d %H:%M:%S UTC");
        let sections = [
            ("summary", "Summary", summary::blocks(journal)),
            ("customers", "What customers saw", impact::customers(journal)),
            ("timeline", "Timeline", impact::timeline(journal)),
            ("detection", "Detection", cause::detection(journal)),
            ("cause", "Root cause", cause::root(journal)),
            ("remedy", "Remedy", cause::remedy(journal)),
            ("prevention", "Prevention", cause::prevention(journal)),
            ("expectations", "Expectations", summary::expectations(journal)),
            ("after", "State after the run", summary::final_state(journal)),
            ("repeat", "Repeat the run", repeat::blocks(journal)),
        ];
        Self {
            title: super::text::clean(&journal.title),
            subtitle: format!(
                "{} · lab {} · {} · {began} · run {}",
                super::text::clean(&journal.scenario),
                super::text::clean(&journal.lab),
                super::text::clean(&journal.engine),
                super::short_id(&journal.id)
            ),
            badge: super::status_name(journal.status).to_owned(),
            status: journal.status,
            sections: sections
                .into_iter()
                .filter(|(_, _, blocks)| !blocks.is_empty())
                .map(|(id, title, blocks)| Section { id, title, blocks })
                .collect(),
        }
    }
}

/// Formats the name of a step as code.
fn name(step: &StepResult) -> String {
    code(&step.name)
}

/// Formats a word as code.
fn code(text: &str) -> String {
    format!("`{}`", super::text::clean(text).replace('`', "'"))
}

/// Splits prose into paragraphs of one line each.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = String> + '_ {
    let whole = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("\n\n").map(whole).filter(|paragraph| !paragraph.is_empty())
}
