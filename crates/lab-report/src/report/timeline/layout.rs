//! Columns of a timeline for a given width, and the layout of rows. Content that does not fit into its cell
//! continues on the next line of the cell; nothing is truncated.

use super::text;
use crate::term::{Painter, Tone};

/// Text with its tone.
pub(super) type Piece = (String, Tone);

/// Columns of a timeline.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<Column>,
}

/// Content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Field {
    At,
    Step,
    Took,
    Sent,
    /// Failed requests as callers saw them.
    Failed,
    Accepted,
    Refused,
    Codes,
    Median,
    Tail,
    Verdict,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    field: Field,
    start: usize,
    width: usize,
}

/// Content of a row in one column.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) field: Field,
    pub(super) pieces: Vec<Piece>,
}

/// Row before its layout.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// Text that replaces the cells from the codes up to the verdict, or up to the end of the line without a verdict.
    pub(super) span: Option<String>,
}

const GAP: usize = 2;
const LONGEST_STEP: usize = 28;
const WIDEST_CODES: usize = 40;
/// Two codes with their counts: `200 x38 401 x2`.
const MIN_CODES: usize = 14;
/// One code or cause with its count: `refused x40`.
const MIN_CODE: usize = 11;

/// Content of an empty cell.
pub(super) const EMPTY: &str = "-";

/// Columns with counts, from left to right.
const COUNTS: [Field; 4] = [Sent, Failed, Accepted, Refused];

use Field::{Accepted, At, Codes, Failed, Median, Refused, Sent, Step, Tail, Took, Verdict};
const WIDE: [(Field, usize); 11] = [
    (At, 7),
    (Step, 0),
    (Took, 6),
    (Sent, 6),
    (Failed, 6),
    (Accepted, 8),
    (Refused, 7),
    (Codes, 0),
    (Median, 6),
    (Tail, 6),
    (Verdict, 11),
];
const MEDIUM: [(Field, usize); 9] =
    [(At, 6), (Step, 0), (Sent, 4), (Failed, 6), (Accepted, 7), (Refused, 4), (Codes, 0), (Tail, 6), (Verdict, 7)];
const NARROW: [(Field, usize); 4] = [(At, 6), (Step, 0), (Codes, 0), (Verdict, 7)];

impl Field {
    fn head(self) -> &'static str {
        match self {
            At => "at",
            Step => "step",
            Took => "took",
            Sent => "sent",
            Failed => "failed",
            Accepted => "auth ok",
            Refused => "fail",
            Codes => "codes",
            Median => "p50",
            Tail => "p99",
            Verdict => "verdict",
        }
    }

    /// Returns true for words, which are left-aligned.
    fn is_left(self) -> bool {
        matches!(self, Step | Codes | Verdict)
    }
}

impl Layout {
    /// Selects the largest set of columns that fits into `width`, with steps of these names.
    pub(super) fn new<'a>(width: usize, steps: impl Iterator<Item = &'a str>) -> Self {
        let longest = steps.map(|name| text::columns(&text::clean(name))).max().unwrap_or(0);
        let longest = longest.clamp(Step.head().len(), LONGEST_STEP);
        let room = |set: &[(Field, usize)]| {
            let fixed: usize = set.iter().map(|(_, width)| width).sum();
            width.checked_sub(fixed + GAP * (set.len() - 1))
        };
        let (set, room, min_codes) = if let Some(room) = room(&WIDE).filter(|room| *room >= longest + MIN_CODES) {
            (WIDE.as_slice(), room, MIN_CODES)
        } else if let Some(room) = room(&MEDIUM).filter(|room| *room >= 2 * MIN_CODE) {
            (MEDIUM.as_slice(), room, MIN_CODE)
        } else {
            (NARROW.as_slice(), room(&NARROW).unwrap_or(0), MIN_CODES)
        };
        let step = longest.min(room.saturating_sub(min_codes)).max(1);
        let codes = room.saturating_sub(step).clamp(1, WIDEST_CODES);
        let mut start = 0;
        let columns = set.iter().map(|(field, width)| {
            let width = match field {
                Step => step,
                Codes => codes,
                _ => *width,
            };
            let column = Column { field: *field, start, width };
            start += width + GAP;
            column
        });
        Self { columns: columns.collect() }
    }

    /// Width of the table.
    pub(super) fn width(&self) -> usize {
        self.columns.last().map_or(0, |column| column.start + column.width)
    }

    /// Start of the step names, and of the notes below them.
    pub(super) fn indent(&self) -> usize {
        self.column(Step).map_or(0, |column| column.start)
    }

    /// Returns true if the layout has this column.
    pub(super) fn shows(&self, field: Field) -> bool {
        self.column(field).is_some()
    }

    fn column(&self, field: Field) -> Option<&Column> {
        self.columns.iter().find(|column| column.field == field)
    }

    /// Line with the column heads.
    pub(super) fn heads(&self, painter: Painter) -> String {
        let mut line = Line::new(painter);
        for column in &self.columns {
            line.append(column, &[(column.field.head().to_owned(), Tone::Dim)]);
        }
        line.text
    }

    /// Lines of a row. Long names and codes need more than one.
    pub(super) fn row(&self, row: &Row, painter: Painter) -> Vec<String> {
        let has_verdict = row.cells.iter().any(|cell| cell.field == Verdict && !cell.pieces.is_empty());
        let mut lines = vec![Line::new(painter)];
        let early = self.early_span(row);
        for mut column in self.columns_for(row) {
            if let (Some(start), Codes) = (early, column.field) {
                column = Column { start, width: column.start + column.width - start, ..column };
            } else if early.is_some() && COUNTS.contains(&column.field) {
                continue;
            }
            let Some(cell) = row.cells.iter().find(|cell| cell.field == column.field) else { continue };
            let broken = match (column.field, &row.span) {
                (Step, _) => break_name(&cell.pieces, column.width),
                (Median | Tail, Some(_)) => continue,
                (Codes, span) => {
                    // Numbers that are wider than their columns move the codes to the right.
                    let start = column.start.max(lines[0].end + GAP);
                    column.width = column.width.saturating_sub(start - column.start).max(1);
                    column.start = start;
                    match span {
                        Some(span) => wrap_span(span, self.span_end(row, has_verdict).saturating_sub(start)),
                        None => fill_lines(&cell.pieces, column.width),
                    }
                }
                _ => vec![cell.pieces.clone()],
            };
            for (index, pieces) in broken.iter().enumerate() {
                if index == lines.len() {
                    lines.push(Line::new(painter));
                }
                lines[index].append(&column, pieces);
            }
        }
        lines.into_iter().map(|line| line.text).collect()
    }

    /// Columns for one row. A long verdict moves the columns before it to the left.
    fn columns_for(&self, row: &Row) -> Vec<Column> {
        let verdict = row.cells.iter().find(|cell| cell.field == Verdict).map_or(0, |cell| measure(&cell.pieces));
        let usual = self.column(Verdict).map_or(0, |column| column.width);
        let shift = verdict.saturating_sub(usual);
        let moved = |column: &Column| match column.field {
            Codes => Column { width: column.width.saturating_sub(shift).max(1), ..*column },
            Median | Tail | Verdict => Column { start: column.start - shift, ..*column },
            _ => *column,
        };
        self.columns.iter().map(moved).collect()
    }

    /// Column at which the span of a row starts if the codes have little room: that of the counts, if they are all empty.
    fn early_span(&self, row: &Row) -> Option<usize> {
        let first = row.span.as_ref().and_then(|_| self.column(COUNTS[0]))?;
        let is_empty = |cell: &Cell| cell.pieces.iter().all(|(text, _)| text == EMPTY);
        let mut counts = row.cells.iter().filter(|cell| COUNTS.contains(&cell.field));
        (!self.shows(Took) && counts.all(is_empty)).then_some(first.start)
    }

    /// End of the span of a row: before the verdict, or at the end of the table.
    fn span_end(&self, row: &Row, has_verdict: bool) -> usize {
        let verdict = self.columns_for(row).into_iter().find(|column| column.field == Verdict);
        verdict.filter(|_| has_verdict).map_or(self.width(), |column| column.start.saturating_sub(GAP))
    }
}

/// Splits a name into lines, after a hyphen if possible.
fn break_name(pieces: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let name: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
    let tone = pieces.first().map_or(Tone::Plain, |(_, tone)| *tone);
    text::pieces(&name, width, &['-', '_', '/', '.', ' ']).iter().map(|line| vec![((*line).to_owned(), tone)]).collect()
}

fn wrap_span(span: &str, width: usize) -> Vec<Vec<Piece>> {
    text::wrap(span, width.max(1)).into_iter().map(|line| vec![(line, Tone::Plain)]).collect()
}

/// Distributes pieces over lines.
fn fill_lines(pieces: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    for (content, tone) in pieces {
        for part in text::pieces(content, width, &[' ']) {
            let last = lines.len() - 1;
            let used = measure(&lines[last]);
            let piece = (part.to_owned(), *tone);
            if used > 0 && used + 1 + text::columns(part) > width {
                lines.push(vec![piece]);
            } else {
                lines[last].push(piece);
            }
        }
    }
    lines
}

/// Width of pieces with a space between them.
fn measure(pieces: &[Piece]) -> usize {
    let spaces = pieces.len().saturating_sub(1);
    pieces.iter().map(|(text, _)| text::columns(text)).sum::<usize>() + spaces
}

/// Line that is built from left to right.
struct Line {
    text: String,
    end: usize,
    painter: Painter,
}

impl Line {
    fn new(painter: Painter) -> Self {
        Self { text: String::new(), end: 0, painter }
    }

    /// Appends pieces at a column, or further right if the place is taken.
    fn append(&mut self, column: &Column, pieces: &[Piece]) {
        let width = measure(pieces);
        if width == 0 {
            return;
        }
        let slack = if column.field.is_left() { 0 } else { column.width.saturating_sub(width) };
        let start = (column.start + slack).max(if self.end == 0 { 0 } else { self.end + 1 });
        self.text.push_str(&" ".repeat(start - self.end));
        let painted: Vec<_> = pieces.iter().map(|(text, tone)| self.painter.paint(*tone, text)).collect();
        self.text.push_str(&painted.join(" "));
        self.end = start + width;
    }
}
