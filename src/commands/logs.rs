//! `lab logs`: the log lines of the services.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::StreamExt;

use super::session::{Session, unknown_service};
use super::time_span::parse_span;
use crate::cli::LogsArgs;
use lab_core::engine::{LogLine, LogLines, LogRequest};
use lab_core::error::{Exit, Failure};
use lab_report::report::encode;
use lab_report::term::{Painter, clean_lines, masked};

/// Layout of a line.
struct LineFormat {
    /// All services of the lab; their order determines their colours.
    services: Vec<String>,
    /// Width of the service column; `None` if only one service is shown.
    prefix: Option<usize>,
    timestamps: bool,
    painter: Painter,
    terminal: bool,
}

pub(super) async fn run(session: &Session, args: &LogsArgs) -> anyhow::Result<Exit> {
    let since = args.since.as_deref().map(|text| since(text, Utc::now())).transpose()?;
    let connected = session.connect()?;
    let known: Vec<String> = connected.engine.services().into_iter().map(|service| service.name).collect();
    for service in &args.services {
        if !known.contains(service) {
            return Err(unknown_service(service, known.iter().map(String::as_str)).into());
        }
    }
    let request = LogRequest { services: args.services.clone(), tail: args.tail, since, follow: args.follow };
    let mut lines = connected.engine.logs(&request).await.map_err(|error| {
        // Only embedded labs keep their logs when they are down.
        let gone = error.kind.is_down();
        if !(gone && args.follow && connected.engine.name() == lab_embedded::NAME) {
            return error;
        }
        error.hint(format!("read its past logs without -f: lab logs{}", connected.lab.name_option()))
    })?;
    if args.json {
        return write_json(session, lines).await;
    }
    let shown = if args.services.is_empty() { &known } else { &args.services };
    let prefix = shown.iter().map(|name| name.chars().count()).max().filter(|_| args.services.len() != 1);
    let (painter, terminal) = (session.term.painter(), session.term.is_terminal());
    let format = LineFormat { services: known, prefix, timestamps: args.timestamps, painter, terminal };
    // A pipe gets raw lines with secrets masked; a terminal gets them without control characters.
    let mut out: Box<dyn Write> =
        if format.terminal { Box::new(session.term.out()) } else { Box::new(session.term.data()) };
    let mut exit = Exit::Passed;
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => format.write(&mut *out, &line)?,
            // An unreadable log of one service does not hide the others.
            Err(error) => exit = exit.worse(super::report_error(&error.into())),
        }
        if session.term.out().is_closed() {
            break;
        }
    }
    Ok(exit)
}

/// Writes the lines as one list, each as soon as it is read: logs can be larger than the memory. A log that cannot be read
/// does not hide the others.
async fn write_json(session: &Session, mut lines: LogLines) -> anyhow::Result<Exit> {
    let (mut exit, mut separator) = (Exit::Passed, "[\n");
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => {
                session.print(separator.as_bytes())?;
                session.document(encode::line(&line)?.trim_ascii_end())?;
                separator = ",\n";
            }
            Err(error) => exit = exit.worse(super::report_error(&error.into())),
        }
    }
    session.print(if separator == "[\n" { b"[]\n" } else { b"\n]\n" })?;
    Ok(exit)
}

impl LineFormat {
    fn write(&self, out: &mut dyn Write, line: &LogLine) -> std::io::Result<()> {
        let mut text = String::new();
        if let Some(width) = self.prefix {
            let index = self.services.iter().position(|name| *name == line.service).unwrap_or_default();
            let prefix = format!("{:<width$} |", line.service);
            text = format!("{} ", self.painter.apart(index, &prefix));
        }
        if self.timestamps {
            let time = line.time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            text = format!("{text}{:<24} ", time.unwrap_or_else(|| "-".to_owned()));
        }
        // One write per line, so that two readers of one pipe never see a partial line.
        let line_text = masked(&line.text);
        let line_text = if self.terminal { clean_lines(&line_text).into() } else { line_text };
        out.write_all(format!("{text}{line_text}\n").as_bytes())
    }
}

/// Parses `5m`, relative to now, or an RFC 3339 time.
fn since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let before = parse_span(text).ok().and_then(|span| now.checked_sub_signed(chrono::Duration::from_std(span).ok()?));
    before.ok_or_else(|| {
        let message = format!("--since {text:?}: expected a time span (90s, 5m, 2h) or a time (2026-11-24T10:15:00Z)");
        Failure::usage(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now: DateTime<Utc> = "2026-11-24T10:15:00Z".parse().unwrap();
        let at = |text: &str| since(text, now).map(|time| time.to_rfc3339());
        assert_eq!(at("5m").unwrap(), "2026-11-24T10:10:00+00:00");
        assert_eq!(at("2026-11-24T10:00:00+01:00").unwrap(), "2026-11-24T09:00:00+00:00");
        for wrong in ["", "5", "-5m", "yesterday", "10:15"] {
            assert_eq!(at(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
