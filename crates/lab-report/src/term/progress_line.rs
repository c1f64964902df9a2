//! Progress line on stderr during long operations. It is removed at the end, and not drawn
//! if stderr is not a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

use super::clean::{clean, masked};

/// Replacement for a progress line if stderr is not a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing.
    Silent,
    /// The label as a line.
    Announce,
}

/// Progress line. Clones share it; dropping the last one removes it.
#[derive(Clone, Debug)]
pub struct ProgressLine {
    bars: MultiProgress,
    bar: ProgressBar,
}

const SPINNER: &str = "{spinner} {wide_msg}";
const BAR: &str = "{spinner} {msg} {bar:24} {pos} of {len}";
const SHARE: &str = "{spinner} {prefix} {bar:24} {msg}";
const TICK: Duration = Duration::from_millis(100);

impl ProgressLine {
    pub(super) fn new(bars: &MultiProgress, label: &str) -> Self {
        let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear).with_style(style(SPINNER));
        let bar = bars.add(bar);
        bar.set_message(text(label));
        if !bars.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self { bars: bars.clone(), bar }
    }

    /// Starts an operation of unknown length.
    pub fn label(&self, label: &str) {
        self.bar.set_style(style(SPINNER));
        self.bar.unset_length();
        self.bar.set_position(0);
        self.bar.set_message(text(label));
    }

    /// Shows the progress of the operation.
    pub fn progress(&self, done: u64, planned: u64) {
        if self.bar.length() != Some(planned) {
            self.bar.set_style(style(BAR));
            self.bar.set_length(planned);
        }
        self.bar.set_position(done);
    }

    /// Shows the progress as a bar with the text `detail`. `planned` is 0 while it is unknown.
    pub fn share(&self, label: &str, done: u64, planned: u64, detail: &str) {
        self.bar.set_style(style(SHARE));
        // A bar of length 0 is drawn as complete.
        self.bar.set_length(planned.max(1));
        self.bar.set_position(done.min(planned));
        self.bar.set_prefix(text(label));
        self.bar.set_message(text(detail));
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

/// Masks and cleans a text.
fn text(text: &str) -> String {
    clean(&masked(text))
}

/// Parses a template. A test checks that all of them are valid, so the fallback is not used.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::{MultiProgress, ProgressDrawTarget, ProgressStyle, TermLike};

    use super::{BAR, ProgressLine, SHARE, SPINNER};

    /// A terminal that keeps the text written since the line was last cleared.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn shows(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            60
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_templates_are_valid() {
        assert!(ProgressStyle::with_template(SPINNER).is_ok());
        assert!(ProgressStyle::with_template(BAR).is_ok());
        assert!(ProgressStyle::with_template(SHARE).is_ok());
    }

    #[test]
    fn progress_is_shown_and_cleared_for_output() {
        let screen = Screen::default();
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let live = ProgressLine::new(&bars, "drive-traffic");
        live.progress(13, 40);
        live.bar.force_draw();
        assert!(screen.shows().contains("drive-traffic"), "{}", screen.shows());
        assert!(screen.shows().contains("13 of 40"), "{}", screen.shows());
        bars.suspend(|| assert!(!screen.shows().contains("13 of 40"), "{}", screen.shows()));
        live.clear();
        assert!(!screen.shows().contains("13 of 40"), "{}", screen.shows());
    }
    #[test]
    fn a_share_is_drawn_as_a_bar_whose_length_may_grow() {
        let screen = Screen::default();
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let live = ProgressLine::new(&bars, "db");
        let full = |done, planned, detail: &str| {
            live.share("db", done, planned, detail);
            live.bar.force_draw();
            assert!(screen.shows().contains(detail), "{}", screen.shows());
            screen.shows().matches('\u{2588}').count()
        };
        assert_eq!(full(0, 0, "0 B of 0 B"), 0);
        assert_eq!(full(500, 1000, "500 B of 1.0 kB"), 12);
        assert_eq!(full(500, 2000, "500 B of 2.0 kB"), 6);
        live.label("db starting");
        live.bar.force_draw();
        assert!(!screen.shows().contains("kB"), "{}", screen.shows());
    }
}
