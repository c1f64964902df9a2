//! Configuration of the app from environment variables. See the table of settings in docs/stack.md.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::service::config::{ConfigError, Lookup, Variable, credential, duration, host_port, instance};
use crate::service::request_id::fresh_instance;

use super::auth::{Auth, Client, Key};
use super::limit::{self, Limiter, Rate};
use super::secret::Secret;
use super::store::{self, DatabaseUrl};

const KEY: &str = "a key: 1 to 256 visible ASCII characters, no spaces";
const EXPIRY: &str =
    "a time such as 2027-01-31T00:00:00Z (RFC 3339), or a lifetime from the start such as 30s, 12h or 90d";
const TIME: &str = "a duration above 0 and at most 1h, such as 500ms, 2s or 1m";
const CREDENTIAL: &str = "at most 256 letters, digits and -._~+/=";

const LISTEN: Variable =
    Variable { name: "APP_LISTEN", expected: "HOST:PORT, such as 127.0.0.1:8000 (port 0 picks a free one)" };
const API_KEY: Variable = Variable {
    name: "APP_API_KEY",
    expected: "the key callers must send: 1 to 256 visible ASCII characters, no spaces",
};
const API_KEY_EXPIRES: Variable = Variable { name: "APP_API_KEY_EXPIRES", expected: EXPIRY };
const PREVIOUS_KEY: Variable = Variable { name: "APP_API_KEY_PREVIOUS", expected: KEY };
const PREVIOUS_KEY_EXPIRES: Variable = Variable { name: "APP_API_KEY_PREVIOUS_EXPIRES", expected: EXPIRY };
const SCOPES: Variable = Variable {
    name: "APP_API_KEY_SCOPES",
    expected: "scopes of letters, digits and :-_., separated by spaces or commas, such as \"users:read reports:read\"",
};
const CLIENT_ID: Variable = Variable { name: "APP_CLIENT_ID", expected: CREDENTIAL };
const CLIENT_SECRET: Variable = Variable { name: "APP_CLIENT_SECRET", expected: CREDENTIAL };
const RATE_LIMIT: Variable =
    Variable { name: "APP_RATE_LIMIT", expected: "a rate per key, such as 10/s, 300/m or 1000/h (1 to 1000000)" };
const RATE_BURST: Variable =
    Variable { name: "APP_RATE_BURST", expected: "a number of requests at once: 1 to 1000000" };
const DATABASE_URL: Variable =
    Variable { name: "DATABASE_URL", expected: "postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:PATH" };
const DB_POOL: Variable = Variable { name: "APP_DB_POOL", expected: "a number of connections: 1 to 100" };
const DB_POOL_TIMEOUT: Variable = Variable { name: "APP_DB_POOL_TIMEOUT", expected: TIME };
const REPORT_TIME: Variable = Variable { name: "APP_REPORT_TIME", expected: TIME };
const DELAY: Variable = Variable { name: "APP_DEPENDENCY_DELAY", expected: TIME };
const METRICS_PATH: Variable = Variable {
    name: "APP_METRICS_PATH",
    expected: "a path outside of /api/, such as /metrics or /internal/metrics: letters, digits and -_./",
};
const INSTANCE: Variable =
    Variable { name: "APP_INSTANCE", expected: "at most 64 letters, digits, '-', '_' and '.', or empty" };

pub(super) struct Config {
    /// Listen address, `host:port`.
    pub(super) listen: String,
    pub(super) auth: Auth,
    /// `None` means no rate limit.
    pub(super) limiter: Option<Limiter>,
    pub(super) store: store::Settings,
    /// Artificial delay of every request under `/api/`, as if it waited for a slow dependency.
    pub(super) delay: Option<Duration>,
    /// Path of the metrics page.
    pub(super) metrics_path: String,
    pub(super) instance: String,
}

impl Config {
    /// Reads the configuration. Returns the first error.
    pub(super) fn from_env(env: Lookup) -> Result<Self, ConfigError> {
        RATE_BURST.only_with(env, RATE_LIMIT)?;
        let burst = RATE_BURST.optional(env, limit::burst)?;
        Ok(Self {
            listen: LISTEN.required(env, host_port)?,
            auth: auth(env, SystemTime::now())?,
            limiter: RATE_LIMIT.optional(env, Rate::parse)?.map(|rate| Limiter::new(rate, burst)),
            store: store::Settings {
                database: DATABASE_URL.required(env, database)?,
                connections: DB_POOL.optional(env, connections)?.unwrap_or(store::CONNECTIONS),
                wait: DB_POOL_TIMEOUT.optional(env, time)?.unwrap_or(store::TIMEOUT),
                report_time: REPORT_TIME.optional(env, time)?.unwrap_or_default(),
            },
            delay: DELAY.optional(env, time)?,
            metrics_path: METRICS_PATH.optional(env, path)?.unwrap_or_else(|| "/metrics".to_owned()),
            instance: INSTANCE.optional(env, instance)?.unwrap_or_else(fresh_instance),
        })
    }
}

fn auth(env: Lookup, now: SystemTime) -> Result<Auth, ConfigError> {
    PREVIOUS_KEY_EXPIRES.only_with(env, PREVIOUS_KEY)?;
    CLIENT_ID.only_with(env, CLIENT_SECRET)?;
    CLIENT_SECRET.only_with(env, CLIENT_ID)?;
    let expiry = |text: &str| expiry(text, now);
    let previous_expires = PREVIOUS_KEY_EXPIRES.optional(env, expiry)?;
    let client = |text: &str| credential(text).and_then(Secret::parse);
    let client = CLIENT_ID.optional(env, client)?.zip(CLIENT_SECRET.optional(env, client)?);
    Ok(Auth {
        current: Key { secret: API_KEY.required(env, Secret::parse)?, expires: API_KEY_EXPIRES.optional(env, expiry)? },
        previous: PREVIOUS_KEY.optional(env, Secret::parse)?.map(|secret| Key { secret, expires: previous_expires }),
        scopes: SCOPES.optional(env, scopes)?,
        client: client.map(|(id, secret)| Client { id, secret }),
    })
}

/// Parses an expiry: a time, or a lifetime that starts at `now`.
fn expiry(text: &str, now: SystemTime) -> Option<SystemTime> {
    const MAX_LIFETIME: Duration = Duration::from_hours(24 * 36_500);
    if let Some(lifetime) = duration(text, MAX_LIFETIME) {
        return now.checked_add(lifetime);
    }
    chrono::DateTime::parse_from_rfc3339(text).ok().map(SystemTime::from)
}

fn scopes(text: &str) -> Option<Vec<String>> {
    let scopes: Vec<String> = text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let sane = |scope: &String| scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte));
    (!scopes.is_empty() && scopes.iter().all(sane)).then_some(scopes)
}

fn connections(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=100).contains(number))
}

fn time(text: &str) -> Option<Duration> {
    duration(text, Duration::from_hours(1))
}

fn path(text: &str) -> Option<String> {
    let sane = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let free = !text.starts_with("/api/") && !["/", "/api", "/health"].contains(&text);
    (sane && free && text.starts_with('/')).then(|| text.to_owned())
}

/// Discards the parsers' errors, which may contain the password.
fn database(text: &str) -> Option<DatabaseUrl> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        PgConnectOptions::from_str(text).ok().map(Box::new).map(DatabaseUrl::Postgres)
    } else if text.strip_prefix("sqlite:").is_some_and(|path| !path.trim_start_matches('/').is_empty()) {
        SqliteConnectOptions::from_str(text).ok().map(Box::new).map(DatabaseUrl::Sqlite)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
