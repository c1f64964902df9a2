//! Owner of stdout and stderr. [`Term`] knows the width, decides on colour for each stream, and coordinates output on
//! stdout with a progress line on stderr. A closed stdout is not an error ([`Out`]).

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressDrawTarget};

mod ansi;
mod clean;
mod full_screen;
mod keys;
mod out;
mod paint;
mod progress_line;
mod screen;

pub use clean::{clean, clean_lines, is_invisible, mask_with, masked};
pub use full_screen::{FullScreen, Input};
pub use keys::Key;
pub use out::{Data, Out, TolerantWriter};
pub use paint::{Painter, Tone};
pub use progress_line::{Fallback, ProgressLine};

/// Width of output that is not a terminal.
pub const DEFAULT_WIDTH: usize = 80;
/// Minimum width; narrower terminals wrap.
const LEAST_WIDTH: usize = 40;

/// Output streams of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Term {
    out: Out,
    bars: MultiProgress,
    stdout: Stream,
    stderr: Stream,
}

/// Properties of one stream.
#[derive(Clone, Copy, Debug)]
struct Stream {
    terminal: bool,
    painter: Painter,
    width: usize,
}

impl Term {
    /// Inspects the streams and the environment of the process: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM`, `COLUMNS`.
    pub fn new() -> Self {
        let env = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        let stream = |terminal: bool, size: Option<u16>| Stream {
            terminal,
            painter: Painter::new(colour(env, terminal)),
            width: width(env, size),
        };
        let stdout = stream(io::stdout().is_terminal(), columns(io::stdout(), &console::Term::stdout()));
        let stderr = stream(io::stderr().is_terminal(), columns(io::stderr(), &console::Term::stderr()));
        let drawn = stderr.terminal && env("TERM").is_none_or(|term| term != "dumb");
        let screen = || ProgressDrawTarget::term_like(Box::new(screen::Screen::stderr()));
        let target = if drawn { screen() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let out = Out::stdout(Arc::new(bars.clone()), stdout.painter.is_on());
        Self { out, bars, stdout, stderr }
    }

    /// Stdout for people. Output goes above the progress line, without secrets and
    /// control characters.
    pub fn out(&self) -> Out {
        self.out.clone()
    }

    /// Stdout for programs. Bytes are unchanged unless stdout is a terminal.
    pub fn data(&self) -> Data {
        self.out.data()
    }

    /// Width of stdout in columns.
    pub fn width(&self) -> usize {
        self.stdout.width
    }

    /// Width of stderr in columns.
    pub fn stderr_width(&self) -> usize {
        self.stderr.width
    }

    /// Returns true if stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.stdout.terminal
    }

    /// Returns true if stderr is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr.terminal
    }

    /// Returns true if [`Term::full_screen`] is possible: stdin and stdout are a terminal with a movable cursor.
    pub fn has_full_screen(&self) -> bool {
        let moves = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        self.stdout.terminal && io::stdin().is_terminal() && moves
    }

    /// Switches the terminal to full screen. Requires a tokio runtime.
    pub fn full_screen(&self) -> io::Result<FullScreen> {
        FullScreen::enter(self.out.raw())
    }

    /// Colours for stdout.
    pub fn painter(&self) -> Painter {
        self.stdout.painter
    }

    /// Colours for stderr.
    pub fn stderr_painter(&self) -> Painter {
        self.stderr.painter
    }

    /// Prints a line on stderr, above the progress line. Errors are ignored.
    pub fn note(&self, line: &str) {
        let line = self.stderr_text(line);
        self.bars.suspend(|| {
            let _unread = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// Masks and sanitises a text for stderr.
    fn stderr_text(&self, text: &str) -> String {
        clean::sanitize(&masked(text), self.stderr.painter.is_on()).into_owned()
    }

    /// Shows a progress line on stderr. `fallback` is the replacement if stderr is not a terminal.
    pub fn progress_line(&self, label: &str, fallback: Fallback) -> ProgressLine {
        if self.bars.is_hidden() && fallback == Fallback::Announce {
            self.note(label);
        }
        ProgressLine::new(&self.bars, label)
    }
}

impl Default for Term {
    fn default() -> Self {
        Self::new()
    }
}

/// Width of a terminal. `console` is not used on Unix, because it ignores terminals that report a width but no height.
#[cfg(unix)]
fn columns(stream: impl std::os::fd::AsFd, _: &console::Term) -> Option<u16> {
    rustix::termios::tcgetwinsize(stream).ok().map(|size| size.ws_col)
}

/// Width of a terminal.
#[cfg(not(unix))]
fn columns<S>(_: S, term: &console::Term) -> Option<u16> {
    term.size_checked().map(|(_, columns)| columns)
}

/// Returns true if a stream is coloured. In order of precedence: `NO_COLOR` (no-color.org) disables colour, `CLICOLOR_FORCE`
/// (bixense.com/clicolors) enables it, and a terminal has it unless `TERM=dumb` or `CLICOLOR=0`.
fn colour(env: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let is = |name: &str, value: &str| env(name).is_some_and(|found| found == value);
    if env("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    if env("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    terminal && !is("TERM", "dumb") && !is("CLICOLOR", "0")
}

/// Width from `COLUMNS` if it is a number, else from the terminal, else [`DEFAULT_WIDTH`].
fn width(env: impl Fn(&str) -> Option<String>, terminal: Option<u16>) -> usize {
    let requested = env("COLUMNS").and_then(|columns| columns.trim().parse::<u16>().ok());
    let known = requested.filter(|columns| *columns > 0).or(terminal.filter(|columns| *columns > 0));
    known.map_or(DEFAULT_WIDTH, usize::from).max(LEAST_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_WIDTH, colour, width};

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn colour_is_for_terminals_unless_the_environment_overrides_it() {
        assert!(colour(env(&[]), true));
        assert!(!colour(env(&[]), false));
        assert!(!colour(env(&[("NO_COLOR", "1")]), true));
        assert!(colour(env(&[("NO_COLOR", "")]), true), "an empty NO_COLOR counts as not set");
        assert!(colour(env(&[("CLICOLOR_FORCE", "1")]), false));
        assert!(!colour(env(&[("CLICOLOR_FORCE", "0")]), false));
        assert!(!colour(env(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), true));
        assert!(!colour(env(&[("TERM", "dumb")]), true));
        assert!(!colour(env(&[("CLICOLOR", "0")]), true));
    }

    #[test]
    fn the_width_is_the_requested_one_or_that_of_the_terminal() {
        assert_eq!(width(env(&[]), None), DEFAULT_WIDTH);
        assert_eq!(width(env(&[]), Some(132)), 132);
        assert_eq!(width(env(&[("COLUMNS", "120")]), Some(132)), 120);
        assert_eq!(width(env(&[("COLUMNS", "wide")]), None), DEFAULT_WIDTH);
        assert_eq!(width(env(&[("COLUMNS", "0")]), Some(0)), DEFAULT_WIDTH);
        assert_eq!(width(env(&[("COLUMNS", "3")]), None), 40);
    }
}
