//! Full-screen mode of the terminal: alternate screen, raw keys, no cursor. Dropping [`FullScreen`] restores the
//! terminal, and so does a panic. SIGKILL does not.
//!
//! Keys are read without a library, because the available ones retry forever if the terminal is closed.

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
use super::out::RawOut;

/// Switches to the alternate screen and hides the cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Resets the style, shows the cursor and switches back to the normal screen.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
/// Size of a terminal that does not report one.
const USUAL: (u16, u16) = (80, 24);
/// Buffer size, so that a frame is one write.
const FRAME: usize = 1 << 16;
/// Capacity of the key queue.
const KEYS: usize = 64;

/// Settings of the terminal before full screen. `None` outside of it.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Terminal in full-screen mode.
pub struct FullScreen {
    terminal: Terminal<Ansi<BufWriter<RawOut>>>,
    raw: RawOut,
    area: Rect,
    keys: mpsc::Receiver<Key>,
    resized: unix::Signal,
    continued: unix::Signal,
}

/// Input from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The terminal was resized or the process resumed: redraw.
    Redraw,
    /// The terminal was closed.
    Gone,
}

impl FullScreen {
    /// Switches stdin and stdout to full screen. Requires a tokio runtime.
    pub(super) fn enter(raw: RawOut) -> io::Result<Self> {
        let resized = unix::signal(SignalKind::window_change())?;
        let continued = unix::signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        restore_on_panic();
        let area = area();
        let backend = Ansi::new(BufWriter::with_capacity(FRAME, raw.clone()));
        // A fixed viewport, because this type queries the size itself.
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Fixed(area) })?;
        enter_raw_mode()?;
        Ok(Self { terminal, raw, area, keys: read_keys(), resized, continued })
    }

    /// Draws a frame. Does nothing if the terminal is already restored.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if saved().is_none() {
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

    /// Waits for the next input. Cancel safe.
    pub async fn next(&mut self) -> Input {
        if self.raw.is_closed() {
            return Input::Gone;
        }
        tokio::select! {
            key = self.keys.recv() => key.map_or(Input::Gone, Input::Key),
            _ = self.resized.recv() => Input::Redraw,
            _ = self.continued.recv() => {
                // The shell used the terminal while this process was stopped.
                self.reenter();
                Input::Redraw
            }
        }
    }

    /// Restores the terminal and stops this job, like Ctrl-Z in other programs. Switches back to full screen when the job resumes.
    pub fn suspend(&mut self) {
        restore();
        // Same signal as from the terminal. It has no effect on an orphaned process group, which could not be resumed.
        let _ = rustix::process::kill_current_process_group(Signal::TSTP);
        self.reenter();
    }

    fn reenter(&mut self) {
        // If the terminal is closed, the next key or frame reports it.
        let _ = enter_raw_mode().and_then(|()| self.terminal.clear());
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        restore();
    }
}

/// Size of the terminal.
fn area() -> Rect {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (width, height) = size.map_or(USUAL, |size| (size.ws_col, size.ws_row));
    Rect::new(0, 0, width, height)
}

fn saved() -> MutexGuard<'static, Option<Termios>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter_raw_mode() -> io::Result<()> {
    let stdin = rustix::stdio::stdin();
    let mut before = saved();
    let settings = match &*before {
        Some(settings) => settings.clone(),
        None => tcgetattr(stdin)?,
    };
    let mut raw = settings.clone();
    raw.make_raw();
    tcsetattr(stdin, OptionalActions::Now, &raw)?;
    *before = Some(settings);
    write_stdout(ENTER)
}

/// Restores the terminal, if it is in full-screen mode.
fn restore() {
    if let Some(settings) = saved().take() {
        // Errors mean that the terminal is closed.
        let _ = write_stdout(LEAVE);
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &settings);
    }
}

fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Restores the terminal before a panic message is printed.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            usual(panic);
        }));
    });
}

/// Starts a thread that reads keys until the terminal is closed. Reading cannot be cancelled.
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
