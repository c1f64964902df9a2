//! Configuration from environment variables. Error messages are one line and never contain a value, because values include
//! keys and passwords.

use std::ffi::OsString;
use std::time::Duration;

/// Source of variables: the environment, or a table in tests.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Problem with an environment variable. The message does not contain the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is unset or empty.
    #[error("{name} is not set: expected {expected}")]
    NotSet {
        /// Name of the variable.
        name: &'static str,
        /// Expected form of the value.
        expected: &'static str,
    },
    /// The value does not have the expected form.
    #[error("{name} is malformed: expected {expected}")]
    Malformed {
        /// Name of the variable.
        name: &'static str,
        /// Expected form of the value.
        expected: &'static str,
    },
    /// The variable is set without another one that it depends on.
    #[error("{name} is set but {needs} is not: set both or neither")]
    Alone {
        /// Name of the variable.
        name: &'static str,
        /// Name of the variable that it depends on.
        needs: &'static str,
    },
}

/// Environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// Expected form, for error messages.
    pub(crate) expected: &'static str,
}

impl Variable {
    /// Parses the value. Fails if it is unset or empty.
    pub(crate) fn required<T>(self, env: Lookup, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        self.optional(env, parse)?.ok_or(ConfigError::NotSet { name: self.name, expected: self.expected })
    }

    /// Parses the value. Returns `None` if it is unset or empty.
    pub(crate) fn optional<T>(
        self,
        env: Lookup,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let malformed = ConfigError::Malformed { name: self.name, expected: self.expected };
        match env(self.name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => value.to_str().and_then(parse).map(Some).ok_or(malformed),
        }
    }

    /// Fails if the variable is set without `other`.
    pub(crate) fn only_with(self, env: Lookup, other: Self) -> Result<(), ConfigError> {
        let set = |variable: Self| env(variable.name).is_some_and(|value| !value.is_empty());
        if set(self) && !set(other) {
            return Err(ConfigError::Alone { name: self.name, needs: other.name });
        }
        Ok(())
    }
}

/// Parses a `host:port` to listen on. The host is not resolved.
pub(crate) fn host_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let valid = !host.is_empty() && (bracketed || !host.contains(':')) && host.bytes().all(|b| b.is_ascii_graphic());
    (valid && port.parse::<u16>().is_ok()).then(|| text.to_owned())
}

/// Parses an instance id: at most 64 letters, digits, `-`, `_` and `.`, which need no escaping in logs and labels.
pub(crate) fn instance(text: &str) -> Option<String> {
    let valid = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    valid.then(|| text.to_owned())
}

/// Parses a duration above 0 and up to `max`, with nginx's units: `500ms`, `2s`, `1m`, `1h` or `90d`. No unit means seconds.
pub(crate) fn duration(text: &str, max: Duration) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = Duration::from_millis(number.checked_mul(milliseconds)?);
    (!total.is_zero() && total <= max).then_some(total)
}

/// Splits `64k` into 64 and `k`.
pub(crate) fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Parses a client id or secret. The characters are safe in headers, nginx configuration and URLs.
pub(crate) fn credential(text: &str) -> Option<&str> {
    let valid = text.len() <= 256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    valid.then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{credential, duration, host_port, instance};

    #[test]
    fn durations_have_the_units_of_nginx_and_a_limit() {
        let day = Duration::from_hours(24);
        assert_eq!(duration("500ms", day), Some(Duration::from_millis(500)));
        assert_eq!(duration("2s", day), duration("2", day));
        assert_eq!(duration("24h", day), duration("1d", day));
        assert_eq!(duration("1m", day), Some(Duration::from_mins(1)));
        for bad in ["", "s", "0", "0s", "-1s", "2 s", "1.5s", "2d", "2w", "99999999999999999999s", "25h", "é"] {
            assert_eq!(duration(bad, day), None, "{bad}");
        }
    }

    #[test]
    fn credentials_need_no_quoting() {
        assert!(credential("gw-1.prod").is_some() && credential("c2VjcmV0+/==").is_some());
        for bad in ["a b", "a$b", "a\"b", "a;b", "é", &"a".repeat(257)] {
            assert!(credential(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "localhost:8000", "[::1]:65535", "app:8000"] {
            assert_eq!(host_port(good).as_deref(), Some(good));
        }
        for bad in ["", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "a b:80", "app:http", "é:1"] {
            assert_eq!(host_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn instance_ids_need_no_escaping() {
        assert!(instance("ab12-cd.34_5").is_some());
        assert!(instance("a b").is_none());
        assert!(instance("a\"").is_none());
        assert!(instance(&"a".repeat(65)).is_none());
    }
}
