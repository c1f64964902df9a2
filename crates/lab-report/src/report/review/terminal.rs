//! A review on a terminal, without the charts: these become one line of bars.

use std::io::{self, Write};

use super::{Block, Grid, Review};
use crate::report::plot::Plot;
use crate::report::spark::sparkline;
use crate::report::table::{Cell, Side, Table};
use crate::report::{status_tone, text};
use crate::term::{Painter, Tone};

/// Indentation of what belongs to a heading.
const INDENT: usize = 2;

/// Writes a review, at most `width` columns wide.
pub(in crate::report) fn write(
    out: &mut impl Write,
    review: &Review,
    plot: Option<&Plot>,
    width: usize,
    painter: Painter,
) -> io::Result<()> {
    let badge = painter.paint(status_tone(review.status), &review.badge);
    writeln!(out, "{} · {badge}", painter.paint(Tone::Strong, &review.title))?;
    lines(out, &review.subtitle, width, "", |line| painter.paint(Tone::Dim, line))?;
    for section in &review.sections {
        writeln!(out, "\n{}", painter.paint(Tone::Strong, section.title))?;
        for block in &section.blocks {
            self::block(out, block, plot, width, painter)?;
        }
    }
    out.flush()
}

fn block(out: &mut impl Write, block: &Block, plot: Option<&Plot>, width: usize, painter: Painter) -> io::Result<()> {
    let plain = |line: &str| line.to_owned();
    match block {
        Block::Text(text) => lines(out, &uncoded(text), width, "", plain),
        Block::Quote(text) => {
            super::paragraphs(text).try_for_each(|paragraph| lines(out, &paragraph, width, "| ", plain))
        }
        Block::Facts(facts) => {
            let mut table = Table::new(&[("", Side::Left), ("", Side::Left)]);
            for (name, value) in facts {
                table.row([Cell::new(Tone::Dim, format!("  {name}")), uncoded(value).into()]);
            }
            rows(out, &table, width, painter)
        }
        Block::List(items) => items.iter().try_for_each(|item| {
            let wrapped = text::wrap(&uncoded(item), width.saturating_sub(INDENT + 2));
            wrapped
                .iter()
                .enumerate()
                .try_for_each(|(index, line)| writeln!(out, "  {}{line}", if index == 0 { "- " } else { "  " }))
        }),
        Block::Commands(commands) => {
            commands.iter().try_for_each(|command| writeln!(out, "  {}", text::clean(command)))
        }
        Block::Grid(grid) => rows(out, &table(grid), width, painter),
        Block::Charts => plot.map_or(Ok(()), |plot| chart(out, plot, width, painter)),
    }
}

fn lines(
    out: &mut impl Write,
    text: &str,
    width: usize,
    prefix: &str,
    paint: impl Fn(&str) -> String,
) -> io::Result<()> {
    let room = width.saturating_sub(INDENT + prefix.len());
    text::wrap(text, room).iter().try_for_each(|line| writeln!(out, "  {prefix}{}", paint(line)))
}

/// Writes a table without its head if that is empty.
fn rows(out: &mut impl Write, table: &Table, width: usize, painter: Painter) -> io::Result<()> {
    let mut text = Vec::new();
    table.write(&mut text, width, painter)?;
    let text = String::from_utf8_lossy(&text);
    let text = text.strip_prefix('\n').unwrap_or(&text);
    out.write_all(text.as_bytes())
}

fn table(grid: &Grid) -> Table {
    let side = |number: bool| if number { Side::Right } else { Side::Left };
    let heads: Vec<(String, Side)> =
        grid.heads.iter().enumerate().map(|(index, head)| (indented(index, head.name), side(head.number))).collect();
    let mut table = Table::new(&heads.iter().map(|(name, side)| (name.as_str(), *side)).collect::<Vec<_>>());
    for row in &grid.rows {
        table.row(row.iter().enumerate().map(|(index, cell)| {
            let text = indented(index, &uncoded(&cell.text));
            Cell::new(cell.status.map_or(Tone::Plain, status_tone), text)
        }));
    }
    table
}

/// Indents the first column.
fn indented(index: usize, text: &str) -> String {
    if index == 0 { format!("  {text}") } else { text.to_owned() }
}

/// Text without the backticks around code.
fn uncoded(text: &str) -> String {
    text.replace('`', "")
}

/// Bars of all responses, and of those that are no successes.
fn chart(out: &mut impl Write, plot: &Plot, width: usize, painter: Painter) -> io::Result<()> {
    let label = plot.answers.iter().map(|line| text::columns(&line.name)).max().unwrap_or_default();
    let plot = plot.coarser(width.saturating_sub(INDENT + label + 1).max(10));
    let most = plot.answers.iter().map(super::super::plot::Line::peak).fold(0.0, f64::max);
    for line in &plot.answers {
        let values: Vec<f64> = line.values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        let name = painter.paint(Tone::Dim, &format!("{:<label$}", line.name));
        writeln!(out, "  {name} {}", sparkline(&values, most))?;
    }
    Ok(())
}
