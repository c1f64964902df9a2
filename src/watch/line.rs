//! Log lines in a short form. Access lines of the gateway and the app are
//! reformatted. Successful health checks and scrapes are omitted.

use chrono::{DateTime, Utc};
use serde_json::Value;

use lab_core::engine::LogLine;
use lab_report::report::human;
use lab_report::term::Tone;

/// Paths of health checks and scrapes.
const ROUTINE: [&str; 2] = ["/health", "/metrics"];

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) service: String,
    pub(super) time: Option<DateTime<Utc>>,
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// A request, as a service logs it.
#[derive(Debug, Default)]
struct Access {
    method: String,
    path: String,
    status: u16,
    /// Reason of a rejected key, from the app.
    reason: Option<String>,
    millis: Option<f64>,
}

impl Line {
    /// Shortens a line. `None` for routine requests.
    pub(super) fn from_log(line: LogLine) -> Option<Self> {
        let access = parse_json(&line.text).or_else(|| parse_access(&line.text));
        let (text, tone) = match access {
            Some(Entry::Access(access)) if access.is_routine() => return None,
            Some(Entry::Access(access)) => (access.text(), access.tone()),
            Some(Entry::Note(note)) => (note, Tone::Plain),
            None => (line.without_time().to_owned(), Tone::Plain),
        };
        Some(Self { service: line.service, time: line.time, text, tone })
    }
}

enum Entry {
    Access(Access),
    Note(String),
}

/// Parses a line of the gateway or nginx (`stack/nginx/`): a JSON object.
fn parse_json(text: &str) -> Option<Entry> {
    if !text.starts_with('{') {
        return None;
    }
    let object: Value = serde_json::from_str(text).ok()?;
    let word = |name: &str| object[name].as_str().map(str::to_owned);
    if let Some(note) = word("note") {
        return Some(Entry::Note(note));
    }
    let millis = object["request_time"].as_f64().map(|seconds| seconds * 1000.0);
    let status = u16::try_from(object["status"].as_u64()?).ok()?;
    Some(Entry::Access(Access { method: word("method")?, path: word("path")?, status, reason: None, millis }))
}

/// Parses an access line of the app: `TIME access method=GET path=/ status=200 …`.
fn parse_access(text: &str) -> Option<Entry> {
    let (_, rest) = text.split_once(" access ")?;
    let value = |name: &str| {
        let mut pairs = rest.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    };
    let millis = value("duration_ms").and_then(|millis| millis.parse().ok());
    let (method, path, status) = (value("method")?, value("path")?, value("status")?.parse().ok()?);
    Some(Entry::Access(Access { method, path, status, reason: value("reason"), millis }))
}

impl Access {
    fn is_routine(&self) -> bool {
        self.status < 400 && ROUTINE.iter().any(|path| *path == self.path)
    }

    fn text(&self) -> String {
        let mut text = format!("{} {} {}", self.method, self.path, self.status);
        for more in self.reason.iter().cloned().chain(self.millis.map(human::millis)) {
            text = format!("{text} {more}");
        }
        text
    }

    fn tone(&self) -> Tone {
        match self.status {
            500.. => Tone::Failed,
            400.. => Tone::Warn,
            _ => Tone::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<(String, Tone)> {
        let time = "2026-11-24T15:29:36.531Z".parse().ok();
        let line = LogLine { service: "app".to_owned(), time, text: text.to_owned() };
        Line::from_log(line).map(|line| (line.text, line.tone))
    }

    #[test]
    fn access_lines_are_shortened() {
        let app = "2026-11-24T15:29:36.531Z access instance=app-8 method=GET path=/api/users status=401 \
                   duration_ms=0.091 reason=invalid request_id=17";
        assert_eq!(shown(app), Some(("GET /api/users 401 invalid 0.1ms".to_owned(), Tone::Warn)));
        let gateway = r#"{"time":"2026-11-24T15:29:38.809Z","instance":"g","method":"GET","path":"/api/users","status":502,"request_time":0.004291}"#;
        assert_eq!(shown(gateway), Some(("GET /api/users 502 4.3ms".to_owned(), Tone::Failed)));
        let note = shown(r#"{"time":"x","note":"route app:8000 127.0.0.1:1"}"#);
        assert_eq!(note, Some(("route app:8000 127.0.0.1:1".to_owned(), Tone::Plain)));
    }

    #[test]
    fn successful_health_checks_are_omitted() {
        let check = |status: u16| format!("2026-11-24T15:29:36.531Z access method=GET path=/health status={status}");
        assert_eq!(shown(&check(200)), None);
        assert_eq!(shown(&check(503)).map(|it| it.0).as_deref(), Some("GET /health 503"));
    }

    #[test]
    fn other_lines_are_unchanged() {
        let line = |text: &str| shown(text).map(|it| it.0);
        assert_eq!(
            line("2026-11-24T15:29:36.531Z the database is migrated").as_deref(),
            Some("the database is migrated")
        );
        assert_eq!(line("ready 127.0.0.1:1").as_deref(), Some("ready 127.0.0.1:1"));
        assert_eq!(line("{ not JSON").as_deref(), Some("{ not JSON"));
        assert_eq!(line(r#"{"status":"many"}"#).as_deref(), Some(r#"{"status":"many"}"#));
        assert_eq!(line("who has no access to it").as_deref(), Some("who has no access to it"));
    }
}
