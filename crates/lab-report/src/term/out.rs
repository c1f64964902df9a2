//! Stdout. Rust ignores SIGPIPE, so a reader that closes the pipe causes a write error.
//! [`TolerantWriter`] ignores it, so that a run continues to its undo.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;

use super::clean::{masked, sanitize};

/// Error of a terminal whose window was closed.
const HUNG_UP: i32 = rustix::io::Errno::IO.raw_os_error();

/// Writer that discards all output after its reader has closed it.
#[derive(Debug)]
pub struct TolerantWriter<W> {
    inner: W,
    /// Set for terminals, whose input/output errors mean that the window was closed.
    terminal: bool,
    closed: bool,
}

impl<W: Write> TolerantWriter<W> {
    /// Wraps a writer. `terminal` is true if it is one.
    pub fn new(inner: W, terminal: bool) -> Self {
        Self { inner, terminal, closed: false }
    }

    /// Returns true if the reader has closed the output.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn is_disconnect(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe || (self.terminal && error.raw_os_error() == Some(HUNG_UP))
    }

    fn tolerate<T>(&mut self, result: io::Result<T>, swallowed: T) -> io::Result<T> {
        match result {
            Err(error) if self.is_disconnect(&error) => {
                self.closed = true;
                Ok(swallowed)
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))),
            written => written,
        }
    }
}

impl<W: Write> Write for TolerantWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let result = self.inner.write(bytes);
        self.tolerate(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.inner.flush();
        self.tolerate(result, ())
    }
}

/// Stdout for people, above the progress line. Control characters are removed, except for lab's own
/// colours, and secrets are masked, also in a pipe. Clones share the stream.
#[derive(Clone, Debug)]
pub struct Out {
    bars: Arc<MultiProgress>,
    stdout: Arc<Mutex<TolerantWriter<Stdout>>>,
    coloured: bool,
}

impl Out {
    pub(super) fn stdout(bars: Arc<MultiProgress>, coloured: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { bars, stdout: Arc::new(Mutex::new(TolerantWriter::new(stdout, terminal))), coloured }
    }

    /// Stdout for data.
    pub(super) fn data(&self) -> Data {
        Data(self.clone())
    }

    /// Writes a whole buffer, so that the progress line is never drawn within a row.
    fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        self.bars.suspend(|| self.lock().write_all(bytes))
    }

    /// Returns true if the reader has closed the output. Further output is discarded.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// Stdout for a full screen, without a progress line.
    pub(super) fn raw(&self) -> RawOut {
        RawOut(self.stdout.clone())
    }

    fn lock(&self) -> MutexGuard<'_, TolerantWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.write_whole(sanitize(&masked(&text), self.coloured).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

/// Stdout for programs. Bytes are unchanged in a pipe or file, and sanitised on a terminal. Clones share the stream.
#[derive(Clone, Debug)]
pub struct Data(Out);

impl Data {
    /// Returns true if the reader has closed the output. Further output is discarded.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.lock().terminal {
            let text = String::from_utf8_lossy(bytes);
            self.0.write_whole(sanitize(&text, false).as_bytes())?;
        } else {
            self.0.write_whole(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Unprocessed stdout for a full screen. Clones share the stream.
#[derive(Clone, Debug)]
pub(super) struct RawOut(Arc<Mutex<TolerantWriter<Stdout>>>);

impl RawOut {
    /// Returns true if the terminal was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    fn lock(&self) -> MutexGuard<'_, TolerantWriter<Stdout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for RawOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::{HUNG_UP, TolerantWriter};

    /// Accepts a number of bytes, then fails.
    struct Closing {
        room: usize,
        error: fn() -> io::Error,
    }

    impl Write for Closing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err((self.error)());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.room == 0 { Err((self.error)()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_closed_reader_is_not_an_error() -> io::Result<()> {
        let mut out = TolerantWriter::new(Closing { room: 8, error: || io::ErrorKind::BrokenPipe.into() }, false);
        out.write_all(b"header\n")?;
        assert!(!out.is_closed());
        out.write_all(b"row one\n")?;
        assert!(out.is_closed());
        out.write_all(b"row two\n")?;
        out.flush()
    }

    #[test]
    fn a_closed_window_is_a_closed_reader() -> io::Result<()> {
        let closing = || Closing { room: 0, error: || io::Error::from_raw_os_error(HUNG_UP) };
        let mut out = TolerantWriter::new(closing(), true);
        out.write_all(b"row\n")?;
        assert!(out.is_closed());
        let mut file = TolerantWriter::new(closing(), false);
        assert!(file.write_all(b"row\n").is_err(), "a disk that fails is an error");
        Ok(())
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut out = TolerantWriter::new(Closing { room: 0, error: || io::ErrorKind::StorageFull.into() }, true);
        assert_eq!(out.write_all(b"row\n").map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        assert!(!out.is_closed());
    }
}
