//! Configuration from the environment: [`ConfigError`] is one clear line that never repeats a value, since the values are
//! keys and passwords as well.

use std::ffi::OsString;
use std::time::Duration;

/// Where variables are looked up: the environment, or a table in tests.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Why a service does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Required, and absent or empty.
    #[error("{name} is not set: expected {expected}")]
    NotSet {
        /// The variable.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Not of the form that it must have.
    #[error("{name} is malformed: expected {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Set, where another that it is nothing without is not.
    #[error("{name} is set, and {needs} is not: they go together")]
    Alone {
        /// The variable that is set.
        name: &'static str,
        /// The one that is not.
        needs: &'static str,
    },
}

/// A variable: how it is named, and what must be in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it must be, for people.
    pub(crate) expected: &'static str,
}

impl Variable {
    /// Its value, read by `parse`.
    pub(crate) fn required<T>(self, env: Lookup, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        self.optional(env, parse)?.ok_or(ConfigError::NotSet { name: self.name, expected: self.expected })
    }

    /// Its value, read by `parse`, or None where it is absent or empty.
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

    /// That it is set only where `other` is.
    pub(crate) fn only_with(self, env: Lookup, other: Self) -> Result<(), ConfigError> {
        let set = |variable: Self| env(variable.name).is_some_and(|value| !value.is_empty());
        if set(self) && !set(other) {
            return Err(ConfigError::Alone { name: self.name, needs: other.name });
        }
        Ok(())
    }
}

/// `host:port`, as it may be listened on. Whether the host can be resolved shows when it is bound.
pub(crate) fn host_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let sane = !host.is_empty() && (bracketed || !host.contains(':')) && host.bytes().all(|b| b.is_ascii_graphic());
    (sane && port.parse::<u16>().is_ok()).then(|| text.to_owned())
}

/// An id of an instance: at most 64 letters, digits, `-`, `_` and `.`, so that it is the same in any log or label.
pub(crate) fn instance(text: &str) -> Option<String> {
    let sane = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    sane.then(|| text.to_owned())
}

/// A number and its unit, in nginx's manner: `500ms`, `2s`, `1m`, `1h`, `90d`; seconds without a unit. Above 0, and at most
/// `most`.
pub(crate) fn duration(text: &str, most: Duration) -> Option<Duration> {
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
    (!total.is_zero() && total <= most).then_some(total)
}

/// `64k` is 64 and `k`.
pub(crate) fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A client's id or secret: what may stand in a header, in nginx's configuration and in a URL alike.
pub(crate) fn credential(text: &str) -> Option<&str> {
    let sane = text.len() <= 256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    sane.then_some(text)
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
    fn a_credential_needs_no_quotes_anywhere() {
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
    fn an_instance_fits_any_log() {
        assert!(instance("ab12-cd.34_5").is_some());
        assert!(instance("a b").is_none());
        assert!(instance("a\"").is_none());
        assert!(instance(&"a".repeat(65)).is_none());
    }
}
