//! [`Cause`]: why a request got no response, read off the errors of the standard library and of hyper.

use std::error::Error;
use std::io;

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens there.
    Refused,
    /// The connection was closed or reset before the response was whole.
    Reset,
    /// No connection, or no whole response, in time.
    Timeout,
    /// The host's name has no address.
    Dns,
    /// What came back is not HTTP.
    Protocol,
    /// Anything else: no route, no file descriptors left.
    Other,
}

impl Cause {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }

    /// The cause behind an error, which may be buried under others: the first of its sources that says one. A name that
    /// does not resolve looks like any other error of the system, so it must be told by the caller.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut source = Some(error);
        let mut closed = false;
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_timeout() {
                    return Self::Timeout;
                }
                if error.is_parse() {
                    return Self::Protocol;
                }
                // A closed connection may have a more telling source, such as a reset.
                closed |= error.is_incomplete_message() || error.is_canceled() || error.is_closed();
            }
            if let Some(cause) = error.downcast_ref::<io::Error>().and_then(Self::of_io) {
                return cause;
            }
            source = error.source();
        }
        if closed { Self::Reset } else { Self::Other }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Some(Self::Reset),
            io::ErrorKind::TimedOut => Some(Self::Timeout),
            // hyper's complaints about a malformed body.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Some(Self::Protocol),
            _ => None,
        }
    }
}
