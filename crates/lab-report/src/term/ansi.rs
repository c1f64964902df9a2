//! Backend that writes cells as ECMA-48 sequences. It supports what the views use: cursor positions, named colours
//! and text.

use std::io::{self, Write};

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};

use super::clean::clean;

/// Backend on a writer.
#[derive(Debug)]
pub(super) struct Ansi<W> {
    out: W,
}

impl<W: Write> Ansi<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes the style of a cell, starting with a reset.
    fn style(&mut self, cell: &Cell) -> io::Result<()> {
        let modifiers = [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")];
        let set = modifiers.into_iter().filter(|(modifier, _)| cell.modifier.contains(*modifier)).map(|(_, code)| code);
        let codes = set.chain(colour(cell.fg));
        write!(self.out, "\x1b[0")?;
        for code in codes {
            write!(self.out, ";{code}")?;
        }
        write!(self.out, "m")
    }
}

/// SGR code of a text colour. `None` for the default colour.
fn colour(colour: Color) -> Option<&'static str> {
    match colour {
        Color::Red => Some("31"),
        Color::Green => Some("32"),
        Color::Yellow => Some("33"),
        Color::Blue => Some("34"),
        Color::Magenta => Some("35"),
        Color::Cyan => Some("36"),
        _ => None,
    }
}

impl<W: Write> Backend for Ansi<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut last: Option<&Cell> = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                write!(self.out, "\x1b[{};{}H", y + 1, x + 1)?;
            }
            if last.is_none_or(|last| (last.fg, last.modifier) != (cell.fg, cell.modifier)) {
                self.style(cell)?;
            }
            // Views clean their texts. This is the last line of defence against control characters.
            write!(self.out, "{}", clean(cell.symbol()))?;
            // The cursor position after a wide character depends on the terminal.
            next = if cell.symbol().len() == 1 { Some((x + 1, y)) } else { narrow(cell, x, y) };
            last = Some(cell);
        }
        write!(self.out, "\x1b[0m")
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        write!(self.out, "\x1b[?25l")
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        write!(self.out, "\x1b[?25h")
    }

    /// The cursor is always hidden, so its position does not matter.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        write!(self.out, "\x1b[{};{}H", y + 1, x + 1)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        let code = match region {
            ClearType::All => "2J",
            ClearType::AfterCursor => "0J",
            ClearType::BeforeCursor => "1J",
            ClearType::CurrentLine => "2K",
            ClearType::UntilNewLine => "0K",
        };
        write!(self.out, "\x1b[{code}")
    }

    /// Unused: the full screen queries the terminal itself.
    fn size(&self) -> io::Result<Size> {
        Ok(Size::ZERO)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: Size::ZERO, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Position after a cell, if the cell is one column wide.
fn narrow(cell: &Cell, x: u16, y: u16) -> Option<(u16, u16)> {
    (console::measure_text_width(cell.symbol()) == 1).then_some((x + 1, y))
}

#[cfg(test)]
mod tests {
    use ratatui_core::backend::Backend;
    use ratatui_core::buffer::Buffer;
    use ratatui_core::layout::Rect;
    use ratatui_core::style::{Color, Modifier, Style};

    use super::Ansi;

    fn written(buffer: &Buffer) -> String {
        let before = Buffer::empty(buffer.area);
        let mut out = Vec::new();
        Ansi::new(&mut out).draw(before.diff(buffer).into_iter()).expect("in memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn adjacent_text_is_written_at_once() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 2));
        buffer.set_string(1, 1, "auth", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        buffer.set_string(5, 1, "▁▂", Style::new());
        assert_eq!(written(&buffer), "\x1b[2;2H\x1b[0;1;31mauth\x1b[0m▁▂\x1b[0m");
    }

    #[test]
    fn text_after_a_wide_character_is_positioned() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 1));
        buffer.set_string(0, 0, "日a", Style::new());
        assert_eq!(written(&buffer), "\x1b[1;1H\x1b[0m日\x1b[1;3Ha\x1b[0m");
    }
}
