//! Parsers for single values: durations, rates, keys, paths, names. Each error states the expected value and is short
//! enough to be shown under the caret.

use std::time::Duration;

use super::plan::Kind;
use lab_core::engine::{APP, GATEWAY, environment};
use lab_core::event::Phase;
use lab_yaml::did_you_mean;
use lab_yaml::quote_list;

/// Maximum duration of `wait` and of traffic.
const HOUR: Duration = Duration::from_hours(1);
/// Maximum request timeout.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Maximum number of requests in one step.
pub const MAX_REQUESTS: u64 = 10_000_000;

/// Engine names in scenario files.
pub(super) const ENGINES: [&str; 2] = ["docker", "embedded"];
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Scenario kinds and their names in scenario files.
pub(super) const KINDS: [(&str, Kind); 3] =
    [("incident", Kind::Incident), ("practice", Kind::Practice), ("part", Kind::Part)];

/// Checks a key: 1 to 256 characters of visible ASCII without spaces. The error names the invalid character, but never
/// shows the key.
pub fn check_key(key: &str) -> Result<(), String> {
    const RULE: &str = "a key is 1 to 256 characters of visible ASCII without spaces";
    if key.is_empty() {
        return Err(format!("{RULE}; this one is empty"));
    }
    if let Some((at, c)) = key.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic()) {
        return Err(format!("{RULE}; character {} is {}", at + 1, character(c)));
    }
    if key.len() > 256 {
        return Err(format!("{RULE}; this one has {}", key.len()));
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
pub fn sent_key(key: &str) -> Result<String, String> {
    if key.is_empty() { Ok(String::new()) } else { server_key(key) }
}

/// Parses the key that the server expects.
pub fn server_key(key: &str) -> Result<String, String> {
    check_key(key).map(|()| key.to_owned())
}

/// Parses a number with the unit `ms`, `s` or `m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration with a unit: `500ms`, `1.5s`, `2m`";
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "" if number.parse::<f64>().is_ok() => {
            return Err(format!("{EXPECTED}; did you mean `{number}s` or `{number}ms`?"));
        }
        _ => return Err(EXPECTED.to_owned()),
    };
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(EXPECTED.to_owned());
    }
    let seconds = number.parse::<f64>().map_err(|_| EXPECTED.to_owned())? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|_| "this is too long".to_owned())
}

fn within(text: &str, longest: Duration) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() || duration > longest {
        return Err(format!("expected more than 0 and at most {}m", longest.as_secs() / 60));
    }
    Ok(duration)
}

/// Parses the duration of a step: above 0, at most one hour.
pub fn step_duration(text: &str) -> Result<Duration, String> {
    within(text, HOUR)
}

/// Parses a request timeout: above 0, at most ten minutes.
pub fn timeout(text: &str) -> Result<Duration, String> {
    within(text, TIMEOUT)
}

/// Parses requests per second: above 0, at most one million.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("expected requests per second: a number above 0, at most 1000000".to_owned()),
    }
}

fn whole(text: &str, most: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (1..=most).contains(&number) && !text.starts_with('+') => Ok(number),
        _ => Err(format!("expected a whole number from 1 to {most}")),
    }
}

/// Parses a number of requests.
pub fn requests(text: &str) -> Result<u64, String> {
    whole(text, MAX_REQUESTS)
}

/// Parses a number of connections.
pub fn connections(text: &str) -> Result<u32, String> {
    whole(text, 10_000).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Parses an HTTP status code.
pub fn status(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(code) if (100..=599).contains(&code) && text.len() == 3 => Ok(code),
        _ => Err("expected an HTTP status from 100 to 599".to_owned()),
    }
}

/// Parses `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected `true` or `false`".to_owned())
}

/// Parses an HTTP method.
pub fn method(text: &str) -> Result<String, String> {
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(did_you_mean(text, METHODS, &format!("expected one of {}", quote_list(METHODS))))
}

/// Parses a path on the gateway, with its query string.
pub fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("expected a path that starts with `/`".to_owned());
    }
    if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic() || *c == '#') {
        return Err(format!("expected visible ASCII without `#`; character {} is {}", at + 1, character(c)));
    }
    if text.len() > 2048 { Err("expected at most 2048 characters".to_owned()) } else { Ok(text.to_owned()) }
}

/// Parses a header name.
pub fn header_name(text: &str) -> Result<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || text.len() > 256 || !text.chars().all(token) {
        return Err("expected a header name: letters, digits and `-`".to_owned());
    }
    match text.to_ascii_lowercase().as_str() {
        "x-api-key" => Err("use `key` instead of this header".to_owned()),
        "content-length" | "transfer-encoding" | "connection" => Err("lab sets this header itself".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a header value.
pub fn header_value(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_graphic() || c == ' ';
    if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(format!("expected visible ASCII and spaces; character {} is {}", at + 1, character(c)));
    }
    if text.len() > 4096 { Err("expected at most 4096 characters".to_owned()) } else { Ok(text.trim().to_owned()) }
}

/// Parses the name of an environment variable.
pub fn env_name(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    Err("expected a variable name: letters, digits and `_`, not starting with a digit".to_owned())
}

/// Variables that the engine always sets, with their meaning.
const OWNED: [(&str, &str, &str); 5] = [
    (APP, "APP_LISTEN", "the address of the app"),
    (APP, "APP_INSTANCE", "the name of the app's instance"),
    (GATEWAY, "GATEWAY_LISTEN", "the address of the gateway"),
    (GATEWAY, "GATEWAY_INSTANCE", "the name of the gateway's instance"),
    (GATEWAY, "GATEWAY_REUSE_PORT", "the handover of the lab's port"),
];

/// Checks that a scenario may set a variable of a service. Variables owned by the engine, and those that affect how
/// programs are loaded, are rejected.
pub fn env_of(service: &str, name: &str) -> Result<(), String> {
    if let Some(decides) = environment::reserved(name) {
        return Err(format!("scenarios cannot set it: it decides {decides}"));
    }
    match OWNED.iter().find(|(owner, owned, _)| *owner == service && *owned == name) {
        Some((.., what)) => Err(format!("the engine sets it: it is {what}")),
        None => Ok(()),
    }
}

/// Parses the value of an environment variable.
pub fn env_value(text: &str) -> Result<String, String> {
    match text.chars().enumerate().find(|(_, c)| matches!(c, '\0' | '\n' | '\r')) {
        Some((at, c)) => {
            Err(format!("the value of a variable is a single line; character {} is {}", at + 1, character(c)))
        }
        None => Ok(text.to_owned()),
    }
}

/// Parses a caller name. Metric names contain it, so it must not contain dots.
pub fn caller_name(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(known)
    {
        return Ok(text.to_owned());
    }
    Err("expected a caller name: at most 20 letters, digits, `-` and `_`, starting with a letter or digit".to_owned())
}

/// Parses an engine name.
pub fn engine(text: &str) -> Result<String, String> {
    if ENGINES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(did_you_mean(text, ENGINES, &format!("expected an engine: {}", quote_list(ENGINES))))
}

/// Parses a polling interval: 100ms to one minute.
pub fn every(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_mins(1)).contains(&every) {
        return Ok(every);
    }
    Err("expected `100ms` to `1m`".to_owned())
}

/// Parses a `PromQL` query. Only checks that it is not empty.
pub fn query(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("expected a query in PromQL".to_owned()) } else { Ok(text.to_owned()) }
}

/// Parses the program of a command.
pub fn program(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("expected a program, then its arguments".to_owned());
    }
    if text.contains(char::is_whitespace) && !text.contains('/') {
        return Err("expected a list of program and arguments, because no shell is used: `[echo, hello]`".to_owned());
    }
    argument(text)
}

/// Parses an argument of a command.
pub fn argument(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("expected a text without NUL characters".to_owned()) } else { Ok(text.to_owned()) }
}

/// Parses an exit code.
pub fn exit_code(text: &str) -> Result<u8, String> {
    text.parse::<u8>().map_err(|_| "expected an exit code from 0 to 255".to_owned())
}

/// Checks the value of a secret. Shorter values would mask unrelated output.
pub fn secret(text: &str) -> Result<(), String> {
    if text.chars().count() < 4 || text.contains(['\n', '\r']) {
        return Err("a secret is one line of at least 4 characters".to_owned());
    }
    Ok(())
}

/// Parses the text expected in a response body.
pub fn body(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected the text that the body must contain".to_owned()) } else { Ok(text.to_owned()) }
}

/// Parses a step name: short, and a single word on the command line.
pub fn step_name(text: &str) -> Result<String, String> {
    if text.chars().count() > 40 {
        return Err("expected at most 40 characters".to_owned());
    }
    word(text).ok_or_else(|| "expected letters, digits, `-`, `_` and `.`, starting with a letter or digit".to_owned())
}

/// Parses the name of an included scenario.
pub fn scenario_name(text: &str) -> Result<String, String> {
    if let Some(stem) = text.strip_suffix(".yaml").or_else(|| text.strip_suffix(".yml"))
        && word(stem).is_some()
    {
        return Err(format!("expected a name without extension: `{stem}`"));
    }
    word(text).ok_or_else(|| "expected the name of a scenario, without folder and `.yaml`".to_owned())
}

fn word(text: &str) -> Option<String> {
    let starts = text.starts_with(char::is_alphanumeric);
    (starts && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))).then(|| text.to_owned())
}

/// Parses a phase.
pub fn phase(text: &str) -> Result<Phase, String> {
    let names = Phase::ALL.map(Phase::name);
    let found = Phase::ALL.into_iter().find(|phase| phase.name() == text);
    found.ok_or_else(|| did_you_mean(text, names, &format!("expected one of {}", quote_list(names))))
}

/// Parses the kind of a scenario.
pub fn kind(text: &str) -> Result<Kind, String> {
    let names = KINDS.map(|(name, _)| name);
    let found = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
    found.ok_or_else(|| did_you_mean(text, names, &format!("expected one of {}", quote_list(names))))
}

/// Parses one line of text for display.
pub fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("expected one line of text".to_owned());
    }
    if text.chars().count() > 200 { Err("expected at most 200 characters".to_owned()) } else { Ok(text.to_owned()) }
}

/// Parses text for display, on any number of lines.
pub fn paragraph(text: &str) -> Result<String, String> {
    const MAX: usize = 4000;
    let text = text.trim();
    if text.is_empty() {
        return Err("expected a text".to_owned());
    }
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(format!("expected a text without {}", character(c)));
    }
    let most = format!("expected at most {MAX} characters");
    if text.chars().count() > MAX { Err(most) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{check_key, connections, duration, path, rate, requests, status, step_duration};

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert!(duration("5").unwrap_err().contains("did you mean `5s`"));
        for wrong in ["", "s", "5 s", "-1s", "1e3s", "infs", "1h", "99999999999999999999999m", "١s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(step_duration("60m").is_ok() && step_duration("60.1m").is_err() && step_duration("0s").is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        assert!(rate("0.5").is_ok() && rate("1000000").is_ok());
        assert!(["0", "-1", "1000001", "nan", "inf", "x"].iter().all(|text| rate(text).is_err()));
        assert!(requests("1").is_ok() && requests("10000000").is_ok());
        assert!(["0", "10000001", "1.0", "+1", "1e3"].iter().all(|text| requests(text).is_err()));
        assert!(connections("10000").is_ok() && connections("10001").is_err());
        assert!(status("100").is_ok() && status("599").is_ok() && status("099").is_err() && status("600").is_err());
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert_eq!(check_key("apikey-v2"), Ok(()));
        assert!(check_key("a\nb").unwrap_err().ends_with("character 2 is a line break (U+000A)"));
        assert!(check_key("ké").unwrap_err().ends_with("character 2 is `é` (U+00E9)"));
        assert!(check_key("").is_err() && check_key(&"k".repeat(257)).is_err() && check_key(&"k".repeat(256)).is_ok());
    }

    #[test]
    fn a_path_is_absolute() {
        assert!(path("/api/users?x=1").is_ok());
        assert!(["", "api", "/a b", "/é", "/a#b"].iter().all(|text| path(text).is_err()));
    }
}
