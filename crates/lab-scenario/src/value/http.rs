//! Parsers for parts of HTTP: status codes, methods, paths, headers.

use super::super::Expected;
use super::super::limits::limit;
use super::{METHODS, character};
use lab_yaml::did_you_mean;
use lab_yaml::quote_list;

/// Parses an HTTP status code.
pub fn status(text: &str) -> Result<u16, Expected> {
    match text.parse::<u16>() {
        Ok(code) if (limit!(lowest_status)..=limit!(highest_status)).contains(&code) && text.len() == 3 => Ok(code),
        _ => Err(Expected::new(concat!(
            "expected an HTTP status from ",
            limit!(lowest_status),
            " to ",
            limit!(highest_status)
        ))),
    }
}

/// Parses an HTTP method.
pub fn method(text: &str) -> Result<String, Expected> {
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Expected::new(did_you_mean(text, METHODS, &format!("expected one of {}", quote_list(METHODS)))))
}

/// Parses a path on the gateway, with its query string.
pub fn path(text: &str) -> Result<String, Expected> {
    if !text.starts_with('/') {
        return Err(Expected::new("expected a path that starts with `/`"));
    }
    if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic() || *c == '#') {
        return Err(Expected::new(format!(
            "expected visible ASCII without `#`; character {} is {}",
            at + 1,
            character(c)
        )));
    }
    if text.len() > 2048 { Err(Expected::new("expected at most 2048 characters")) } else { Ok(text.to_owned()) }
}

/// Parses a header name.
pub fn header_name(text: &str) -> Result<String, Expected> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || text.len() > 256 || !text.chars().all(token) {
        return Err(Expected::new("expected a header name: letters, digits and `-`"));
    }
    match text.to_ascii_lowercase().as_str() {
        "x-api-key" => Err(Expected::new("use `key` instead of this header")),
        "content-length" | "transfer-encoding" | "connection" => Err(Expected::new("lab sets this header itself")),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a header value.
pub fn header_value(text: &str) -> Result<String, Expected> {
    let allowed = |c: char| c.is_ascii_graphic() || c == ' ';
    if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(Expected::new(format!(
            "expected visible ASCII and spaces; character {} is {}",
            at + 1,
            character(c)
        )));
    }
    if text.len() > 4096 { Err(Expected::new("expected at most 4096 characters")) } else { Ok(text.trim().to_owned()) }
}
