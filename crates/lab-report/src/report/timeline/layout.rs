//! [`Layout`]: which columns a timeline has at a width, and a row's cells put into them. What does not fit into its cell
//! goes on in the next line of the same cell; nothing is cut.

use super::text;
use crate::term::{Painter, Tone};

/// A piece of text and what it means.
pub(super) type Piece = (String, Tone);

/// The columns of a timeline.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<Column>,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Show {
    At,
    Step,
    Took,
    Sent,
    Accepted,
    Refused,
    Codes,
    Median,
    Tail,
    Verdict,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    show: Show,
    start: usize,
    width: usize,
}

/// What stands in one column of one row.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) show: Show,
    pub(super) pieces: Vec<Piece>,
}

/// A row before it is laid out.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// Stands in place of the cells from the codes on; up to the verdict where there is one, else to the end of the line.
    pub(super) span: Option<String>,
}

const GAP: usize = 2;
const LONGEST_STEP: usize = 28;
const WIDEST_CODES: usize = 40;
/// Two codes with their counts: `200 x38 401 x2`.
const LEAST_CODES: usize = 14;

use Show::{Accepted, At, Codes, Median, Refused, Sent, Step, Tail, Took, Verdict};
const WIDE: [(Show, usize); 10] = [
    (At, 7),
    (Step, 0),
    (Took, 6),
    (Sent, 6),
    (Accepted, 8),
    (Refused, 7),
    (Codes, 0),
    (Median, 6),
    (Tail, 6),
    (Verdict, 11),
];
const USUAL: [(Show, usize); 8] =
    [(At, 6), (Step, 0), (Sent, 4), (Accepted, 7), (Refused, 4), (Codes, 0), (Tail, 6), (Verdict, 7)];
const NARROW: [(Show, usize); 4] = [(At, 6), (Step, 0), (Codes, 0), (Verdict, 7)];

impl Show {
    fn head(self) -> &'static str {
        match self {
            At => "at",
            Step => "step",
            Took => "took",
            Sent => "sent",
            Accepted => "auth ok",
            Refused => "fail",
            Codes => "codes",
            Median => "p50",
            Tail => "p99",
            Verdict => "verdict",
        }
    }

    /// Words keep to the left, numbers to the right.
    fn is_left(self) -> bool {
        matches!(self, Step | Codes | Verdict)
    }
}

impl Layout {
    /// The most columns that `width` has room for, with steps of these names.
    pub(super) fn new<'a>(width: usize, steps: impl Iterator<Item = &'a str>) -> Self {
        let longest = steps.map(|name| text::columns(&text::clean(name))).max().unwrap_or(0);
        let longest = longest.clamp(Step.head().len(), LONGEST_STEP);
        let room = |set: &[(Show, usize)]| {
            let fixed: usize = set.iter().map(|(_, width)| width).sum();
            width.checked_sub(fixed + GAP * (set.len() - 1))
        };
        let (set, room) = if let Some(room) = room(&WIDE).filter(|room| *room >= longest + LEAST_CODES) {
            (WIDE.as_slice(), room)
        } else if let Some(room) = room(&USUAL).filter(|room| *room >= 2 * LEAST_CODES) {
            (USUAL.as_slice(), room)
        } else {
            (NARROW.as_slice(), room(&NARROW).unwrap_or(0))
        };
        let step = longest.min(room.saturating_sub(LEAST_CODES)).max(1);
        let codes = room.saturating_sub(step).clamp(1, WIDEST_CODES);
        let mut start = 0;
        let columns = set.iter().map(|(show, width)| {
            let width = match show {
                Step => step,
                Codes => codes,
                _ => *width,
            };
            let column = Column { show: *show, start, width };
            start += width + GAP;
            column
        });
        Self { columns: columns.collect() }
    }

    /// Columns of the whole table.
    pub(super) fn width(&self) -> usize {
        self.columns.last().map_or(0, |column| column.start + column.width)
    }

    /// Where the steps' names begin, and what is said of a step under its row.
    pub(super) fn indent(&self) -> usize {
        self.column(Step).map_or(0, |column| column.start)
    }

    /// Whether there is a column for it.
    pub(super) fn shows(&self, show: Show) -> bool {
        self.column(show).is_some()
    }

    fn column(&self, show: Show) -> Option<&Column> {
        self.columns.iter().find(|column| column.show == show)
    }

    /// The line of column heads.
    pub(super) fn heads(&self, painter: Painter) -> String {
        let mut line = Line::new(painter);
        for column in &self.columns {
            line.put(column, &[(column.show.head().to_owned(), Tone::Dim)]);
        }
        line.text
    }

    /// The lines of a row: one, and more where a name or the codes need them.
    pub(super) fn row(&self, row: &Row, painter: Painter) -> Vec<String> {
        let has_verdict = row.cells.iter().any(|cell| cell.show == Verdict && !cell.pieces.is_empty());
        let mut lines = vec![Line::new(painter)];
        for mut column in self.columns_for(row) {
            let Some(cell) = row.cells.iter().find(|cell| cell.show == column.show) else { continue };
            let broken = match (column.show, &row.span) {
                (Step, _) => broken_name(&cell.pieces, column.width),
                (Median | Tail, Some(_)) => continue,
                (Codes, span) => {
                    // Numbers wider than their columns have moved it.
                    let start = column.start.max(lines[0].end + GAP);
                    column.width = column.width.saturating_sub(start - column.start).max(1);
                    column.start = start;
                    match span {
                        Some(span) => broken_span(span, self.span_end(row, has_verdict).saturating_sub(start)),
                        None => filled(&cell.pieces, column.width),
                    }
                }
                _ => vec![cell.pieces.clone()],
            };
            for (index, pieces) in broken.iter().enumerate() {
                if index == lines.len() {
                    lines.push(Line::new(painter));
                }
                lines[index].put(&column, pieces);
            }
        }
        lines.into_iter().map(|line| line.text).collect()
    }

    /// The columns as this row needs them: where its verdict is longer than most, what stands before it moves to the left.
    fn columns_for(&self, row: &Row) -> Vec<Column> {
        let verdict = row.cells.iter().find(|cell| cell.show == Verdict).map_or(0, |cell| measure(&cell.pieces));
        let usual = self.column(Verdict).map_or(0, |column| column.width);
        let shift = verdict.saturating_sub(usual);
        let moved = |column: &Column| match column.show {
            Codes => Column { width: column.width.saturating_sub(shift).max(1), ..*column },
            Median | Tail | Verdict => Column { start: column.start - shift, ..*column },
            _ => *column,
        };
        self.columns.iter().map(moved).collect()
    }

    /// Where the span of a row ends: before its verdict, or with the table.
    fn span_end(&self, row: &Row, has_verdict: bool) -> usize {
        let verdict = self.columns_for(row).into_iter().find(|column| column.show == Verdict);
        verdict.filter(|_| has_verdict).map_or(self.width(), |column| column.start.saturating_sub(GAP))
    }
}

/// A name in lines, broken after a hyphen where there is one.
fn broken_name(pieces: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let name: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
    let tone = pieces.first().map_or(Tone::Plain, |(_, tone)| *tone);
    text::pieces(&name, width, &['-', '_', '/', '.', ' ']).iter().map(|line| vec![((*line).to_owned(), tone)]).collect()
}

fn broken_span(span: &str, width: usize) -> Vec<Vec<Piece>> {
    text::wrap(span, width.max(1)).into_iter().map(|line| vec![(line, Tone::Plain)]).collect()
}

/// Pieces put into lines, as many as fit into each.
fn filled(pieces: &[Piece], width: usize) -> Vec<Vec<Piece>> {
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

/// Columns of pieces with a space between each.
fn measure(pieces: &[Piece]) -> usize {
    let spaces = pieces.len().saturating_sub(1);
    pieces.iter().map(|(text, _)| text::columns(text)).sum::<usize>() + spaces
}

/// A line that grows to the right.
struct Line {
    text: String,
    end: usize,
    painter: Painter,
}

impl Line {
    fn new(painter: Painter) -> Self {
        Self { text: String::new(), end: 0, painter }
    }

    /// Puts pieces into a column; to the right of it where what stands before it took its place.
    fn put(&mut self, column: &Column, pieces: &[Piece]) {
        let width = measure(pieces);
        if width == 0 {
            return;
        }
        let slack = if column.show.is_left() { 0 } else { column.width.saturating_sub(width) };
        let start = (column.start + slack).max(if self.end == 0 { 0 } else { self.end + 1 });
        self.text.push_str(&" ".repeat(start - self.end));
        let painted: Vec<_> = pieces.iter().map(|(text, tone)| self.painter.paint(*tone, text)).collect();
        self.text.push_str(&painted.join(" "));
        self.end = start + width;
    }
}
