//! Validates a job ([`Job::validate`]) and prepares its requests for sending: [`Targets`] holds their bytes and endpoints.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

use super::mix::too_fine;
use super::{Amount, Caller, Job, Load, Pace, RequestSpec, Stage};

const RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_TIMEOUT: Duration = Duration::from_hours(1);
/// Longest schedule in seconds, far below the limits of the arithmetic.
const MAX_SCHEDULE: f64 = 30.0 * 86_400.0;

/// Problem with a load or a job.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The URL is not an absolute `http` URL with a host.
    #[error("{url:?} is not an address to send to: {reason}")]
    Url {
        /// URL as given.
        url: String,
        /// Problem with the URL.
        reason: String,
    },
    /// The HTTP method is malformed or cannot be sent.
    #[error("{method:?} is not a method to send: {reason}")]
    Method {
        /// Method as given.
        method: String,
        /// Problem in a few words.
        reason: &'static str,
    },
    /// Omits the value of the header, since it may be a key.
    #[error("the header {name:?} cannot be sent: {reason}")]
    Header {
        /// Name of the header.
        name: String,
        /// Problem in a few words.
        reason: &'static str,
    },
    /// No worker thread could be started.
    #[error("cannot start to send: {detail}")]
    Start {
        /// Error of the system.
        detail: String,
    },
    /// A caller's share is finer than the resolution of shares.
    #[error("{name}'s share of {percent}% cannot be kept: shares are exact to 0.01%")]
    Share {
        /// Name of the caller.
        name: String,
        /// Share in percent.
        percent: f64,
    },
    /// A number is outside of its range.
    #[error("{what} must be {range}, not {found}")]
    Range {
        /// Name of the setting.
        what: &'static str,
        /// Allowed range.
        range: String,
        /// Value as given.
        found: String,
    },
}

impl Load {
    /// Checks that [`run`](super::run) can send this load.
    pub fn validate(&self) -> Result<(), LoadError> {
        Job::from(self).validate()
    }
}

impl Job {
    /// Checks that [`run_job`](super::run_job) can send this job.
    pub fn validate(&self) -> Result<(), LoadError> {
        self.targets().map(|_| ())
    }

    pub(super) fn targets(&self) -> Result<Targets, LoadError> {
        if let Pace::Open { stages, .. } = &self.pace {
            self.check_schedule(stages)?;
        }
        let seconds = match self.amount {
            Amount::Requests(0) | Amount::Duration(Duration::ZERO) => {
                return range("the amount", "at least one request", "none");
            }
            Amount::Requests(_) => 0.0,
            Amount::Duration(duration) => duration.as_secs_f64(),
        };
        if seconds + self.warmup.as_secs_f64() > MAX_SCHEDULE {
            return range("the time it takes", "at most 30 days", &format!("{seconds:.0} s"));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return range("connections", &format!("1 to {MAX_CONNECTIONS}"), &self.connections.to_string());
        }
        let timeouts = [("the timeout", self.timeout), ("the connect timeout", self.connect_timeout)];
        let own = self.callers.iter().filter_map(|caller| Some(("a caller's timeout", caller.timeout?)));
        for (what, timeout) in timeouts.into_iter().chain(own) {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return range(what, "above 0 and at most an hour", &format!("{timeout:?}"));
            }
        }
        if let Some(caller) = self.callers.iter().find(|caller| caller.retry.backoff > MAX_TIMEOUT) {
            return range("the backoff", "at most an hour", &format!("{:?}", caller.retry.backoff));
        }
        if let Some(caller) = self.callers.iter().find(|caller| caller.request >= Some(self.requests.len())) {
            return range("a caller's request", "one of the job's", &caller.name);
        }
        self.check_shares()?;
        Targets::new(self)
    }

    fn check_schedule(&self, stages: &[Stage]) -> Result<(), LoadError> {
        let limits = format!("between {} and {} requests a second", RATES.start(), RATES.end());
        let Some(last) = stages.last() else { return range("the rate", &limits, "missing") };
        for stage in stages {
            // A ramp may start or end at 0, but not both.
            let good = |rate: &f64| RATES.contains(rate);
            let ends = [stage.from, stage.to];
            let wrong = ends.iter().find(|rate| !good(rate) && **rate != 0.0);
            if let Some(wrong) = wrong.or(ends.first().filter(|_| !ends.iter().any(good))) {
                return range("the rate", &limits, &wrong.to_string());
            }
        }
        if let Amount::Requests(count) = self.amount {
            #[expect(clippy::cast_precision_loss, reason = "compared with a limit far below 2^53")]
            let seconds = count as f64 / last.to;
            if seconds > MAX_SCHEDULE {
                return range("the time it takes", "at most 30 days", &format!("{seconds:.0} s"));
            }
        }
        Ok(())
    }

    fn check_shares(&self) -> Result<(), LoadError> {
        let shares: Vec<f64> = self.callers.iter().map(|caller| caller.share).collect();
        let total: f64 = shares.iter().sum();
        if shares.iter().all(|share| *share > 0.0) && (total - 1.0).abs() < 1e-6 {
            let Some(caller) = too_fine(&shares).map(|at| &self.callers[at]) else { return Ok(()) };
            // Rounded to hide floating-point noise.
            let percent = (caller.share * 1e8).round() / 1e6;
            return Err(LoadError::Share { name: caller.name.clone(), percent });
        }
        let found = format!("{:.1}% together", total * 100.0);
        range("the callers' shares", "above 0% each, and 100% together", &found)
    }
}

fn range<T>(what: &'static str, range: &str, found: &str) -> Result<T, LoadError> {
    Err(LoadError::Range { what, range: range.to_owned(), found: found.to_owned() })
}

/// All requests of a job, prepared for sending.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) endpoints: Vec<Endpoint>,
    /// Indexed by caller, then by request.
    prepared: Vec<Vec<Prepared>>,
}

/// A serialized request.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// Index into [`Targets::endpoints`].
    pub(super) endpoint: usize,
    /// The response has no body.
    pub(super) bodiless: bool,
    /// The method is idempotent (RFC 9110, section 9.2.2).
    pub(super) repeatable: bool,
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An IP address.
    Address(IpAddr),
    /// A name that must be resolved.
    Name(String),
}

impl Targets {
    fn new(job: &Job) -> Result<Self, LoadError> {
        let mut targets = Self { endpoints: Vec::new(), prepared: Vec::new() };
        for caller in &job.callers {
            let mut prepared = Vec::with_capacity(job.requests.len());
            for request in &job.requests {
                prepared.push(targets.prepare(request, caller, job.keepalive)?);
            }
            targets.prepared.push(prepared);
        }
        Ok(targets)
    }

    pub(super) fn get(&self, caller: usize, request: usize) -> &Prepared {
        &self.prepared[caller][request]
    }

    fn prepare(&mut self, request: &RequestSpec, caller: &Caller, keepalive: bool) -> Result<Prepared, LoadError> {
        let address = Address::parse(&request.url)?;
        let method = parse_method(&request.method)?;
        let headers: Vec<_> = request.headers.iter().chain(&caller.headers).collect();
        let given = check_headers(&headers)?;
        let mut head = format!("{method} {} HTTP/1.1\r\n", address.path);
        let mut add = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        let defaults = [("Host", address.authority.as_str()), ("User-Agent", USER_AGENT)];
        for (name, value) in defaults.into_iter().filter(|(name, _)| !given.contains(&name.to_ascii_lowercase())) {
            add(name, value);
        }
        for (name, value) in headers {
            add(name, value.trim());
        }
        if !keepalive {
            add("Connection", "close");
        }
        if !request.body.is_empty() || matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            add("Content-Length", &request.body.len().to_string());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&request.body);
        Ok(Prepared {
            bytes,
            endpoint: self.endpoint(address.endpoint),
            bodiless: method == Method::HEAD,
            repeatable: method.is_idempotent(),
        })
    }

    fn endpoint(&mut self, endpoint: Endpoint) -> usize {
        let known = self.endpoints.iter().position(|known| *known == endpoint);
        known.unwrap_or_else(|| {
            self.endpoints.push(endpoint);
            self.endpoints.len() - 1
        })
    }
}

/// The parts of a URL.
struct Address {
    endpoint: Endpoint,
    /// Includes the query.
    path: String,
    /// Value of the `Host` header.
    authority: String,
}

impl Address {
    fn parse(url: &str) -> Result<Self, LoadError> {
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
        let name = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let host = match name.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name.to_owned()),
        };
        let path = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        let authority = parsed.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        HeaderValue::from_str(&authority).map_err(|_| bad("its host has a character that is not allowed in HTTP"))?;
        Ok(Self { endpoint: Endpoint { host, port: parsed.port().unwrap_or(80) }, path, authority })
    }
}

/// Default user agent.
const USER_AGENT: &str = concat!("lab/", env!("CARGO_PKG_VERSION"));

fn parse_method(text: &str) -> Result<Method, LoadError> {
    let bad = |reason| LoadError::Method { method: text.to_owned(), reason };
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| bad("expected a word such as GET"))?;
    if method == Method::CONNECT {
        return Err(bad("a tunnel is not a request"));
    }
    Ok(method)
}

/// Validates the headers and returns their names in lower case.
fn check_headers(headers: &[&(String, String)]) -> Result<HashSet<String>, LoadError> {
    let mut names = HashSet::new();
    for (name, value) in headers {
        let bad = |reason| LoadError::Header { name: name.clone(), reason };
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad("a header name consists of letters, digits and dashes"))?;
        if matches!(key.as_str(), "content-length" | "transfer-encoding" | "upgrade" | "connection" | "expect") {
            return Err(bad("message length and connection handling cannot be set by headers"));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(bad("its value may contain only printable ASCII, without line breaks"));
        }
        names.insert(key.as_str().to_owned());
    }
    Ok(names)
}
