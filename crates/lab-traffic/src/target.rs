//! What was asked for, checked and laid out for sending: [`Job::validate`] says what is wrong with it, [`Targets`] is what
//! the client needs for a request: its bytes, and where they go.

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
/// The longest schedule; ends far before any arithmetic on it does.
const MAX_SCHEDULE: f64 = 30.0 * 86_400.0;

/// What is wrong with a load, for the one who asked for it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// No thread could be prepared for sending.
    #[error("cannot start to send: {detail}")]
    Start {
        /// What the system says.
        detail: String,
    },
    /// A caller's share is finer than requests can be shared out.
    #[error("{name}'s share of {percent}% cannot be kept: shares are told apart to 0.01%")]
    Share {
        /// The caller.
        name: String,
        /// Its share.
        percent: f64,
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
        Job::from(self).validate()
    }
}

impl Job {
    /// Checks all of it, so that [`run_job`](super::run_job) can send it.
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
        for (what, timeout) in [("the timeout", self.timeout), ("the connect timeout", self.connect_timeout)] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return range(what, "above 0 and at most an hour", &format!("{timeout:?}"));
            }
        }
        self.check_shares()?;
        Targets::new(self)
    }

    fn check_schedule(&self, stages: &[Stage]) -> Result<(), LoadError> {
        let limits = format!("between {} and {} requests a second", RATES.start(), RATES.end());
        let Some(last) = stages.last() else { return range("the rate", &limits, "missing") };
        for stage in stages {
            // A ramp may begin or end at nothing, but not both.
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
            // Without the noise of the arithmetic.
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

/// All that is sent.
#[derive(Debug)]
pub(super) struct Targets {
    /// Whom requests go to.
    pub(super) endpoints: Vec<Endpoint>,
    /// By caller, then by request.
    prepared: Vec<Vec<Prepared>>,
}

/// A request, ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// Which of the endpoints it goes to.
    pub(super) endpoint: usize,
    /// Its response has no body.
    pub(super) bodiless: bool,
    /// To send it twice is to send it once (RFC 9110, section 9.2.2).
    pub(super) repeatable: bool,
}

/// Who is asked, and at which port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An address, as written.
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

/// A URL, taken apart.
struct Address {
    endpoint: Endpoint,
    /// With its query.
    path: String,
    /// What the `Host` header says.
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
        let name = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = match name.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name.to_owned()),
        };
        let path = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        let authority = parsed.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        HeaderValue::from_str(&authority).map_err(|_| bad("its host has a character that HTTP cannot carry"))?;
        Ok(Self { endpoint: Endpoint { host, port: parsed.port().unwrap_or(80) }, path, authority })
    }
}

/// Sent where no other is given.
const USER_AGENT: &str = concat!("lab/", env!("CARGO_PKG_VERSION"));

fn parse_method(text: &str) -> Result<Method, LoadError> {
    let bad = |reason| LoadError::Method { method: text.to_owned(), reason };
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| bad("such as GET, in letters without spaces"))?;
    if method == Method::CONNECT {
        return Err(bad("a tunnel is not a request"));
    }
    Ok(method)
}

/// The names that stand there, in small letters.
fn check_headers(headers: &[&(String, String)]) -> Result<HashSet<String>, LoadError> {
    let mut names = HashSet::new();
    for (name, value) in headers {
        let bad = |reason| LoadError::Header { name: name.clone(), reason };
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad("a name has letters, digits and dashes, no spaces"))?;
        if matches!(key.as_str(), "content-length" | "transfer-encoding" | "upgrade" | "connection" | "expect") {
            return Err(bad("how a request ends, and what becomes of its connection, is not for headers to say"));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(bad("its value may hold printable ASCII only, no line breaks"));
        }
        names.insert(key.as_str().to_owned());
    }
    Ok(names)
}
