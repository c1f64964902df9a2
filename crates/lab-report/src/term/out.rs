//! [`Out`]: stdout for everybody. Rust ignores SIGPIPE, so that a reader that goes away shows as a write error:
//! [`Tolerant`] turns it into silence, and the run goes on to its undo.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;

use super::clean::{masked, shown};

/// EIO: what a terminal says whose window was closed.
const HUNG_UP: i32 = rustix::io::Errno::IO.raw_os_error();

/// A writer that swallows everything after its reader has gone.
#[derive(Debug)]
pub struct Tolerant<W> {
    inner: W,
    /// It is one: there an input/output error means that nobody looks at it any more.
    terminal: bool,
    closed: bool,
}

impl<W: Write> Tolerant<W> {
    /// Around any writer; `terminal` says whether it is one.
    pub fn new(inner: W, terminal: bool) -> Self {
        Self { inner, terminal, closed: false }
    }

    /// Whether the reader has gone.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn tells_of_the_end(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe || (self.terminal && error.raw_os_error() == Some(HUNG_UP))
    }

    fn forgive<T>(&mut self, result: io::Result<T>, swallowed: T) -> io::Result<T> {
        match result {
            Err(error) if self.tells_of_the_end(&error) => {
                self.closed = true;
                Ok(swallowed)
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))),
            written => written,
        }
    }
}

impl<W: Write> Write for Tolerant<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let result = self.inner.write(bytes);
        self.forgive(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.inner.flush();
        self.forgive(result, ())
    }
}

/// Stdout for people, above the progress line. Of what is written a terminal gets nothing that it would obey, beside lab's own
/// colours, and nobody gets a secret; a pipe gets the same text. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Out {
    bars: Arc<MultiProgress>,
    stdout: Arc<Mutex<Tolerant<Stdout>>>,
    coloured: bool,
}

impl Out {
    pub(super) fn stdout(bars: Arc<MultiProgress>, coloured: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { bars, stdout: Arc::new(Mutex::new(Tolerant::new(stdout, terminal))), coloured }
    }

    /// The same stdout for data.
    pub(super) fn data(&self) -> Data {
        Data(self.clone())
    }

    /// Whole buffers, so that the progress line is never drawn into the middle of a row.
    fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        self.bars.suspend(|| self.lock().write_all(bytes))
    }

    /// Whether the reader has gone: nothing that is written from now on is seen.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// The same stdout where no progress line can stand beside it.
    pub(super) fn bare(&self) -> Bare {
        Bare(self.stdout.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Tolerant<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.write_whole(shown(&masked(&text), self.coloured).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

/// Stdout for programs: a pipe or a file gets every byte, a terminal what it may show. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Data(Out);

impl Data {
    /// Whether the reader has gone: nothing that is written from now on is seen.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.lock().terminal {
            let text = String::from_utf8_lossy(bytes);
            self.0.write_whole(shown(&text, false).as_bytes())?;
        } else {
            self.0.write_whole(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Stdout as it is, for a full screen. Clones write to the same place.
#[derive(Clone, Debug)]
pub(super) struct Bare(Arc<Mutex<Tolerant<Stdout>>>);

impl Bare {
    /// Whether the terminal has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    fn lock(&self) -> MutexGuard<'_, Tolerant<Stdout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Bare {
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

    use super::{HUNG_UP, Tolerant};

    /// Takes so many bytes, then fails so.
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
    fn a_reader_that_goes_away_is_no_error() -> io::Result<()> {
        let mut out = Tolerant::new(Closing { room: 8, error: || io::ErrorKind::BrokenPipe.into() }, false);
        out.write_all(b"header\n")?;
        assert!(!out.is_closed());
        out.write_all(b"row one\n")?;
        assert!(out.is_closed());
        out.write_all(b"row two\n")?;
        out.flush()
    }

    #[test]
    fn a_terminal_whose_window_was_closed_is_a_reader_that_went_away() -> io::Result<()> {
        let closing = || Closing { room: 0, error: || io::Error::from_raw_os_error(HUNG_UP) };
        let mut out = Tolerant::new(closing(), true);
        out.write_all(b"row\n")?;
        assert!(out.is_closed());
        let mut file = Tolerant::new(closing(), false);
        assert!(file.write_all(b"row\n").is_err(), "a disk that fails is an error");
        Ok(())
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut out = Tolerant::new(Closing { room: 0, error: || io::ErrorKind::StorageFull.into() }, true);
        assert_eq!(out.write_all(b"row\n").map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        assert!(!out.is_closed());
    }
}
