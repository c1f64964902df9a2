//! [`Review`]: a run told as an incident review, in sections of plain blocks: what HTML and Markdown are made from, so that
//! both say the same. Where a run has nothing to say, a section is left out.

use crate::report::journal::Journal;
use lab_core::event::{Status, StepResult};

mod cause;
mod facts;
mod impact;
mod repeat;
mod summary;

pub(super) use facts::{codes, failed, sent};

/// An incident review.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Review {
    /// The scenario's title.
    pub(super) title: String,
    /// `rotate-key · lab default · embedded · 2026-11-24 10:15:30 UTC · run 7f3a`.
    pub(super) subtitle: String,
    /// How the run ended.
    pub(super) status: Status,
    /// In the order of reading.
    pub(super) sections: Vec<Section>,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    /// In lower case, one word: for links.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<Block>,
}

/// What a section consists of. In texts, what stands between backticks is code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    /// A paragraph.
    Text(String),
    /// Somebody's own words.
    Quote(String),
    /// Names and what they are.
    Facts(Vec<(&'static str, String)>),
    /// One after the other.
    List(Vec<String>),
    /// Rows under heads.
    Grid(Grid),
    /// To be typed.
    Commands(Vec<String>),
    /// The run over its time, where it can be drawn.
    Charts,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grid {
    /// What it shows, for those who hear it.
    pub(super) caption: &'static str,
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) name: &'static str,
    /// Its values are numbers.
    pub(super) number: bool,
}

/// A value, with how good or bad it is where that matters.
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
    fn new(caption: &'static str, words: &[&'static str], numbers: &[&'static str]) -> Self {
        let head = |number| move |name: &&'static str| Head { name, number };
        let heads = words.iter().map(head(false)).chain(numbers.iter().map(head(true))).collect();
        Self { caption, heads, rows: Vec::new() }
    }
}

impl Review {
    /// The review of a run.
    pub(super) fn of(journal: &Journal) -> Self {
        let began = journal.start.format("%Y-%m-%d %H:%M:%S UTC");
        let sections = [
            ("summary", "Summary", summary::blocks(journal)),
            ("customers", "What customers saw", impact::customers(journal)),
            ("timeline", "Timeline", impact::timeline(journal)),
            ("detection", "Detection", cause::detection(journal)),
            ("cause", "Root cause", cause::root(journal)),
            ("remedy", "Remedy", cause::remedy(journal)),
            ("prevention", "Prevention", cause::prevention(journal)),
            ("expectations", "What was expected", summary::expectations(journal)),
            ("after", "How the lab was left", summary::left(journal)),
            ("repeat", "See it again", repeat::blocks(journal)),
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
            status: journal.status,
            sections: sections
                .into_iter()
                .filter(|(_, _, blocks)| !blocks.is_empty())
                .map(|(id, title, blocks)| Section { id, title, blocks })
                .collect(),
        }
    }
}

/// A step's name as code.
fn name(step: &StepResult) -> String {
    code(&step.name)
}

/// A word as code.
fn code(text: &str) -> String {
    format!("`{}`", super::text::clean(text).replace('`', "'"))
}

/// What somebody wrote, on paragraphs of one line each.
fn paragraphs(text: &str) -> impl Iterator<Item = String> + '_ {
    let whole = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("\n\n").map(whole).filter(|paragraph| !paragraph.is_empty())
}
