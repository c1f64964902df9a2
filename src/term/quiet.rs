//! [`Quiet`]: stderr for the progress line. The line takes an error of its terminal for a bug and panics; but a terminal that
//! is closed during a run is none, and must not keep the run from its undo.

use std::io;

use console::Term;
use indicatif::TermLike;

/// A terminal whose errors nobody hears of.
#[derive(Debug)]
pub(super) struct Quiet(Term);

impl Quiet {
    pub(super) fn stderr() -> Self {
        Self(Term::buffered_stderr())
    }
}

/// Of a line that cannot be drawn nothing is missed.
#[expect(clippy::unnecessary_wraps, reason = "what the trait wants")]
fn unheard(_: io::Result<()>) -> io::Result<()> {
    Ok(())
}

impl TermLike for Quiet {
    fn width(&self) -> u16 {
        self.0.size().1
    }
    fn height(&self) -> u16 {
        self.0.size().0
    }
    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        unheard(self.0.move_cursor_up(lines))
    }
    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        unheard(self.0.move_cursor_down(lines))
    }
    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        unheard(self.0.move_cursor_right(columns))
    }
    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        unheard(self.0.move_cursor_left(columns))
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        unheard(self.0.write_line(text))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        unheard(self.0.write_str(text))
    }
    fn clear_line(&self) -> io::Result<()> {
        unheard(self.0.clear_line())
    }
    fn flush(&self) -> io::Result<()> {
        unheard(self.0.flush())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use indicatif::{MultiProgress, ProgressDrawTarget};

    use super::*;

    #[test]
    fn a_line_that_cannot_be_drawn_harms_nobody() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let terminal = Quiet(Term::read_write_pair(File::open("/dev/null").unwrap(), full));
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal)));
        let live = crate::term::Live::new(&bars, "drive-traffic");
        live.progress(13, 40);
        assert_eq!(bars.suspend(|| 7), 7);
        live.clear();
    }
}
