//! [`ValueError`]: reason for refusing a value of a compose file. Its message is the label under the value.

use lab_yaml::quote_list;

use super::rights::CAPABILITIES;

/// Reason for refusing a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("expected a duration with units: `500ms`, `1.5s`, `1m30s`")]
    Duration,
    #[error("expected at most 24h")]
    LongDuration,
    #[error("expected more than 0")]
    Zero,
    #[error("expected a size: `64m`, `1g`, or bytes")]
    Size,
    #[error("expected a number of cores: `0.5`, `2`")]
    Cores,
    #[error("expected a number above 0, or -1 for no limit")]
    Limit,
    #[error("expected a whole number above 0")]
    Count,
    #[error("expected `true` or `false`")]
    Boolean,
    #[error("expected a port from 1 to 65535")]
    Port,
    #[error("ranges are not supported; list each port")]
    PortRange,
    #[error("lab only publishes on 127.0.0.1")]
    HostAddress,
    /// A port without a host address. Contains the whole form to write.
    #[error("lab only publishes on 127.0.0.1: write `{0}`")]
    NoHostAddress(String),
    /// A port without a port on the host. Contains the port of the container.
    #[error("lab only publishes on 127.0.0.1: write `127.0.0.1::{0}` for a free port")]
    NoHostPort(String),
    #[error("lab only publishes TCP ports")]
    Protocol,
    #[error("expected `service_started` or `service_healthy`")]
    Condition,
    #[error("expected at most 63 letters, digits, `-`, `_` and `.`, a letter or a digit first")]
    Name,
    #[error("expected a variable name")]
    Variable,
    #[error("expected an absolute path in the container")]
    ContainerPath,
    #[error("expected a path that starts with `/`")]
    UrlPath,
    #[error("expected a value")]
    Empty,
    #[error("there is a backslash at the end")]
    Backslash,
    #[error("a quote is not closed")]
    Quote,
    #[error("expected a command")]
    Command,
    #[error("expected a capability: `ALL`, `NET_RAW`")]
    Capability,
    /// A capability that containers do not have by default.
    #[error("a lab gets no rights on its host; expected one that every container has: {}", quote_list(CAPABILITIES))]
    Privilege,
    #[error("a lab gets no rights on its host; expected `no-new-privileges:true`")]
    SecurityOption,
    #[error("logs must stay in the lab; expected one of {}", quote_list(known.iter().copied()))]
    LogDriver { known: &'static [&'static str] },
    #[error("unknown option; expected one of {}", quote_list(known.iter().copied()))]
    LogOption { known: &'static [&'static str] },
    #[error("the option `{option}` is not supported; expected one of {}", quote_list(known.iter().copied()))]
    TmpfsOption { option: String, known: &'static [&'static str] },
    #[error("expected a folder beside the stack's: `../name`")]
    Folder,
    #[error("expected `bind` or `volume`; use `tmpfs` for paths in memory")]
    MountType,
    /// A service that the file does not have. Contains a similar name or the known ones.
    #[error("{0}")]
    Service(String),
}
