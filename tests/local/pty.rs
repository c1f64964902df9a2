//! [`Pty`]: a command on a terminal of its own, and [`Screen`]: what that terminal would show.

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

/// Makes the terminal the command's own, as a login does. Part of util-linux.
const SETSID: &str = "/usr/bin/setsid";

/// A command on a terminal.
pub(crate) struct Pty {
    child: Child,
    master: Option<Arc<File>>,
    closing: Arc<AtomicBool>,
    /// Kept open, so that the terminal's settings can be asked after the command's end.
    slave: OwnedFd,
    screen: Arc<Mutex<Screen>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    before: String,
}

impl Pty {
    /// Starts a command on a terminal of this size.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
            .expect("its other end");
        tcsetwinsize(&slave, size(columns, rows)).expect("it takes a size");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let before = settings(&slave);
        let mut on_it = Command::new(SETSID);
        on_it.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        on_it.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        on_it.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let child = on_it.spawn().expect("setsid is there");
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
                let glance = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                if poll(&mut ready, Some(&glance)) != Ok(1) {
                    continue;
                }
                match (&*reader).read(&mut bytes) {
                    Ok(read @ 1..) => {
                        written.lock().expect("not poisoned").extend_from_slice(&bytes[..read]);
                        shown.lock().expect("not poisoned").take(&bytes[..read]);
                    }
                    // Its other end is closed.
                    _ => return,
                }
            }
        });
        Self { child, master: Some(master), closing, slave, screen, bytes: all, before }
    }

    /// All that the command wrote to the terminal, once it has ended and nothing more comes.
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

    /// Types.
    pub(crate) fn types(&mut self, text: &str) {
        let mut master = self.master.as_deref().expect("not hung up");
        master.write_all(text.as_bytes()).expect("it reads");
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().expect("not poisoned").resize(columns, rows);
        tcsetwinsize(self.master.as_deref().expect("not hung up"), size(columns, rows)).expect("it takes a size");
    }

    /// Waits until the screen is as wanted; it is returned.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let text = self.text();
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < crate::support::PATIENCE, "{what} did not come to pass:\n{text}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until the screen shows something.
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

    /// Closes the terminal, as a window does.
    pub(crate) fn hang_up(&mut self) {
        // It is gone with its last owner: the thread that reads, at the end of its glance.
        self.closing.store(true, Ordering::Relaxed);
        self.master = None;
    }

    /// Waits for the command's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        end_of(&mut self.child)
    }

    /// The terminal is as it was before the command: its settings, its screen, its cursor.
    pub(crate) fn is_as_before(&self) {
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

/// Screen of a terminal, as far as `lab` uses it: text, cursor position, clearing, alternate screen.
struct Screen {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    alternate: bool,
    cursor: bool,
    /// Bytes that are no whole character or sequence yet.
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

    fn take(&mut self, bytes: &[u8]) {
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
                        // The rest of it comes with the next bytes.
                        let mut unread = text.as_bytes()[start..].to_vec();
                        unread.append(&mut self.rest);
                        self.rest = unread;
                        return;
                    };
                    self.obey(&sequence[..=end]);
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

    fn obey(&mut self, sequence: &str) {
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
