//! Asynchronous log on standard output, written line by line by a background thread. Requests only hold a lock while they copy
//! their line. If the reader stalls (a paused terminal, a full pipe), lines are dropped and requests continue.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// Maximum number of buffered bytes.
const CAPACITY: usize = 1 << 20;
/// Pause after a write, so that under load one write contains many lines.
const BATCH_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum length of untrusted text in a line, in bytes.
const MAX_TEXT: usize = 2048;
/// Time to flush the log when the process exits.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Log on standard output. Clones share the buffer.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    json: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Signals that there is something to write, or that the log is closing.
    work: Condvar,
    /// Signals that everything has been written.
    done: Condvar,
}

#[derive(Default)]
struct State {
    lines: String,
    clock: Clock,
    lost: u64,
    /// The writer is waiting for work. Otherwise it checks the buffer by itself and need not be notified.
    idle: bool,
    closing: bool,
    closed: bool,
}

impl Log {
    pub(crate) fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    /// Creates a log that discards everything.
    pub(crate) fn disabled() -> Self {
        let state = State { closed: true, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() });
        Self { shared, json: false }
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::default()), work: Condvar::new(), done: Condvar::new() });
        let writer = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("log".into()).spawn(move || writer.write(out));
        // If the thread cannot be started, the service runs without a log.
        shared.lock().closed = spawned.is_err();
        Self { shared, json: false }
    }

    /// Writes notes as JSON objects.
    pub(crate) fn json(self) -> Self {
        Self { json: true, ..self }
    }

    /// Adds a line. `write` receives the buffer and the time in UTC (RFC 3339), and must not write line breaks; see [`Escaped`].
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
                writeln!(state.lines, r#"{{"time":"{now}","note":"{lost} lines lost: the reader is too slow"}}"#)
            } else {
                writeln!(state.lines, "{now} {lost} lines lost: the reader is too slow")
            };
        }
        write(&mut state.lines, state.clock.now());
        state.lines.push('\n');
        if state.idle {
            self.shared.work.notify_one();
        }
    }

    /// Adds the line `ready ADDRESS:PORT`, which reports to the parent process that the service is listening. `metrics` is the
    /// address of its metrics page, if that is another one.
    pub(crate) fn ready(&self, address: SocketAddr, metrics: Option<SocketAddr>) {
        self.line(|line, _| {
            let _ = write!(line, "ready {address}");
            if let Some(metrics) = metrics {
                let _ = write!(line, " metrics {metrics}");
            }
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

    /// Flushes the log, waiting up to [`CLOSE_TIMEOUT`] for the reader.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.work.notify_one();
        let wait = self.shared.done.wait_timeout_while(state, CLOSE_TIMEOUT, |state| !state.closed);
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
            let failed = out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err();

            let mut state = self.lock();
            if failed || (state.closing && state.lines.is_empty()) {
                state.closed = true;
                self.done.notify_all();
                return;
            }
            let waited = self.work.wait_timeout_while(state, BATCH_INTERVAL, |state| !state.closing);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Formatted time. Everything but the milliseconds is cached for a second.
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

/// Untrusted text, escaped for a line: control and non-ASCII characters, quotes and backslashes become `\xNN`, and the text is
/// truncated to 2,048 bytes.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

/// Like [`Escaped`] but as a JSON string, with `\u00NN` escapes.
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
    let bytes = &text.as_bytes()[..text.len().min(MAX_TEXT)];
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

    const TIMEOUT: Duration = Duration::from_secs(20);

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
    fn closing_flushes_the_buffer() {
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
    fn a_stalled_reader_loses_lines_without_blocking() {
        let (send, receive) = mpsc::sync_channel::<Vec<u8>>(0);
        let log = Log::to(Stuck(send));
        let line = "x".repeat(1000);
        for _ in 0..3 * CAPACITY / line.len() {
            log.note(format_args!("{line}"));
        }
        // However much the writer had taken when the flood ended, it reports the lost lines once they are read again.
        let mut text = String::new();
        while !text.contains("lines lost") {
            log.note(format_args!("after"));
            text += &String::from_utf8(receive.recv_timeout(TIMEOUT).unwrap()).unwrap();
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
    fn untrusted_text_stays_on_its_line() {
        assert_eq!(Escaped("a\nb\u{7f}\"c\\é").to_string(), r"a\x0ab\x7f\x22c\x5c\xc3\xa9");
        assert_eq!(Escaped("/api/users").to_string(), "/api/users");
        assert_eq!(Quoted("a\n\"\\").to_string(), r#""a\u000a\u0022\u005c""#);
        assert_eq!(Escaped(&"x".repeat(5000)).to_string().len(), 2048);
    }
}
