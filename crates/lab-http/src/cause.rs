//! Classifies transport failures of a request by the errors of hyper and the standard library.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Reason why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Connection refused: nothing listens at the address.
    Refused,
    /// The connection was closed or reset before the response was complete.
    Reset,
    /// No connection, or no complete response, within the timeout.
    Timeout,
    /// No connection within the separate connect timeout.
    Connect,
    /// The host name did not resolve.
    Dns,
    /// The response is not valid HTTP.
    Protocol,
    /// The client machine ran out of file descriptors, ports or socket memory.
    Exhausted,
    /// Any other failure, for example no route to the host.
    Other,
}

impl Cause {
    /// All causes, in the order used by reports.
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

    /// Name used in reports.
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

    /// Searches an error and its sources for a known cause. DNS failures cannot be distinguished here; the caller must
    /// detect [`Cause::Dns`] itself.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
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
                // A closed connection may have a more specific source, such as a reset.
                closed |= error.is_incomplete_message() || error.is_canceled() || error.is_closed();
            }
            if let Some(cause) = error.downcast_ref::<io::Error>().and_then(Self::from_io) {
                return cause;
            }
            source = error.source();
        }
        if closed { Self::Reset } else { Self::Other }
    }

    fn from_io(error: &io::Error) -> Option<Self> {
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
            // hyper reports malformed bodies this way.
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
    fn system_errors_map_to_causes() {
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
            assert_eq!(Cause::from_error(&io::Error::from(errno)), cause, "{errno}");
        }
    }
}
