//! What was asked for, checked and laid out for sending: [`Load::validate`] says what is wrong with it, [`Target`] is what
//! the client needs for a request.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use super::{Amount, Load};

const RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;
const MAX_CONNECTIONS: u32 = 1000;
const MAX_TIMEOUT: Duration = Duration::from_hours(1);
/// The longest schedule; ends far before any arithmetic on it does.
const MAX_SCHEDULE: f64 = 30.0 * 86_400.0;

/// What is wrong with a load, for the one who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The address cannot be used.
    #[error("{url:?} is not an address to send to: {reason}")]
    Url {
        /// As written.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The method cannot be used.
    #[error("{method:?} is not a method to send: {reason}")]
    Method {
        /// As written.
        method: String,
        /// Why not.
        reason: &'static str,
    },
    /// A header cannot be used. Its value is not shown: it may be a key.
    #[error("the header {name:?} cannot be sent: {reason}")]
    Header {
        /// Its name as written.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A number is out of its range.
    #[error("{what} must be {range}, not {found}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What it must be.
        range: String,
        /// What it is.
        found: String,
    },
}

impl Load {
    /// Checks all of it, so that [`run`](super::run) can send it.
    pub fn validate(&self) -> Result<(), LoadError> {
        self.target().map(|_| ())
    }

    pub(super) fn target(&self) -> Result<Target, LoadError> {
        let range = |what, range: String, found: String| Err(LoadError::Range { what, range, found });
        if !RATES.contains(&self.rate) {
            let limits = format!("between {} and {} requests a second", RATES.start(), RATES.end());
            return range("the rate", limits, self.rate.to_string());
        }
        #[expect(clippy::cast_precision_loss, reason = "compared with a limit far below 2^53")]
        let (count, seconds) = match self.amount {
            Amount::Requests(count) => (count, count as f64 / self.rate),
            Amount::Duration(duration) => (u64::from(!duration.is_zero()), duration.as_secs_f64()),
        };
        if count == 0 {
            return range("the amount", "at least one request".to_owned(), "none".to_owned());
        }
        if seconds > MAX_SCHEDULE {
            return range("the time it takes", "at most 30 days".to_owned(), format!("{seconds:.0} s"));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return range("connections", format!("1 to {MAX_CONNECTIONS}"), self.connections.to_string());
        }
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            return range("the timeout", "above 0 and at most an hour".to_owned(), format!("{:?}", self.timeout));
        }
        Target::new(&self.url, &self.method, &self.headers)
    }
}

/// Where requests go, and what they are.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An address, as written.
    Address(IpAddr),
    /// A name that must be resolved.
    Name(String),
}

impl Target {
    fn new(url: &str, method: &str, headers: &[(String, String)]) -> Result<Self, LoadError> {
        let bad = |reason: &str| LoadError::Url { url: url.to_owned(), reason: reason.to_owned() };
        if !url.contains("://") {
            return Err(bad("it must start with http://"));
        }
        let parsed = reqwest::Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        match parsed.scheme() {
            "http" => {}
            "https" => return Err(bad("https is not supported, only http")),
            _ => return Err(bad("it must start with http://")),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("a user or a password in it is not supported; send a header"));
        }
        let name = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = match name.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name.to_owned()),
        };
        let path = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        let uri = path.parse::<Uri>().map_err(|error| bad(&error.to_string()))?;
        let authority = parsed.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let authority =
            HeaderValue::from_str(&authority).map_err(|_| bad("its host has a character that HTTP cannot carry"))?;
        let port = parsed.port().unwrap_or(80);
        Ok(Self { host, port, method: parse_method(method)?, uri, headers: parse_headers(headers, authority)? })
    }

    /// The request to send. It never has a body.
    pub(super) fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn parse_method(text: &str) -> Result<Method, LoadError> {
    let bad = |reason| LoadError::Method { method: text.to_owned(), reason };
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| bad("such as GET, in letters without spaces"))?;
    if method == Method::CONNECT {
        return Err(bad("a tunnel is not a request"));
    }
    Ok(method)
}

fn parse_headers(headers: &[(String, String)], authority: HeaderValue) -> Result<HeaderMap, LoadError> {
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        let bad = |reason| LoadError::Header { name: name.clone(), reason };
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad("a name has letters, digits and dashes, no spaces"))?;
        if matches!(key.as_str(), "content-length" | "transfer-encoding" | "upgrade") {
            return Err(bad("requests have no body and stay HTTP"));
        }
        let printable = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        let value = HeaderValue::from_str(value)
            .ok()
            .filter(|_| printable)
            .ok_or_else(|| bad("its value may hold printable ASCII only, no line breaks"))?;
        map.append(key, value);
    }
    map.entry(HOST).or_insert(authority);
    map.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("lab/", env!("CARGO_PKG_VERSION"))));
    Ok(map)
}
