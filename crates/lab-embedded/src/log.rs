//! [`Log`]: the output of a service, in a file of the lab. Written by the host, read by anybody who may read the lab.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

use lab_system::files;

/// A file over this size is put aside as `NAME.log.1`, and a new one begun.
const SIZE_LIMIT: u64 = 16 * 1024 * 1024;

/// How long the last words of a process are waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// A service's log.
pub(super) struct Log {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Counts what was written, for those who follow.
    written: watch::Sender<u64>,
}

/// What one stream of one process said last: its log has more than one of them.
pub(super) struct Words(watch::Receiver<Option<String>>);

impl Words {
    /// The last line, for a process that has ended: its stream ends in a moment.
    pub(super) async fn last(&self) -> Option<String> {
        let mut words = self.0.clone();
        let end = async { while words.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(PATIENCE, end).await;
        self.0.borrow().clone()
    }
}

struct Inner {
    file: File,
    size: u64,
    last_line: Option<String>,
    /// The last that says something of the service itself, not of a request.
    last_note: Option<String>,
}

impl Log {
    /// Opens a log for appending.
    pub(super) fn open(path: PathBuf) -> io::Result<Arc<Self>> {
        let file = files::append(&path)?;
        let size = file.metadata()?.len();
        let inner = Mutex::new(Inner { file, size, last_line: None, last_note: None });
        Ok(Arc::new(Self { path, inner, written: watch::Sender::new(0) }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes whenever something was written.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// The last line that came, for error messages.
    pub(super) fn last_line(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last_line.clone()
    }

    /// The last line that is none of the access log, without its time.
    pub(super) fn last_note(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last_note.clone()
    }

    /// Writes whole lines.
    pub(super) fn append(&self, lines: &[u8]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size > SIZE_LIMIT && self.rotate(&mut inner).is_err() {
            return;
        }
        // A full disk loses log lines; that is no reason to end the service.
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

    /// Takes all that a process writes to this stream, from now until it ends.
    pub(super) fn take(self: &Arc<Self>, from: impl AsyncRead + Unpin + Send + 'static) -> Words {
        let (told, words) = watch::channel(None);
        let log = self.clone();
        tokio::spawn(async move { log.pump(from, told).await });
        Words(words)
    }

    /// Writes whole lines, so that two processes can share a log.
    async fn pump(&self, mut from: impl AsyncRead + Unpin, told: watch::Sender<Option<String>>) {
        let write = |lines: &[u8]| {
            self.append(lines);
            told.send_replace(last_of(lines));
        };
        let mut buffer = Vec::with_capacity(64 * 1024);
        while let Ok(1..) = from.read_buf(&mut buffer).await {
            if let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') {
                write(&buffer[..=end]);
                buffer.drain(..=end);
            } else if buffer.len() > 1024 * 1024 {
                // A line without an end is no line.
                buffer.clear();
            }
        }
        if !buffer.is_empty() {
            buffer.push(b'\n');
            write(&buffer);
        }
    }
}

/// The last of these lines; none where it is empty.
fn last_of(lines: &[u8]) -> Option<String> {
    let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    (!last.is_empty()).then(|| String::from_utf8_lossy(last).into_owned())
}

/// What a line says of the service itself: `TIME TEXT`, where the access log has `TIME access FIELDS`, or JSON.
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
    fn the_last_note_is_found_among_the_requests() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path().join("app.log")).unwrap();
        log.append(b"ready 127.0.0.1:1\n2026-11-24T10:06:09.213Z cannot migrate the database: disk full\n");
        log.append(b"2026-11-24T10:06:09.217Z access instance=app-1 method=GET path=/health status=503\n");
        assert_eq!(log.last_note().as_deref(), Some("cannot migrate the database: disk full"));
        assert!(log.last_line().unwrap().contains("status=503"));
    }

    #[tokio::test]
    async fn each_process_has_last_words_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path().join("app.log")).unwrap();
        let words = log.take(&b"hello\nerror: APP_DB_POOL is malformed"[..]);
        let others = log.take(&b"2026-11-24T10:06:09.217Z access instance=app-1 status=200\n"[..]);
        assert_eq!(words.last().await.as_deref(), Some("error: APP_DB_POOL is malformed"));
        assert!(others.last().await.unwrap().ends_with("status=200"));
        assert_eq!(log.take(&b""[..]).last().await, None);
    }
}
