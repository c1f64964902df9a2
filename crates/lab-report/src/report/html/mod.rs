//! HTML report: an incident review with charts in one self-contained file. It has no scripts and loads nothing, and texts of
//! services are always escaped.

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::journal::Journal;
use super::plot::Plot;
use super::review::{Block, Cell, Grid, Review, Section};
use super::text;
use lab_core::event::Status;

mod chart;

use chart::coarse;

/// Style sheet of the pages.
pub const STYLE: &str = include_str!("style.css");
/// Content security policy: inline styles only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Writes the review of a run as a page.
pub fn write(out: &mut impl Write, journal: &Journal) -> io::Result<()> {
    out.write_all(page(journal).into_string().as_bytes())?;
    out.flush()
}

fn page(journal: &Journal) -> Markup {
    let origin = format!("the journal of run {}. Times are relative to the start of the run.", journal.id);
    review_page(&Review::new(journal), Plot::from_journal(journal).as_ref(), &origin, Place::File)
}

/// Where a page is read.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// As a file. The page contains everything.
    File,
    /// On a server that has [`STYLE`] at this address, with `top` above the title.
    Server { stylesheet: &'a str, top: &'a Markup },
}

/// The page of a review. `origin` names the source of the data, as the end of a sentence.
pub(super) fn review_page(review: &Review, plot: Option<&Plot>, origin: &str, place: Place<'_>) -> Markup {
    let status = class(review.status);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (review.title) " · " (review.badge) " · lab" }
                @match place {
                    Place::File => {
                        meta http-equiv="Content-Security-Policy" content=(POLICY);
                        style { (PreEscaped(STYLE)) }
                    }
                    Place::Server { stylesheet, .. } => {
                        link rel="icon" href="data:,";
                        link rel="stylesheet" href=(stylesheet);
                    }
                }
            }
            body {
                a.skip href="#summary" { "To the summary" }
                header {
                    @if let Place::Server { top, .. } = place { (top) }
                    p.badge.(status) { (review.badge) }
                    h1 { (review.title) }
                    p.sub { (review.subtitle) }
                    nav aria-label="Sections" { @for part in &review.sections { a href={ "#" (part.id) } { (part.title) } } }
                }
                main { @for part in &review.sections { (section(part, plot)) } }
                footer { p { "Written by lab " (env!("CARGO_PKG_VERSION")) " from " (origin) } }
            }
        }
    }
}

fn section(part: &Section, plot: Option<&Plot>) -> Markup {
    let heading = format!("h-{}", part.id);
    html! {
        section id=(part.id) aria-labelledby=(heading) {
            h2 id=(heading) { (part.title) }
            @for block in &part.blocks { (self::block(block, plot)) }
        }
    }
}

fn block(block: &Block, plot: Option<&Plot>) -> Markup {
    match block {
        Block::Text(text) => html! { p { (inline(text)) } },
        Block::Quote(text) => html! {
            blockquote { @for paragraph in text.split("\n\n") { p { @for line in paragraph.lines() { (text::clean(line)) " " } } } }
        },
        Block::Facts(facts) => html! {
            dl { @for (name, value) in facts { div { dt { (name) } dd { (text::clean(value)) } } } }
        },
        Block::List(items) => html! { ul { @for item in items { li { (inline(item)) } } } },
        Block::Commands(lines) => html! { pre { code { @for line in lines { (line) "\n" } } } },
        Block::Grid(grid) => table(grid),
        Block::Charts => charts(plot),
    }
}

/// Renders text in backticks as code.
pub fn inline(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // An unpaired backtick is literal.
    let paired = parts.len() % 2 == 1;
    html! {
        @for (index, part) in parts.iter().enumerate() {
            @if index % 2 == 1 && (paired || index + 1 < parts.len()) { code { (part) } }
            @else if index > 0 && !paired && index + 1 == parts.len() { "`" (part) }
            @else { (part) }
        }
    }
}

fn table(grid: &Grid) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(grid.caption) {
            table {
                thead { tr { @for head in &grid.heads { th.n[head.number] scope="col" { (head.name) } } } }
                tbody {
                    @for row in &grid.rows {
                        tr { @for (cell, head) in row.iter().zip(&grid.heads) { td.n[head.number] { (self::cell(cell)) } } }
                    }
                }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    html! {
        @match cell.status {
            Some(status) => span class=(class(status)) { (inline(&cell.text)) },
            None => (inline(&cell.text)),
        }
    }
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Passed => "good",
        Status::Failed | Status::Error => "bad",
        Status::Interrupted => "warn",
    }
}

fn charts(plot: Option<&Plot>) -> Markup {
    let Some(plot) = plot else {
        return html! { p.none { "No charts: the run sent no traffic, or its record has no samples." } };
    };
    let table = coarse(plot);
    html! {
        p.key {
            @if plot.outage.is_some() { span { i.outage {} "outage" } }
            @if !plot.alerts.is_empty() {
                span { i.pending {} "alert pending" } span { i.firing {} "alert firing" }
            }
            span { i.mark {} (plot.mark) }
            @for (index, step) in plot.steps.iter().enumerate().take(12) { span { b class=(step.phase) { (index + 1) } (step.name) } }
        }
        @for chart in chart::all(plot, &table) { (chart.draw(plot, &table)) }
    }
}

#[cfg(test)]
mod tests;
