//! [`Term`]: the one owner of stdout and stderr. It knows the width, decides on colour for each stream, and lets rows on
//! stdout and a progress line on stderr live side by side. A reader that closes our stdout is no error ([`Out`]).

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressDrawTarget};

mod ansi;
mod clean;
mod full;
mod keys;
mod live;
mod out;
mod paint;
mod screen;

pub use clean::{clean, clean_lines, is_invisible, mask_with, masked};
pub use full::{FullScreen, Input};
pub use keys::Key;
pub use live::{Live, Plain};
pub use out::{Data, Out, Tolerant};
pub use paint::{Painter, Tone};

/// The width where none can be known: in a pipe.
pub const DEFAULT_WIDTH: usize = 80;
/// No narrower than this is drawn for.
const LEAST_WIDTH: usize = 40;

/// The terminal, or what stands in for it. Clones share it.
#[derive(Clone, Debug)]
pub struct Term {
    out: Out,
    bars: MultiProgress,
    stdout: Stream,
    stderr: Stream,
}

/// What is known of one of the two streams.
#[derive(Clone, Copy, Debug)]
struct Stream {
    terminal: bool,
    painter: Painter,
    width: usize,
}

impl Term {
    /// Looks at the streams and the environment of this process: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM`, `COLUMNS`.
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

    /// Stdout for people: whatever is written to it goes above the progress line, without secrets and without what a terminal
    /// would obey.
    pub fn out(&self) -> Out {
        self.out.clone()
    }

    /// Stdout for programs: byte for byte, unless a terminal shows it.
    pub fn data(&self) -> Data {
        self.out.data()
    }

    /// The columns of stdout.
    pub fn width(&self) -> usize {
        self.stdout.width
    }

    /// The columns of stderr.
    pub fn stderr_width(&self) -> usize {
        self.stderr.width
    }

    /// Whether a person reads stdout.
    pub fn is_terminal(&self) -> bool {
        self.stdout.terminal
    }

    /// Whether a person reads stderr.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr.terminal
    }

    /// Whether there is a terminal for a full screen: standard input and output have to be one, and one whose cursor moves.
    pub fn has_full_screen(&self) -> bool {
        let moves = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        self.stdout.terminal && io::stdin().is_terminal() && moves
    }

    /// Takes the whole terminal over. Needs a runtime of tokio.
    pub fn full_screen(&self) -> io::Result<FullScreen> {
        FullScreen::enter(self.out.bare())
    }

    /// Colours for stdout.
    pub fn painter(&self) -> Painter {
        self.stdout.painter
    }

    /// Colours for stderr.
    pub fn stderr_painter(&self) -> Painter {
        self.stderr.painter
    }

    /// One line on stderr, above the progress line. That nobody reads it is no error.
    pub fn note(&self, line: &str) {
        let line = self.stderr_text(line);
        self.bars.suspend(|| {
            let _unread = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// A text as stderr may get it.
    fn stderr_text(&self, text: &str) -> String {
        clean::shown(&masked(text), self.stderr.painter.is_on()).into_owned()
    }

    /// A progress line on stderr. Where stderr is no terminal, `plain` says what stands there instead.
    pub fn live(&self, label: &str, plain: Plain) -> Live {
        if self.bars.is_hidden() && plain == Plain::Announce {
            self.note(label);
        }
        Live::new(&self.bars, label)
    }
}

impl Default for Term {
    fn default() -> Self {
        Self::new()
    }
}

/// The columns of a terminal. Not through `console` on Unix: it knows none where the terminal does not tell its rows.
#[cfg(unix)]
fn columns(stream: impl std::os::fd::AsFd, _: &console::Term) -> Option<u16> {
    rustix::termios::tcgetwinsize(stream).ok().map(|size| size.ws_col)
}

/// The columns of a terminal.
#[cfg(not(unix))]
fn columns<S>(_: S, term: &console::Term) -> Option<u16> {
    term.size_checked().map(|(_, columns)| columns)
}

/// Whether a stream is coloured: `NO_COLOR` (no-color.org) says no, then `CLICOLOR_FORCE` (bixense.com/clicolors) says
/// yes, then a terminal that is not dumb and no `CLICOLOR=0`.
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

/// `COLUMNS` where it is a number, since it was asked for; else the terminal's; else [`DEFAULT_WIDTH`].
fn width(env: impl Fn(&str) -> Option<String>, terminal: Option<u16>) -> usize {
    let asked = env("COLUMNS").and_then(|columns| columns.trim().parse::<u16>().ok());
    let known = asked.filter(|columns| *columns > 0).or(terminal.filter(|columns| *columns > 0));
    known.map_or(DEFAULT_WIDTH, usize::from).max(LEAST_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_WIDTH, colour, width};

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn colour_is_for_terminals_unless_the_environment_says_otherwise() {
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
    fn the_width_is_what_was_asked_for_or_what_there_is() {
        assert_eq!(width(env(&[]), None), DEFAULT_WIDTH);
        assert_eq!(width(env(&[]), Some(132)), 132);
        assert_eq!(width(env(&[("COLUMNS", "120")]), Some(132)), 120);
        assert_eq!(width(env(&[("COLUMNS", "wide")]), None), DEFAULT_WIDTH);
        assert_eq!(width(env(&[("COLUMNS", "0")]), Some(0)), DEFAULT_WIDTH);
        assert_eq!(width(env(&[("COLUMNS", "3")]), None), 40);
    }
}
