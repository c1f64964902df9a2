//! `lab request`: sends one request through the gateway and shows the response as `curl -i` does.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::session::Session;
use crate::cli::RequestArgs;
use lab_core::API_KEY_HEADER;
use lab_core::error::{Exit, Failure};
use lab_http::{Exchange, Http, HttpError, Limit, Request};
use lab_report::report::human;
use lab_report::term::{Tone, masked};
use lab_scenario::value;
use lab_traffic::read_body;

/// Maximum size of a response body that is shown, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// `--json` output.
#[derive(Serialize)]
struct Document<'a> {
    method: &'a str,
    url: &'a str,
    /// Null if there was no response.
    status: Option<u16>,
    reason: Option<&'static str>,
    version: Option<&'a str>,
    headers: Vec<Header<'a>>,
    /// Text of the body, with invalid UTF-8 replaced.
    body: Option<String>,
    /// True if the body is longer than 1 MiB.
    truncated: bool,
    seconds: Option<f64>,
    /// Reason why there is no response, or no complete one.
    error: Option<String>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

pub(super) async fn run(session: &Session, args: &RequestArgs) -> anyhow::Result<Exit> {
    let prepared = Prepared::new(args)?;
    let connected = session.connect()?;
    let gateway = connected.describe().await?.endpoints.gateway;
    let name = connected.lab.name_option();
    if gateway.is_empty() {
        let failure = Failure::failed("the gateway is not running, so there is no response");
        return Err(failure.hint(format!("lab status{name} shows the services")).into());
    }
    let path = path(&args.path, &gateway)?;
    let key = match &prepared.key {
        Key::Callers => Some(connected.record.caller_key.clone()),
        Key::Given(key) => Some(key.clone()),
        Key::None => None,
    };
    let mut request = Request::new(&prepared.method, format!("{gateway}{path}"));
    request = request.timeout(prepared.timeout).limit(Limit::Truncate(BODY_LIMIT));
    request.headers = prepared.headers;
    request.headers.extend(key.map(|key| (API_KEY_HEADER.to_owned(), key)));
    let response = Http::new().exchange(&request, prepared.body).await;
    if args.json {
        session.json(&document(&request, &response))?;
    } else if let Ok(exchange) = &response {
        show(session, exchange)?;
    }
    let hint = format!("lab status{name} shows the services");
    match response {
        Ok(Exchange { incomplete: None, .. }) => Ok(Exit::Passed),
        Ok(Exchange { incomplete: Some(error), .. }) => {
            let message = format!("the response is incomplete: {}", reason(&error, prepared.timeout));
            Err(Failure::failed(message).hint(hint).into())
        }
        Err(error @ HttpError::Invalid { .. }) => Err(Failure::usage(error.to_string()).into()),
        Err(error) => {
            let message = format!("no response from {}: {}", request.url, reason(&error, prepared.timeout));
            Err(Failure::failed(message).hint(hint).into())
        }
    }
}

/// Key to send.
enum Key {
    /// That of the lab's caller.
    Callers,
    Given(String),
    None,
}

/// The parts of a request that do not depend on the lab.
struct Prepared {
    method: String,
    headers: Vec<(String, String)>,
    key: Key,
    body: Vec<u8>,
    timeout: Duration,
}

impl Prepared {
    fn new(args: &RequestArgs) -> Result<Self, Failure> {
        let usage = |option: &str, error: String| Failure::usage(format!("--{option}: {error}"));
        let mut key = match &args.key {
            Some(key) => Key::Given(key.clone()),
            None if args.no_key => Key::None,
            None => Key::Callers,
        };
        let mut headers = Vec::new();
        for header in &args.headers {
            let (name, text) = header
                .split_once(':')
                .ok_or_else(|| usage("header", format!("{header:?} has no colon: write 'Name: value'")))?;
            let (name, text) = (name.trim(), text.trim());
            if name.eq_ignore_ascii_case(API_KEY_HEADER) {
                key = if text.is_empty() { Key::None } else { Key::Given(text.to_owned()) };
                continue;
            }
            let name = value::header_name(name).map_err(|error| usage("header", error.to_string()))?;
            headers.push((name, value::header_value(text).map_err(|error| usage("header", error.to_string()))?));
        }
        if let Key::Given(key) = &key {
            value::check_key(key).map_err(|error| usage("key", error.to_string()))?;
        }
        let body = match args.data.as_deref().map(|data| (data, data.strip_prefix('@'))) {
            None => Vec::new(),
            Some((_, Some(file))) => read_body(Path::new(file)).map_err(|error| usage("data", error.to_string()))?,
            Some((text, None)) => text.as_bytes().to_vec(),
        };
        let default = if args.data.is_some() { "POST" } else { "GET" };
        let method = args.method.as_deref().map_or_else(|| default.to_owned(), str::to_ascii_uppercase);
        let method = value::method(&method).map_err(|error| usage("method", error.to_string()))?;
        let timeout = value::timeout(&args.timeout).map_err(|error| usage("timeout", error.to_string()))?;
        Ok(Self { method, headers, key, body, timeout })
    }
}

/// Path on the gateway: with or without a leading slash, or in a URL of the gateway.
fn path(typed: &str, gateway: &str) -> Result<String, Failure> {
    let path = match typed.strip_prefix(gateway) {
        Some("") => "/",
        Some(path) if path.starts_with(['/', '?']) => path,
        _ if typed.contains("://") => {
            let message = format!("{typed:?} is not an address of the lab's gateway ({gateway})");
            return Err(Failure::usage(message).hint("lab traffic --url URL -n 1 sends a request to any address"));
        }
        _ => typed,
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    value::path(&path).map_err(|error| Failure::usage(format!("path {typed:?}: {error}")))
}

fn reason(error: &HttpError, limit: Duration) -> String {
    use lab_http::Cause;
    match error {
        HttpError::Failed { cause: Cause::Refused } => "connection refused, nothing listens there".to_owned(),
        HttpError::Failed { cause: Cause::Timeout } => format!("timeout after {}", human::duration(limit)),
        HttpError::Failed { cause: Cause::Reset } => "the connection was closed".to_owned(),
        error => error.to_string(),
    }
}

fn document<'a>(request: &'a Request, response: &'a Result<Exchange, HttpError>) -> Document<'a> {
    let exchange = response.as_ref().ok();
    let headers = exchange.iter().flat_map(|exchange| &exchange.headers);
    let error = match response {
        Ok(exchange) => exchange.incomplete.as_ref(),
        Err(error) => Some(error),
    };
    Document {
        method: &request.method,
        url: &request.url,
        status: exchange.map(|exchange| exchange.status),
        reason: exchange.map(|exchange| exchange.reason),
        version: exchange.map(|exchange| exchange.version.as_str()),
        headers: headers.map(|(name, value)| Header { name, value }).collect(),
        body: exchange.map(|exchange| String::from_utf8_lossy(&exchange.body).into_owned()),
        truncated: exchange.is_some_and(|exchange| exchange.truncated),
        seconds: exchange.map(|exchange| exchange.elapsed.as_secs_f64()),
        error: error.map(|error| reason(error, request.timeout)),
    }
}

fn show(session: &Session, exchange: &Exchange) -> anyhow::Result<()> {
    let painter = session.term.painter();
    let tone = if exchange.status < 400 { Tone::Good } else { Tone::Failed };
    let status = format!("{} {} {}", exchange.version, exchange.status, exchange.reason);
    session.line(&painter.paint(tone, status.trim_end()))?;
    for (name, value) in &exchange.headers {
        session.line(&format!("{}: {value}", painter.paint(Tone::Strong, name)))?;
    }
    session.line("")?;
    match std::str::from_utf8(&exchange.body) {
        Ok("") => {}
        Ok(text) if session.term.is_terminal() => drop(session.line(text.trim_end_matches('\n'))?),
        Ok(text) => drop(session.print(masked(text).as_bytes())?),
        Err(_) if session.term.is_terminal() => {
            session.term.note(&format!("binary body of {} bytes: write it to a file or a pipe", exchange.body.len()));
        }
        Err(_) => drop(session.print(&exchange.body)?),
    }
    if exchange.truncated {
        session.term.note(&format!("only the first {} bytes of the body are shown", exchange.body.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_path_is_completed_and_other_addresses_are_refused() {
        let path = |typed: &str| path(typed, "http://127.0.0.1:8080").map_err(|failure| failure.to_string());
        for (typed, sent) in [
            ("/api/users", "/api/users"),
            ("health", "/health"),
            ("/api/users?limit=1", "/api/users?limit=1"),
            ("http://127.0.0.1:8080", "/"),
            ("http://127.0.0.1:8080/health", "/health"),
        ] {
            assert_eq!(path(typed).as_deref(), Ok(sent));
        }
        for wrong in ["http://127.0.0.1:80800/x", "http://example.com/", "/a b", "/a\u{1b}[2J"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
