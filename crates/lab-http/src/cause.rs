//! [`Cause`]: why a request got no response, read off the errors of the standard library and of hyper.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens there.
    Refused,
    /// The connection was closed or reset before the response was whole.
    Reset,
    /// No connection, or no whole response, in time.
    Timeout,
    /// No connection in the time that was set for that alone.
    Connect,
    /// The host's name has no address.
    Dns,
    /// What came back is not HTTP.
    Protocol,
    /// This machine ran out of file descriptors, ports or memory for connections: the sender's limit, not the server's.
    Exhausted,
    /// Anything else, such as no route.
    Other,
}

impl Cause {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Reset,
        Self::Timeout,
        Self::Connect,
        Self::Dns,
        Self::Protocol,
        Self::Exhausted,
        Self::Other,
    ];

    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Connect => "connect timeout",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::Exhausted => "exhausted",
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
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
        if Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno)) {
            return Some(Self::Exhausted);
        }
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

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::Cause;

    #[test]
    fn all_are_listed_in_order() {
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at, "{cause:?}");
        }
    }

    #[test]
    fn what_the_system_says_has_a_cause() {
        let cases = [
            (Errno::CONNREFUSED, Cause::Refused),
            (Errno::CONNRESET, Cause::Reset),
            (Errno::PIPE, Cause::Reset),
            (Errno::TIMEDOUT, Cause::Timeout),
            (Errno::MFILE, Cause::Exhausted),
            (Errno::ADDRNOTAVAIL, Cause::Exhausted),
            (Errno::HOSTUNREACH, Cause::Other),
        ];
        for (errno, cause) in cases {
            assert_eq!(Cause::of(&io::Error::from(errno)), cause, "{errno}");
        }
    }
}
