//! Log file of a service. The host writes it; any process of the user may read it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

use lab_system::files;

/// Size at which a file is rotated to `NAME.log.1`.
const SIZE_LIMIT: u64 = 16 * 1024 * 1024;

/// Time to wait for the end of an exited process's output.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

pub(super) struct Log {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Number of writes, watched by followers.
    written: watch::Sender<u64>,
}

/// Last line of one output stream of one process. A log may combine several streams.
pub(super) struct LastLine(watch::Receiver<Option<String>>);

impl LastLine {
    /// Returns the last line. Waits briefly for the end of the stream, so call it after the process has exited.
    pub(super) async fn get(&self) -> Option<String> {
        let mut line = self.0.clone();
        let end = async { while line.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, end).await;
        self.0.borrow().clone()
    }
}

struct Inner {
    file: File,
    size: u64,
    last_line: Option<String>,
    /// Last line about the service itself rather than a request.
    last_note: Option<String>,
}

impl Log {
    pub(super) fn open(path: PathBuf) -> io::Result<Arc<Self>> {
        let file = files::append(&path)?;
        let size = file.metadata()?.len();
        let inner = Mutex::new(Inner { file, size, last_line: None, last_note: None });
        Ok(Arc::new(Self { path, inner, written: watch::Sender::new(0) }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notifies on every write.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Last line of the log, for error messages.
    pub(super) fn last_line(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last_line.clone()
    }

    /// Last line that is not an access log entry, without its timestamp.
    pub(super) fn last_note(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last_note.clone()
    }

    /// Writes complete lines.
    pub(super) fn append(&self, lines: &[u8]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size > SIZE_LIMIT && self.rotate(&mut inner).is_err() {
            return;
        }
        // Ignore a full disk: the service matters more than its log.
        if inner.file.write_all(lines).is_ok() {
            inner.size += lines.len() as u64;
        }
        if let Some(last) = last_of(lines) {
            inner.last_line = Some(last);
        }
        if let Some(note) = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').find_map(note) {
            inner.last_note = Some(note);
        }
        self.written.send_modify(|count| *count += 1);
    }

    fn rotate(&self, inner: &mut Inner) -> io::Result<()> {
        std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        inner.file = files::append(&self.path)?;
        inner.size = 0;
        Ok(())
    }

    /// Copies an output stream of a process to the log in the background, until the stream ends.
    pub(super) fn capture(self: &Arc<Self>, from: impl AsyncRead + Unpin + Send + 'static) -> LastLine {
        let (last_line, receiver) = watch::channel(None);
        let log = self.clone();
        tokio::spawn(async move { log.pump(from, last_line).await });
        LastLine(receiver)
    }

    /// Writes complete lines only, so that two processes can share a log.
    async fn pump(&self, mut from: impl AsyncRead + Unpin, last_line: watch::Sender<Option<String>>) {
        let write = |lines: &[u8]| {
            self.append(lines);
            last_line.send_replace(last_of(lines));
        };
        let mut buffer = Vec::with_capacity(64 * 1024);
        while let Ok(1..) = from.read_buf(&mut buffer).await {
            if let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') {
                write(&buffer[..=end]);
                buffer.drain(..=end);
            } else if buffer.len() > 1024 * 1024 {
                // Discard a line that never ends.
                buffer.clear();
            }
        }
        if !buffer.is_empty() {
            buffer.push(b'\n');
            write(&buffer);
        }
    }
}

/// Returns the last line, or `None` if it is empty.
fn last_of(lines: &[u8]) -> Option<String> {
    let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    (!last.is_empty()).then(|| String::from_utf8_lossy(last).into_owned())
}

/// Text of a line about the service itself, `TIME TEXT`. Access log entries are `TIME access FIELDS` or JSON.
fn note(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (time, text) = line.split_once(' ')?;
    let is_note = time.ends_with('Z') && time.starts_with(|first: char| first.is_ascii_digit());
    (is_note && !text.starts_with("access ")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_ignores_access_log_entries() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path().join("app.log")).unwrap();
        log.append(b"ready 127.0.0.1:1\n2026-11-24T10:06:09.213Z cannot migrate the database: disk full\n");
        log.append(b"2026-11-24T10:06:09.217Z access instance=app-1 method=GET path=/health status=503\n");
        assert_eq!(log.last_note().as_deref(), Some("cannot migrate the database: disk full"));
        assert!(log.last_line().unwrap().contains("status=503"));
    }

    #[tokio::test]
    async fn each_stream_has_its_own_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path().join("app.log")).unwrap();
        let first = log.capture(&b"hello\nerror: APP_DB_POOL is malformed"[..]);
        let second = log.capture(&b"2026-11-24T10:06:09.217Z access instance=app-1 status=200\n"[..]);
        assert_eq!(first.get().await.as_deref(), Some("error: APP_DB_POOL is malformed"));
        assert!(second.get().await.unwrap().ends_with("status=200"));
        assert_eq!(log.capture(&b""[..]).get().await, None);
    }
}
