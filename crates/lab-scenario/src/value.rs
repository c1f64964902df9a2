//! Parsers for single values: durations, rates, keys, paths, names. Each error states the expected value and is short
//! enough to be shown under the caret.

use std::time::Duration;

use super::Expected;
use super::limits::limit;
use super::plan::Kind;
use lab_core::engine::{APP, GATEWAY, environment};
use lab_core::event::Phase;
use lab_system::duration::parts;
use lab_yaml::did_you_mean;
use lab_yaml::quote_list;

mod drill;
mod http;

pub use drill::{cause, delay, location, percent, sender, typed_cause, typed_location};
pub use http::{header_name, header_value, method, path, status};

/// Maximum duration of `wait` and of traffic.
const STEP: Duration = Duration::from_mins(limit!(step));
/// Maximum request timeout.
const TIMEOUT: Duration = Duration::from_mins(limit!(timeout));
/// Maximum wait before a retry.
const BACKOFF: Duration = Duration::from_mins(limit!(backoff));

/// Engine names in scenario files.
pub(super) const ENGINES: [&str; 2] = ["docker", "embedded"];
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Scenario kinds and their names in scenario files.
pub(super) const KINDS: [(&str, Kind); 3] =
    [("incident", Kind::Incident), ("practice", Kind::Practice), ("part", Kind::Part)];

/// Checks a key: 1 to 256 characters of visible ASCII without spaces. The error names the invalid character, but never
/// shows the key.
pub fn check_key(key: &str) -> Result<(), Expected> {
    const RULE: &str = concat!("a key is 1 to ", limit!(key), " characters of visible ASCII without spaces");
    if key.is_empty() {
        return Err(Expected::new(format!("{RULE}; this one is empty")));
    }
    if let Some((at, c)) = key.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic()) {
        return Err(Expected::new(format!("{RULE}; character {} is {}", at + 1, character(c))));
    }
    if key.len() > limit!(key) {
        return Err(Expected::new(format!("{RULE}; this one has {}", key.len())));
    }
    Ok(())
}

/// Describes a character for messages.
fn character(c: char) -> String {
    let name = match c {
        '\n' => "a line break".to_owned(),
        '\r' => "a carriage return".to_owned(),
        '\t' => "a tab".to_owned(),
        ' ' => "a space".to_owned(),
        c if c.is_control() => "a control character".to_owned(),
        c => format!("`{c}`"),
    };
    format!("{name} (U+{:04X})", u32::from(c))
}

/// Parses a key that requests send: as in [`check_key`], or empty for no key.
pub fn sent_key(key: &str) -> Result<String, Expected> {
    if key.is_empty() { Ok(String::new()) } else { server_key(key) }
}

/// Parses the key that the server expects.
pub fn server_key(key: &str) -> Result<String, Expected> {
    check_key(key).map(|()| key.to_owned())
}

/// Parses a number with the unit `ms`, `s` or `m`.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    const EXPECTED: &str = "expected a duration with a unit: `500ms`, `1.5s`, `2m`";
    const UNITS: [(&str, f64); 3] = [("ms", 0.001), ("s", 1.0), ("m", 60.0)];
    let Some(&[(number, unit)]) = parts(text, &UNITS).as_deref() else {
        let is_number = text.parse::<f64>().is_ok() && !text.ends_with(|c: char| c.is_ascii_alphabetic());
        return Err(if is_number {
            Expected::new(format!("{EXPECTED}; did you mean `{text}s` or `{text}ms`?"))
        } else {
            Expected::new(EXPECTED)
        });
    };
    let seconds = number.parse::<f64>().map_err(|_| Expected::new(EXPECTED))? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|_| Expected::new("this is too long"))
}

fn within(text: &str, longest: Duration) -> Result<Duration, Expected> {
    let duration = duration(text)?;
    if duration.is_zero() || duration > longest {
        return Err(Expected::new(format!("expected more than 0 and at most {}m", longest.as_secs() / 60)));
    }
    Ok(duration)
}

/// Parses the duration of a step.
pub fn step_duration(text: &str) -> Result<Duration, Expected> {
    within(text, STEP)
}

/// Parses a request timeout.
pub fn timeout(text: &str) -> Result<Duration, Expected> {
    within(text, TIMEOUT)
}

/// Parses requests per second.
pub fn rate(text: &str) -> Result<f64, Expected> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= f64::from(limit!(rate)) => Ok(rate),
        _ => Err(Expected::new(concat!("expected requests per second: a number above 0, at most ", limit!(rate)))),
    }
}

fn whole(text: &str, most: u64) -> Result<u64, Expected> {
    match text.parse::<u64>() {
        Ok(number) if (1..=most).contains(&number) && !text.starts_with('+') => Ok(number),
        _ => Err(Expected::new(format!("expected a whole number from 1 to {most}"))),
    }
}

/// Parses a number of requests.
pub fn requests(text: &str) -> Result<u64, Expected> {
    whole(text, limit!(requests))
}

/// Parses a number of retries.
pub fn retries(text: &str) -> Result<u32, Expected> {
    let number = text.parse::<u32>().ok().filter(|number| *number <= limit!(retries) && !text.starts_with('+'));
    number.ok_or_else(|| Expected::new(concat!("expected a whole number from 0 to ", limit!(retries))))
}

/// Parses the wait before a retry; zero is none.
pub fn backoff(text: &str) -> Result<Duration, Expected> {
    let backoff = duration(text)?;
    if backoff > BACKOFF {
        return Err(Expected::new(concat!("expected at most ", limit!(backoff), "m")));
    }
    Ok(backoff)
}

/// Parses a number of connections.
pub fn connections(text: &str) -> Result<u32, Expected> {
    whole(text, limit!(connections)).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Parses `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, Expected> {
    text.parse().map_err(|_| Expected::new("expected `true` or `false`"))
}

/// Parses the name of an environment variable.
pub fn env_name(text: &str) -> Result<String, Expected> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    Err(Expected::new("expected a variable name: letters, digits and `_`, not starting with a digit"))
}

/// Variables that the engine always sets, with their meaning.
const OWNED: [(&str, &str, &str); 5] = [
    (APP, "APP_LISTEN", "the address of the app"),
    (APP, "APP_INSTANCE", "the name of the app's instance"),
    (GATEWAY, "GATEWAY_LISTEN", "the address of the gateway"),
    (GATEWAY, "GATEWAY_INSTANCE", "the name of the gateway's instance"),
    (GATEWAY, "GATEWAY_REUSE_PORT", "the handover of the lab's port"),
];

/// Checks that a variable of a service may be set. Variables owned by the engine, and those that affect how
/// programs are loaded, are rejected.
pub fn env_of(service: &str, name: &str) -> Result<(), Expected> {
    if let Some(decides) = environment::reserved(name) {
        return Err(Expected::new(format!("it decides {decides}")));
    }
    match OWNED.iter().find(|(owner, owned, _)| *owner == service && *owned == name) {
        Some((.., what)) => Err(Expected::new(format!("the engine sets it: it is {what}"))),
        None => Ok(()),
    }
}

/// Parses the value of an environment variable.
pub fn env_value(text: &str) -> Result<String, Expected> {
    match text.chars().enumerate().find(|(_, c)| matches!(c, '\0' | '\n' | '\r')) {
        Some((at, c)) => Err(Expected::new(format!(
            "the value of a variable is a single line; character {} is {}",
            at + 1,
            character(c)
        ))),
        None => Ok(text.to_owned()),
    }
}

/// Parses a caller name. Metric names contain it, so it must not contain dots.
pub fn caller_name(text: &str) -> Result<String, Expected> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=limit!(caller)).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(known)
    {
        return Ok(text.to_owned());
    }
    Err(Expected::new(concat!(
        "expected a caller name: at most ",
        limit!(caller),
        " letters, digits, `-` and `_`, starting with a letter or digit"
    )))
}

/// Parses an engine name.
pub fn engine(text: &str) -> Result<String, Expected> {
    if ENGINES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Expected::new(did_you_mean(text, ENGINES, &format!("expected an engine: {}", quote_list(ENGINES)))))
}

/// Parses a polling interval.
pub fn every(text: &str) -> Result<Duration, Expected> {
    let every = duration(text)?;
    let (shortest, longest) = (limit!(shortest_every), limit!(longest_every));
    if (Duration::from_millis(shortest)..=Duration::from_mins(longest)).contains(&every) {
        return Ok(every);
    }
    Err(Expected::new(format!("expected `{shortest}ms` to `{longest}m`")))
}

/// Parses a `PromQL` query. Only checks that it is not empty.
pub fn query(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    if text.is_empty() { Err(Expected::new("expected a query in PromQL")) } else { Ok(text.to_owned()) }
}

/// Parses the program of a command.
pub fn program(text: &str) -> Result<String, Expected> {
    if text.is_empty() {
        return Err(Expected::new("expected a program, then its arguments"));
    }
    if text.contains(char::is_whitespace) && !text.contains('/') {
        return Err(Expected::new(
            "expected a list of program and arguments, because no shell is used: `[echo, hello]`",
        ));
    }
    argument(text)
}

/// Parses an argument of a command.
pub fn argument(text: &str) -> Result<String, Expected> {
    if text.contains('\0') { Err(Expected::new("expected a text without NUL characters")) } else { Ok(text.to_owned()) }
}

/// Parses an exit code.
pub fn exit_code(text: &str) -> Result<u8, Expected> {
    text.parse::<u8>().map_err(|_| Expected::new("expected an exit code from 0 to 255"))
}

/// Checks the value of a secret. Shorter values would mask unrelated output.
pub fn secret(text: &str) -> Result<(), Expected> {
    if text.chars().count() < 4 || text.contains(['\n', '\r']) {
        return Err(Expected::new("a secret is one line of at least 4 characters"));
    }
    Ok(())
}

/// Parses the text expected in a response body.
pub fn body(text: &str) -> Result<String, Expected> {
    if text.is_empty() {
        Err(Expected::new("expected the text that the body must contain"))
    } else {
        Ok(text.to_owned())
    }
}

/// Parses a step name: short, and a single word on the command line.
pub fn step_name(text: &str) -> Result<String, Expected> {
    if text.chars().count() > limit!(name) {
        return Err(Expected::new(concat!("expected at most ", limit!(name), " characters")));
    }
    word(text)
        .ok_or_else(|| Expected::new("expected letters, digits, `-`, `_` and `.`, starting with a letter or digit"))
}

/// Parses the name of an included scenario.
pub fn scenario_name(text: &str) -> Result<String, Expected> {
    if let Some(stem) = text.strip_suffix(".yaml").or_else(|| text.strip_suffix(".yml"))
        && word(stem).is_some()
    {
        return Err(Expected::new(format!("expected a name without extension: `{stem}`")));
    }
    word(text).ok_or_else(|| Expected::new("expected the name of a scenario, without folder and `.yaml`"))
}

fn word(text: &str) -> Option<String> {
    let starts = text.starts_with(char::is_alphanumeric);
    (starts && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))).then(|| text.to_owned())
}

/// Parses a phase.
pub fn phase(text: &str) -> Result<Phase, Expected> {
    let names = Phase::ALL.map(Phase::name);
    let found = Phase::ALL.into_iter().find(|phase| phase.name() == text);
    found.ok_or_else(|| Expected::new(did_you_mean(text, names, &format!("expected one of {}", quote_list(names)))))
}

/// Parses the kind of a scenario.
pub fn kind(text: &str) -> Result<Kind, Expected> {
    let names = KINDS.map(|(name, _)| name);
    let found = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
    found.ok_or_else(|| Expected::new(did_you_mean(text, names, &format!("expected one of {}", quote_list(names)))))
}

/// Parses one line of text for display.
pub fn line(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Expected::new("expected one line of text"));
    }
    if text.chars().count() > limit!(line) {
        return Err(Expected::new(concat!("expected at most ", limit!(line), " characters")));
    }
    Ok(text.to_owned())
}

/// Parses text for display, on any number of lines.
pub fn paragraph(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Expected::new("expected a text"));
    }
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(Expected::new(format!("expected a text without {}", character(c))));
    }
    if text.chars().count() > limit!(paragraph) {
        return Err(Expected::new(concat!("expected at most ", limit!(paragraph), " characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
