//! [`Config`]: what the environment says.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::service::config::{ConfigError, Lookup, Variable, host_port, instance};
use crate::service::request_id::fresh_instance;

use super::auth::ApiKey;

const LISTEN: Variable =
    Variable { name: "APP_LISTEN", expected: "HOST:PORT, as 127.0.0.1:8000 (port 0 takes a free one)" };
const API_KEY: Variable = Variable {
    name: "APP_API_KEY",
    expected: "the key callers must send: 1 to 256 visible ASCII characters, no spaces",
};
const DATABASE_URL: Variable =
    Variable { name: "DATABASE_URL", expected: "postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:PATH" };
const INSTANCE: Variable =
    Variable { name: "APP_INSTANCE", expected: "at most 64 letters, digits, '-', '_' and '.', or nothing" };

/// What the app needs to know.
pub(super) struct Config {
    /// Where to listen, `host:port`.
    pub(super) listen: String,
    /// What callers must send.
    pub(super) key: ApiKey,
    /// Where the users are.
    pub(super) database: DatabaseUrl,
    /// The id of this instance.
    pub(super) instance: String,
}

/// A database, by its dialect.
pub(super) enum DatabaseUrl {
    /// `postgres://` or `postgresql://`.
    Postgres(Box<PgConnectOptions>),
    /// `sqlite:`.
    Sqlite(Box<SqliteConnectOptions>),
}

impl Config {
    /// Reads it all; the first thing that is wrong is the error.
    pub(super) fn from_env(env: Lookup) -> Result<Self, ConfigError> {
        Ok(Self {
            listen: LISTEN.required(env, host_port)?,
            key: API_KEY.required(env, ApiKey::parse)?,
            database: DATABASE_URL.required(env, DatabaseUrl::parse)?,
            instance: INSTANCE.optional(env, instance)?.unwrap_or_else(fresh_instance),
        })
    }
}

impl DatabaseUrl {
    /// What is wrong is not told: the parsers' errors may repeat the password.
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PgConnectOptions::from_str(text).ok().map(Box::new).map(Self::Postgres)
        } else if text.strip_prefix("sqlite:").is_some_and(|path| !path.trim_start_matches('/').is_empty()) {
            SqliteConnectOptions::from_str(text).ok().map(Box::new).map(Self::Sqlite)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::Config;

    fn read(changes: &[(&str, &str)]) -> Result<Config, String> {
        let good = [("APP_LISTEN", "127.0.0.1:0"), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", "sqlite:/tmp/u.db")];
        let lookup = |name: &str| {
            let all = changes.iter().chain(&good);
            all.clone().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        Config::from_env(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_right_is_taken() {
        let config = read(&[("APP_INSTANCE", "i-1")]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.listen.as_str(), config.instance.as_str()), ("127.0.0.1:0", "i-1"));
        assert_eq!(read(&[]).unwrap_or_else(|error| panic!("{error}")).instance.len(), 8);
        for url in ["postgres://lab:secret@db:5432/lab", "postgresql://db/lab", "sqlite://users.db"] {
            assert!(read(&[("DATABASE_URL", url)]).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in ["APP_LISTEN", "APP_API_KEY", "DATABASE_URL"] {
            let error = read(&[(name, "")]).err().unwrap();
            assert!(error.starts_with(&format!("{name} is not set: expected ")), "{error}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_and_not_repeated() {
        let long = "k".repeat(257);
        let bad = [
            ("APP_LISTEN", "sesame"),
            ("APP_LISTEN", "127.0.0.1:sesame"),
            ("APP_API_KEY", "sesame\nsesame"),
            ("APP_API_KEY", "sésame"),
            ("APP_API_KEY", "open sesame"),
            ("APP_API_KEY", &long),
            ("DATABASE_URL", "mysql://root:sesame@db/x"),
            ("DATABASE_URL", "postgres://root:sesame@db:port/x"),
            ("DATABASE_URL", "sqlite:"),
            ("APP_INSTANCE", "a sesame"),
        ];
        for (name, value) in bad {
            let error = read(&[(name, value)]).err().unwrap_or_else(|| panic!("{name}={value}"));
            assert!(error.starts_with(&format!("{name} is malformed: expected ")), "{error}");
            assert!(!error.contains("same") && !error.contains("kkk") && !error.contains('\n'), "{error}");
        }
    }
}
