//! [`FullScreen`]: the whole terminal, for as long as it lives: the alternate screen, keys as they are typed, no cursor. The
//! terminal is as it was before afterwards, also after a panic. What ends the process without one (SIGKILL) leaves it so.
//!
//! Keys are read here and not through a library: those that poll a terminal take its going away for a reason to try again.

use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use ratatui_core::layout::Rect;
use ratatui_core::terminal::{Frame, Terminal, TerminalOptions, Viewport};
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use super::ansi::Ansi;
use super::keys::{self, Key};
use super::out::Bare;

/// The alternate screen, without a cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Plain text, the cursor, the screen as it was.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
/// The size where the terminal does not tell one.
const USUAL: (u16, u16) = (80, 24);
/// A frame is one write.
const FRAME: usize = 1 << 16;
/// Keys that may wait.
const KEYS: usize = 64;

/// The terminal's settings before it was taken over; none where it is not.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The whole terminal.
pub struct FullScreen {
    terminal: Terminal<Ansi<BufWriter<Bare>>>,
    bare: Bare,
    area: Rect,
    keys: mpsc::Receiver<Key>,
    resized: unix::Signal,
    continued: unix::Signal,
}

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// It has another size, or came back: it wants to be drawn anew.
    Redraw,
    /// It has gone.
    Gone,
}

impl FullScreen {
    /// Takes the terminal over, on standard input and output. Needs a runtime of tokio.
    pub(super) fn enter(bare: Bare) -> io::Result<Self> {
        let resized = unix::signal(SignalKind::window_change())?;
        let continued = unix::signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        give_back_on_panic();
        let area = area();
        let backend = Ansi::new(BufWriter::with_capacity(FRAME, bare.clone()));
        // A fixed viewport: its size is asked for here, and by no other way.
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Fixed(area) })?;
        take_over()?;
        Ok(Self { terminal, bare, area, keys: read_keys(), resized, continued })
    }

    /// Draws a frame. Nothing is drawn where the terminal was given back already.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if before().is_none() {
            return Ok(());
        }
        let area = area();
        if area != self.area {
            self.area = area;
            self.terminal.resize(area)?;
        }
        self.terminal.draw(render)?;
        Ok(())
    }

    /// What comes next from the terminal. Cancel safe.
    pub async fn next(&mut self) -> Input {
        if self.bare.is_closed() {
            return Input::Gone;
        }
        tokio::select! {
            key = self.keys.recv() => key.map_or(Input::Gone, Input::Key),
            _ = self.resized.recv() => Input::Redraw,
            _ = self.continued.recv() => {
                // Somebody stopped this process and let it go on; its shell has used the terminal meanwhile.
                self.anew();
                Input::Redraw
            }
        }
    }

    /// Gives the terminal back and stops this job, as Ctrl-Z does elsewhere; takes it again when the job goes on.
    pub fn suspend(&mut self) {
        give_back();
        // The shell is told as if the terminal had sent it. Where nobody could let the job go on, this does nothing.
        let _ = rustix::process::kill_current_process_group(Signal::TSTP);
        self.anew();
    }

    fn anew(&mut self) {
        // A terminal that cannot be had any more shows at the next key or frame.
        let _ = take_over().and_then(|()| self.terminal.clear());
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

/// The size of the terminal.
fn area() -> Rect {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (width, height) = size.map_or(USUAL, |size| (size.ws_col, size.ws_row));
    Rect::new(0, 0, width, height)
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_over() -> io::Result<()> {
    let stdin = rustix::stdio::stdin();
    let mut before = before();
    let settings = match &*before {
        Some(settings) => settings.clone(),
        None => tcgetattr(stdin)?,
    };
    let mut raw = settings.clone();
    raw.make_raw();
    tcsetattr(stdin, OptionalActions::Now, &raw)?;
    *before = Some(settings);
    say(ENTER)
}

/// The terminal is as it was, if it was taken over.
fn give_back() {
    if let Some(settings) = before().take() {
        // One that has gone has nothing to be put back.
        let _ = say(LEAVE);
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &settings);
    }
}

fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// The message of a panic is to be read, and the terminal to be used after it.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            usual(panic);
        }));
    });
}

/// A thread that reads keys, until the terminal has gone: a read of it cannot be cancelled.
fn read_keys() -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    for key in keys::parse(&bytes[..read]) {
                        if sender.blocking_send(key).is_err() {
                            return;
                        }
                    }
                }
            }
        }
    });
    receiver
}
