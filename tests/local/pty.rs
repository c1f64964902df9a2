//! [`Pty`]: runs a command on a pseudo-terminal. [`Screen`]: emulates what that terminal would show.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::desk::kill;
use crate::support::{end_of, until};

/// Makes the terminal the controlling terminal of the command. Part of util-linux.
const SETSID: &str = "/usr/bin/setsid";

/// A command on a pseudo-terminal.
pub(crate) struct Pty {
    child: Child,
    master: Option<Arc<File>>,
    closing: Arc<AtomicBool>,
    /// Kept open, so that the terminal settings can be read after the command has ended.
    slave: OwnedFd,
    screen: Arc<Mutex<Screen>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    before: String,
}

impl Pty {
    /// Starts a command on a terminal of this size.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a pseudo-terminal");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
            .expect("the slave end");
        tcsetwinsize(&slave, size(columns, rows)).expect("the size can be set");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let before = settings(&slave);
        let mut on_it = Command::new(SETSID);
        on_it.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        on_it.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        on_it.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let child = on_it.spawn().expect("setsid is installed");
        let master = Arc::new(File::from(master));
        let screen = Arc::new(Mutex::new(Screen::new(columns, rows)));
        let closing = Arc::new(AtomicBool::new(false));
        let (reader, shown, end) = (master.clone(), screen.clone(), closing.clone());
        let all = Arc::new(Mutex::new(Vec::new()));
        let written = all.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(&*reader, PollFlags::IN)];
                let interval = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                if poll(&mut ready, Some(&interval)) != Ok(1) {
                    continue;
                }
                match (&*reader).read(&mut bytes) {
                    Ok(read @ 1..) => {
                        written.lock().expect("not poisoned").extend_from_slice(&bytes[..read]);
                        shown.lock().expect("not poisoned").write(&bytes[..read]);
                    }
                    // The slave end is closed.
                    _ => return,
                }
            }
        });
        Self { child, master: Some(master), closing, slave, screen, bytes: all, before }
    }

    /// Waits until the command has ended, and returns its whole output.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.wait();
        let now = || self.bytes.lock().expect("not poisoned").clone();
        let mut last = now();
        loop {
            std::thread::sleep(std::time::Duration::from_millis(200));
            let next = now();
            if next.len() == last.len() {
                return next;
            }
            last = next;
        }
    }

    /// Sends key presses.
    pub(crate) fn types(&mut self, text: &str) {
        let mut master = self.master.as_deref().expect("not hung up");
        master.write_all(text.as_bytes()).expect("the peer reads");
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().expect("not poisoned").resize(columns, rows);
        tcsetwinsize(self.master.as_deref().expect("not hung up"), size(columns, rows)).expect("the size can be set");
    }

    /// Waits until the screen is as expected, and returns its text.
    pub(crate) fn until(&self, what: &str, is_expected: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let text = self.text();
            if is_expected(&text) {
                return text;
            }
            assert!(begun.elapsed() < crate::support::TIMEOUT, "{what}: not on the screen in time:\n{text}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until the screen contains a text.
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Text on the screen.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().expect("not poisoned").text()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        kill(self.child.id(), signal);
    }

    /// Closes the terminal, like a terminal window.
    pub(crate) fn hang_up(&mut self) {
        // The reader thread closes the last descriptor after its current poll.
        self.closing.store(true, Ordering::Relaxed);
        self.master = None;
    }

    /// Waits until the command ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        end_of(&mut self.child)
    }

    /// Asserts that the command has restored the settings, the screen and the cursor.
    pub(crate) fn assert_terminal_restored(&self) {
        assert_eq!(settings(&self.slave), self.before, "the terminal's settings");
        until(|| {
            let screen = self.screen.lock().expect("not poisoned");
            !screen.alternate && screen.cursor
        });
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn settings(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).expect("it is a terminal"))
}

/// Emulated screen with the features that `lab` uses: text, cursor position, clearing, alternate screen.
struct Screen {
    rows: Vec<Vec<char>>,
    /// Column and row of the cursor.
    at: (usize, usize),
    alternate: bool,
    cursor: bool,
    /// Bytes of an incomplete character or sequence.
    rest: Vec<u8>,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        let rows = vec![vec![' '; usize::from(columns)]; usize::from(rows)];
        Self { rows, at: (0, 0), alternate: false, cursor: true, rest: Vec::new() }
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.rows = vec![vec![' '; usize::from(columns)]; usize::from(rows)];
    }

    fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let tail = self.rest.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.rest, tail)).expect("just checked");
        let mut chars = text.char_indices();
        while let Some((start, c)) = chars.next() {
            match c {
                '\u{1b}' => {
                    let sequence = &text[start + 1..];
                    let end = sequence.find(|c: char| c != '[' && ('\u{40}'..='\u{7e}').contains(&c));
                    let Some(end) = end else {
                        // The rest of the sequence comes with the next bytes.
                        let mut unread = text.as_bytes()[start..].to_vec();
                        unread.append(&mut self.rest);
                        self.rest = unread;
                        return;
                    };
                    self.execute(&sequence[..=end]);
                    chars.by_ref().take(sequence[..=end].chars().count()).for_each(drop);
                }
                '\r' => self.at.0 = 0,
                '\n' => self.at.1 += 1,
                c => {
                    if let Some(cell) = self.rows.get_mut(self.at.1).and_then(|row| row.get_mut(self.at.0)) {
                        *cell = c;
                    }
                    self.at.0 += 1;
                }
            }
        }
    }

    fn execute(&mut self, sequence: &str) {
        let body = sequence.trim_start_matches('[');
        let (parameters, last) = body.split_at(body.len() - 1);
        let number =
            |index: usize| parameters.split(';').nth(index).and_then(|it| it.parse::<usize>().ok()).unwrap_or(1);
        match (parameters, last) {
            (_, "H") => self.at = (number(1) - 1, number(0) - 1),
            (_, "A") => self.at.1 = self.at.1.saturating_sub(number(0)),
            (_, "B") => self.at.1 += number(0),
            (_, "K") => self.rows.iter_mut().skip(self.at.1).take(1).for_each(|row| row.fill(' ')),
            (_, "J") => self.rows.iter_mut().skip(self.at.1).for_each(|row| row.fill(' ')),
            ("?1049", _) => {
                self.alternate = last == "h";
                self.rows.iter_mut().for_each(|row| row.fill(' '));
                self.at = (0, 0);
            }
            ("?25", _) => self.cursor = last == "h",
            _ => {}
        }
    }
}
