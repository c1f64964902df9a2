//! [`Log`]: whole lines to standard output, written by a thread of its own. A request takes a lock for as long as it takes
//! to copy its line, and a reader that stands still (a paused terminal, a full pipe) costs lines, never requests.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// What is kept for a reader that does not read.
const CAPACITY: usize = 1 << 20;
/// After a write, lines gather for this long: under load one write takes many.
const GATHER: Duration = Duration::from_millis(5);
/// The longest text from outside in a line, in bytes.
const LONGEST: usize = 2048;
/// How long the end of the process waits for the reader.
const CLOSE: Duration = Duration::from_millis(100);

/// A log. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    json: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Something is there to be written, or the log is closing.
    work: Condvar,
    /// All has been written.
    done: Condvar,
}

#[derive(Default)]
struct State {
    lines: String,
    clock: Clock,
    lost: u64,
    /// The writer waits for work: else it looks for itself, and need not be woken.
    idle: bool,
    closing: bool,
    closed: bool,
}

impl Log {
    /// A log on standard output.
    pub(crate) fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    /// A log that keeps nothing.
    pub(crate) fn nowhere() -> Self {
        let state = State { closed: true, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() });
        Self { shared, json: false }
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::default()), work: Condvar::new(), done: Condvar::new() });
        let writer = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("log".into()).spawn(move || writer.write(out));
        // Without a thread there is no log, and the service serves all the same.
        shared.lock().closed = spawned.is_err();
        Self { shared, json: false }
    }

    /// The same, whose notes are JSON documents.
    pub(crate) fn json(self) -> Self {
        Self { json: true, ..self }
    }

    /// Adds the line that `write` makes; it is given the time, RFC 3339 in UTC. The line must not hold line breaks
    /// ([`Escaped`]).
    pub(crate) fn line(&self, write: impl FnOnce(&mut String, &str)) {
        let mut state = self.shared.lock();
        let state = &mut *state;
        if state.closed {
            return;
        }
        if state.lines.len() > CAPACITY {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            let now = state.clock.now();
            let _ = if self.json {
                writeln!(state.lines, r#"{{"time":"{now}","note":"{lost} lines lost: nobody read them"}}"#)
            } else {
                writeln!(state.lines, "{now} {lost} lines lost: nobody read them")
            };
        }
        write(&mut state.lines, state.clock.now());
        state.lines.push('\n');
        if state.idle {
            self.shared.work.notify_one();
        }
    }

    /// Adds the line by which whoever started the service knows that, and where, it listens: `ready ADDRESS:PORT`.
    pub(crate) fn ready(&self, address: SocketAddr) {
        self.line(|line, _| {
            let _ = write!(line, "ready {address}");
        });
    }

    /// Adds a line about the service itself.
    pub(crate) fn note(&self, text: fmt::Arguments) {
        let text = text.to_string();
        self.line(|line, now| {
            let _ = if self.json {
                write!(line, r#"{{"time":"{now}","note":{}}}"#, Quoted(&text))
            } else {
                write!(line, "{now} {}", Escaped(&text))
            };
        });
    }

    /// Waits until all is written, or a moment where nobody reads.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.work.notify_one();
        let wait = self.shared.done.wait_timeout_while(state, CLOSE, |state| !state.closed);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write) {
        let mut lines = String::new();
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() && !state.closing {
                state.idle = true;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle = false;
            lines.clear();
            std::mem::swap(&mut lines, &mut state.lines);
            drop(state);
            let gone = out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err();

            let mut state = self.lock();
            if gone || (state.closing && state.lines.is_empty()) {
                state.closed = true;
                self.done.notify_all();
                return;
            }
            let gathered = self.work.wait_timeout_while(state, GATHER, |state| !state.closing);
            drop(gathered.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The time as text; all but the milliseconds is made once a second.
#[derive(Default)]
struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    fn now(&mut self) -> &str {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            let time = i64::try_from(self.second).ok().and_then(|second| DateTime::from_timestamp(second, 0));
            self.text = time.unwrap_or_default().format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        self.text.truncate("2026-11-24T10:15:30".len());
        let _ = write!(self.text, ".{:03}Z", since.subsec_millis());
        &self.text
    }
}

/// Text from outside, made fit for a line: control and non-ASCII characters, quotes and backslashes as `\xNN`, at most
/// 2,048 bytes of it.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

/// The same as a string of JSON: `\u00NN`.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, f, |f, byte| write!(f, "\\x{byte:02x}"))
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        escape(self.0, f, |f, byte| write!(f, "\\u{byte:04x}"))?;
        f.write_char('"')
    }
}

fn escape(
    text: &str,
    f: &mut fmt::Formatter<'_>,
    other: impl Fn(&mut fmt::Formatter<'_>, u8) -> fmt::Result,
) -> fmt::Result {
    let bytes = &text.as_bytes()[..text.len().min(LONGEST)];
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if bytes.len() == text.len() && bytes.iter().all(|&byte| plain(byte)) {
        return f.write_str(text);
    }
    for &byte in bytes {
        if plain(byte) { f.write_char(char::from(byte))? } else { other(f, byte)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{CAPACITY, Escaped, Log, Quoted};

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Channel(mpsc::Sender<Vec<u8>>);

    impl Write for Channel {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Stuck(mpsc::SyncSender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closing_writes_what_is_there() {
        let (send, receive) = mpsc::channel();
        let log = Log::to(Channel(send));
        for number in 0..100 {
            log.note(format_args!("line {number}"));
        }
        log.close();
        let text = String::from_utf8(receive.iter().flatten().collect()).unwrap();
        assert_eq!(text.lines().count(), 100);
        assert!(text.ends_with(" line 99\n"));
        let (time, _) = text.split_once(' ').unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let (send, receive) = mpsc::sync_channel::<Vec<u8>>(0);
        let log = Log::to(Stuck(send));
        let line = "x".repeat(1000);
        for _ in 0..3 * CAPACITY / line.len() {
            log.note(format_args!("{line}"));
        }
        // Whether the writer had taken nothing, or a part, when the flood ended: once it is read again, it says what is lost.
        let mut text = String::new();
        while !text.contains("lines lost") {
            log.note(format_args!("after"));
            text += &String::from_utf8(receive.recv_timeout(PATIENCE).unwrap()).unwrap();
        }
        assert!(text.len() < 2 * CAPACITY + CAPACITY / 2, "{} bytes were kept", text.len());
    }

    #[test]
    fn a_closed_reader_is_ignored() {
        let (send, receive) = mpsc::channel();
        drop(receive);
        let log = Log::to(Channel(send));
        log.note(format_args!("one"));
        log.close();
        log.note(format_args!("two"));
    }

    #[test]
    fn text_cannot_leave_its_line() {
        assert_eq!(Escaped("a\nb\u{7f}\"c\\é").to_string(), r"a\x0ab\x7f\x22c\x5c\xc3\xa9");
        assert_eq!(Escaped("/api/users").to_string(), "/api/users");
        assert_eq!(Quoted("a\n\"\\").to_string(), r#""a\u000a\u0022\u005c""#);
        assert_eq!(Escaped(&"x".repeat(5000)).to_string().len(), 2048);
    }
}
