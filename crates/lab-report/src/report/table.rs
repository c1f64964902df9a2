//! Tables in one style: dim head, two spaces between columns, no lines, wrapped to the width.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell as Box, CellAlignment, Color, ColumnConstraint, ContentArrangement, presets};

use super::text;
use crate::term::{Painter, Tone, masked};

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Text of a cell and its tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Creates a cell with a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Table with a head.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        let columns = columns.iter().map(|(head, side)| ((*head).to_owned(), *side)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// Returns true if the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table, at most `width` columns wide.
    pub fn write(&self, out: &mut impl Write, width: usize, painter: Painter) -> io::Result<()> {
        out.write_all(self.render(width, painter).as_bytes())
    }

    fn render(&self, width: usize, painter: Painter) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_header(self.columns.iter().map(|(head, _)| boxed(head, Tone::Dim)));
        table.add_rows(self.rows.iter().map(|row| row.iter().map(|cell| boxed(&cell.text, cell.tone))));
        if painter.is_on() {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        table.style_text_only();
        let last = self.columns.len().saturating_sub(1);
        for (index, (column, (_, side))) in table.column_iter_mut().zip(&self.columns).enumerate() {
            column.set_padding((0, if index == last { 0 } else { 2 }));
            column.set_cell_alignment(match side {
                Side::Left => CellAlignment::Left,
                Side::Right => CellAlignment::Right,
            });
        }
        // Names in the first column are not wrapped if they need at most half of the width, so that they can be copied.
        let names = self.rows.iter().filter_map(|row| row.first()).map(|name| text::columns(&name.text)).max();
        if names.is_some_and(|names| 2 * names <= width)
            && let Some(column) = table.column_mut(0)
        {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}

fn boxed(content: &str, tone: Tone) -> Box {
    let cell = Box::new(text::clean(&masked(content)));
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Failed => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Side, Table};
    use crate::report::text::columns;
    use crate::term::{Painter, Tone};

    fn services() -> Table {
        let mut table = Table::new(&[("service", Side::Left), ("requests", Side::Right), ("says", Side::Left)]);
        table.row(["gateway".into(), "40".into(), Cell::new(Tone::Good, "healthy")]);
        let says = "unhealthy: the pool has no connection to the database, which does not answer";
        table.row(["日本 app".into(), "1200".into(), Cell::new(Tone::Failed, says)]);
        table
    }

    #[test]
    fn tables_are_rendered() {
        insta::assert_snapshot!("plain", services().render(60, Painter::PLAIN));
        insta::assert_snapshot!("colour", services().render(60, Painter::new(true)));
    }

    #[test]
    fn fits_the_width() {
        for width in [40, 60, 80, 120] {
            for line in services().render(width, Painter::PLAIN).lines() {
                assert!(columns(line) <= width, "{width}: {line}");
            }
        }
    }
}
