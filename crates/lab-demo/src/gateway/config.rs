//! Configuration of the gateway from environment variables, with nginx's units for durations and sizes.

use std::time::Duration;

use hyper::header::HeaderValue;

use crate::service::config::{
    ConfigError, Lookup, Variable, credential, duration, host_port, instance, number_and_unit,
};
use crate::service::request_id::fresh_instance;

const DURATION: &str = "a duration above 0, such as 500ms, 2s or 1m";
const CREDENTIAL: &str = "at most 256 letters, digits and -._~+/=";
const SWITCH: &str = "on or off";

const LISTEN: Variable =
    Variable { name: "GATEWAY_LISTEN", expected: "HOST:PORT, such as 127.0.0.1:8080 (port 0 picks a free one)" };
const UPSTREAM: Variable = Variable { name: "GATEWAY_UPSTREAM", expected: "NAME:PORT, such as app:8000" };
const CONNECT_TIMEOUT: Variable = Variable { name: "GATEWAY_CONNECT_TIMEOUT", expected: DURATION };
const READ_TIMEOUT: Variable = Variable { name: "GATEWAY_READ_TIMEOUT", expected: DURATION };
const HEADER_TIMEOUT: Variable = Variable { name: "GATEWAY_HEADER_TIMEOUT", expected: DURATION };
const MAX_BODY: Variable =
    Variable { name: "GATEWAY_MAX_BODY", expected: "a size, such as 64k or 1m (0 for no limit)" };
const FORWARD_API_KEY: Variable = Variable { name: "GATEWAY_FORWARD_API_KEY", expected: SWITCH };
const CLIENT_ID: Variable = Variable { name: "GATEWAY_CLIENT_ID", expected: CREDENTIAL };
const CLIENT_SECRET: Variable = Variable { name: "GATEWAY_CLIENT_SECRET", expected: CREDENTIAL };
const REUSE_PORT: Variable = Variable { name: "GATEWAY_REUSE_PORT", expected: SWITCH };
const METRICS_LISTEN: Variable = Variable {
    name: "GATEWAY_METRICS_LISTEN",
    expected: "HOST:PORT, such as 127.0.0.1:0, or empty for no metrics page",
};
const INSTANCE: Variable =
    Variable { name: "GATEWAY_INSTANCE", expected: "at most 64 letters, digits, '-', '_' and '.', or empty" };

/// Credentials by which the gateway authenticates to the app.
#[derive(Clone, Debug)]
pub(super) struct ClientCredentials {
    /// Value of `X-Client-Id`.
    pub(super) id: HeaderValue,
    /// Value of `X-Client-Secret`.
    pub(super) secret: HeaderValue,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    /// Listen address, `host:port`.
    pub(super) listen: String,
    /// Address of the app, `name:port`.
    pub(super) upstream: String,
    /// Time to connect to the upstream, including name resolution.
    pub(super) connect_timeout: Duration,
    /// Maximum pause of the upstream: until the response head, and between two chunks of the body.
    pub(super) read_timeout: Duration,
    /// Maximum time of a client for a request head, between requests, and between two chunks of a body.
    pub(super) header_timeout: Duration,
    /// Maximum size of a request body in bytes.
    pub(super) max_body: u64,
    /// Forward `X-API-Key` to the app.
    pub(super) forward_api_key: bool,
    pub(super) client: Option<ClientCredentials>,
    /// Allow another gateway to listen on the same port (`SO_REUSEPORT`).
    pub(super) reuse_port: bool,
    /// Listen address of the metrics page, `host:port`. It is never reachable through the proxied paths.
    pub(super) metrics_listen: Option<String>,
    pub(super) instance: String,
}

impl Config {
    /// Reads the configuration. Returns the first error.
    pub(super) fn from_env(env: Lookup) -> Result<Self, ConfigError> {
        let seconds = Duration::from_secs;
        CLIENT_ID.only_with(env, CLIENT_SECRET)?;
        CLIENT_SECRET.only_with(env, CLIENT_ID)?;
        let client = CLIENT_ID.optional(env, secret)?.zip(CLIENT_SECRET.optional(env, secret)?);
        Ok(Self {
            listen: LISTEN.required(env, host_port)?,
            upstream: UPSTREAM.optional(env, host_port)?.unwrap_or_else(|| "app:8000".into()),
            connect_timeout: CONNECT_TIMEOUT.optional(env, time)?.unwrap_or(seconds(1)),
            read_timeout: READ_TIMEOUT.optional(env, time)?.unwrap_or(seconds(2)),
            header_timeout: HEADER_TIMEOUT.optional(env, time)?.unwrap_or(seconds(60)),
            max_body: MAX_BODY.optional(env, size)?.unwrap_or(1 << 20),
            forward_api_key: FORWARD_API_KEY.optional(env, switch)?.unwrap_or(true),
            client: client.map(|(id, secret)| ClientCredentials { id, secret }),
            reuse_port: REUSE_PORT.optional(env, switch)?.unwrap_or(false),
            metrics_listen: METRICS_LISTEN.optional(env, host_port)?,
            instance: INSTANCE.optional(env, instance)?.unwrap_or_else(fresh_instance),
        })
    }
}

fn time(text: &str) -> Option<Duration> {
    duration(text, Duration::from_hours(24))
}

/// Parses a header value that is redacted in `Debug` output.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(credential(text)?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Parses `64k`, `1m` or `1g`. No unit means bytes, 0 no limit.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes: u64 = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    if number == 0 { Some(u64::MAX) } else { number.checked_mul(bytes) }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Config, size};

    #[test]
    fn sizes_have_the_units_of_nginx() {
        assert_eq!(size("64k"), Some(65536));
        assert_eq!(size("1m"), Some(1 << 20));
        assert_eq!(size("0"), Some(u64::MAX));
        for bad in ["", "k", "1kb", "-1", "1.5m", "99999999999g"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_name_the_malformed_variable() {
        let read = |name: &str, value: &str| {
            let lookup = |variable: &str| match variable {
                _ if variable == name => Some(OsString::from(value)),
                "GATEWAY_LISTEN" => Some("127.0.0.1:0".into()),
                _ => None,
            };
            Config::from_env(&lookup).map_err(|error| error.to_string())
        };
        let config = read("GATEWAY_MAX_BODY", "64k").unwrap();
        assert_eq!((config.upstream.as_str(), config.max_body), ("app:8000", 65536));
        assert!(config.forward_api_key && !config.reuse_port);
        assert!(read("GATEWAY_LISTEN", "").unwrap_err().starts_with("GATEWAY_LISTEN is not set: expected HOST:PORT"));
        let bad = [
            ("GATEWAY_LISTEN", "8080"),
            ("GATEWAY_UPSTREAM", "app"),
            ("GATEWAY_CONNECT_TIMEOUT", "soon"),
            ("GATEWAY_READ_TIMEOUT", "0s"),
            ("GATEWAY_HEADER_TIMEOUT", "1 minute"),
            ("GATEWAY_MAX_BODY", "1mb"),
            ("GATEWAY_FORWARD_API_KEY", "yes"),
            ("GATEWAY_CONNECT_TIMEOUT", "2d"),
            ("GATEWAY_REUSE_PORT", "ON"),
            ("GATEWAY_METRICS_LISTEN", "9145"),
            ("GATEWAY_INSTANCE", "a b"),
        ];
        for (name, value) in bad {
            assert!(read(name, value).unwrap_err().starts_with(&format!("{name} is malformed: expected ")), "{name}");
        }
        for (name, other) in [("GATEWAY_CLIENT_ID", "SECRET"), ("GATEWAY_CLIENT_SECRET", "ID")] {
            let error = read(name, "sesame").unwrap_err();
            assert_eq!(error, format!("{name} is set but GATEWAY_CLIENT_{other} is not: set both or neither"));
        }
    }

    #[test]
    fn a_client_has_an_id_and_a_secret_that_debugging_does_not_show() {
        let client = |secret: &'static str| {
            Config::from_env(&|name| match name {
                "GATEWAY_LISTEN" => Some("127.0.0.1:0".into()),
                "GATEWAY_CLIENT_ID" => Some("gateway".into()),
                "GATEWAY_CLIENT_SECRET" => Some(secret.into()),
                _ => None,
            })
        };
        let config = client("sesame").unwrap();
        assert!(!format!("{config:?}").contains("sesame"));
        assert_eq!(config.client.unwrap().secret, "sesame");
        let error = client("open sesame").unwrap_err().to_string();
        assert!(error.starts_with("GATEWAY_CLIENT_SECRET is malformed: ") && !error.contains("sesame"), "{error}");
    }
}
