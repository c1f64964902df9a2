//! Configuration from the environment: [`ConfigError`] is one clear line that never repeats a value, since the values are
//! keys and passwords as well.

use std::ffi::OsString;

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

#[cfg(test)]
mod tests {
    use super::{host_port, instance};

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
