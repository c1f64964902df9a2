//! Terminal for the progress line. Errors of a closed window are ignored, because indicatif would
//! panic, in the middle of a run whose changes must still be undone.

use std::io;

use console::Term;
use indicatif::TermLike;

/// Wrapper that ignores the errors of `T`.
#[derive(Debug)]
pub(super) struct Screen<T>(T);

impl Screen<Term> {
    /// Terminal on stderr.
    pub(super) fn stderr() -> Self {
        Self(Term::buffered_stderr())
    }
}

fn ignore_error(result: io::Result<()>) -> io::Result<()> {
    result.or(Ok(()))
}

impl<T: TermLike> TermLike for Screen<T> {
    fn width(&self) -> u16 {
        self.0.width()
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        ignore_error(self.0.move_cursor_up(lines))
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        ignore_error(self.0.move_cursor_down(lines))
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        ignore_error(self.0.move_cursor_right(columns))
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        ignore_error(self.0.move_cursor_left(columns))
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        ignore_error(self.0.write_line(text))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        ignore_error(self.0.write_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        ignore_error(self.0.clear_line())
    }

    fn flush(&self) -> io::Result<()> {
        ignore_error(self.0.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};

    use super::Screen;
    use crate::term::ProgressLine;

    /// Terminal whose window was closed.
    #[derive(Debug)]
    struct Gone;

    impl TermLike for Gone {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn write_line(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn write_str(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn clear_line(&self) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn flush(&self) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
    }

    #[test]
    fn a_closed_terminal_is_not_an_error() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(Screen(Gone))));
        let live = ProgressLine::new(&bars, "reverting");
        live.progress(1, 2);
        assert_eq!(bars.suspend(|| 42), 42, "output above the line is still written");
        live.clear();
    }
}
