//! Drawing of text and bars on a buffer, in colours by meaning. Foreign text is sanitised.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use lab_report::report::text::{clean, wrap};
use lab_report::term::Tone;

/// Text with its tone.
pub(super) type Piece = (Tone, String);

/// Drawing operations on a buffer.
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    colour: bool,
}

impl<'a> Pen<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, colour: bool) -> Self {
        Self { buffer, colour }
    }

    /// Style of a tone. Uses named colours only, which follow the user's terminal theme.
    pub(super) fn style(&self, tone: Tone) -> Style {
        let plain = Style::reset();
        let colour = |colour: Color| if self.colour { plain.fg(colour) } else { plain };
        match tone {
            Tone::Plain => plain,
            Tone::Good => colour(Color::Green),
            Tone::Failed => colour(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Warn => colour(Color::Yellow),
            Tone::Dim => plain.add_modifier(Modifier::DIM),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
        }
    }

    /// Colour without a meaning, to distinguish items by index.
    fn apart(&self, index: usize) -> Style {
        let colours = [Color::Cyan, Color::Magenta, Color::Blue, Color::Yellow, Color::Green];
        if self.colour { Style::reset().fg(colours[index % colours.len()]) } else { Style::reset() }
    }

    /// Draws pieces in the first row of an area and truncates them. Returns the column after the last one.
    pub(super) fn row(&mut self, area: Rect, pieces: &[Piece]) -> u16 {
        let mut x = area.x;
        for (tone, text) in pieces {
            x = self.put(x, area, text, self.style(*tone));
        }
        x
    }

    /// Draws a name in its own colour, followed by pieces.
    pub(super) fn named(&mut self, area: Rect, index: usize, before: &str, name: &str, pieces: &[Piece]) {
        let x = self.put(area.x, area, before, self.style(Tone::Dim));
        let x = self.put(x, area, name, self.apart(index));
        self.row(Rect { x, width: area.right().saturating_sub(x), ..area }, pieces);
    }

    fn put(&mut self, x: u16, area: Rect, text: &str, style: Style) -> u16 {
        if area.height == 0 || x >= area.right() || area.y >= self.buffer.area.bottom() {
            return x;
        }
        self.buffer.set_stringn(x, area.y, clean(text), usize::from(area.right() - x), style).0
    }

    /// Draws pieces at the right end of the first row of an area, if the place is free.
    pub(super) fn right(&mut self, area: Rect, pieces: &[Piece]) {
        let width: usize = pieces.iter().map(|(_, text)| text.chars().count()).sum();
        let Some(width) = u16::try_from(width).ok().filter(|width| *width < area.width && area.height > 0) else {
            return;
        };
        let x = area.right() - width;
        let free = (x - 1..area.right()).all(|x| self.buffer[(x, area.y)].symbol() == " ");
        if free {
            self.row(Rect { x, width, ..area }, pieces);
        }
    }

    /// Draws a highlighted text over the right end of an area.
    pub(super) fn badge(&mut self, area: Rect, text: &str) {
        let width = u16::try_from(text.chars().count()).unwrap_or(area.width).min(area.width);
        let area = Rect { x: area.right() - width, width, ..area };
        self.put(area.x, area, text, Style::reset().add_modifier(Modifier::REVERSED | Modifier::BOLD));
    }

    /// Draws text wrapped into the rows of an area.
    pub(super) fn text(&mut self, area: Rect, text: &str) {
        for (y, line) in (area.y..area.bottom()).zip(wrap(text, usize::from(area.width.max(1)))) {
            self.row(Rect { y, height: 1, ..area }, &[(Tone::Plain, line)]);
        }
    }

    /// Draws a symbol of one column.
    pub(super) fn mark(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Draws the head of a panel: a line with its name. Returns the area below.
    pub(super) fn head(&mut self, area: Rect, pieces: &[Piece]) -> Rect {
        let line = "─".repeat(usize::from(area.width));
        self.row(area, &[(Tone::Dim, line)]);
        let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
        let mut framed = vec![(Tone::Plain, " ".to_owned())];
        framed.extend_from_slice(pieces);
        framed.push((Tone::Plain, " ".to_owned()));
        self.row(inner, &framed);
        super::below(area, 1)
    }

    /// Clears an area and draws a frame around it. Returns the area inside.
    pub(super) fn draw_box(&mut self, area: Rect) -> Rect {
        let width = usize::from(area.width.saturating_sub(2));
        for y in area.y..area.bottom() {
            let (left, fill, right) = match y {
                _ if y == area.y => ("┌", "─", "┐"),
                _ if y + 1 == area.bottom() => ("└", "─", "┘"),
                _ => ("│", " ", "│"),
            };
            let row = format!("{left}{}{right}", fill.repeat(width));
            self.put(area.x, Rect { y, height: 1, ..area }, &row, Style::reset());
        }
        Rect {
            x: area.x + 2,
            y: area.y + 1,
            width: area.width.saturating_sub(4),
            height: area.height.saturating_sub(2),
        }
    }
}
