//! Selects relevant log lines: for each step, the first gateway access line of every status that is new in that step,
//! and the app's own lifecycle messages. The logs are read once, after the last step and before the undo, so no step
//! waits for them. Lines that do not arrive in time are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::clock::Clock;
use super::context::Context;
use lab_core::engine::{LogLine, LogRequest};
use lab_core::event::{Logged, Secrets};

/// Time limit for reading the logs.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of lines per step.
const MAX_LINES: usize = 3;
/// Maximum length of a line, in characters.
const MAX_LENGTH: usize = 600;
/// Start of an access line in the app's log, after the time.
const ACCESS: &str = "access ";

/// Start of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepStart {
    pub(super) step: String,
    /// In seconds since the start of the run.
    pub(super) at: f64,
}

/// Reads the logs and selects lines. `keys` are masked in addition to the run's secrets.
pub(super) async fn select(context: &Context, steps: &[StepStart], keys: &Secrets) -> Vec<Logged> {
    let Some(first) = steps.first() else { return Vec::new() };
    let roles = context.engine.roles();
    let request = LogRequest {
        services: vec![roles.gateway.clone(), roles.app],
        since: Some(context.clock.at(first.at)),
        ..LogRequest::default()
    };
    let deadline = Instant::now() + READ_TIMEOUT;
    let lines = match timeout_at(deadline, context.engine.logs(&request)).await {
        Ok(Ok(lines)) => read(lines, deadline).await,
        _ => Vec::new(),
    };
    let mut selected = select_lines(&lines, &roles.gateway, steps, &context.clock);
    for line in &mut selected {
        hide(&mut line.text, [keys, &context.secrets]);
    }
    selected
}

/// Reads the lines that arrive before the deadline.
async fn read<E>(lines: impl Stream<Item = Result<LogLine, E>>, deadline: Instant) -> Vec<LogLine> {
    lines.take_until(sleep_until(deadline)).filter_map(async |line| line.ok()).collect().await
}

/// Masks and then truncates a line. A truncated secret would not be recognised.
fn hide(text: &mut String, secrets: [&Secrets; 2]) {
    for secrets in secrets {
        secrets.hide(text);
    }
    if let Some((end, _)) = text.char_indices().nth(MAX_LENGTH) {
        text.truncate(end);
    }
}

fn select_lines(lines: &[LogLine], gateway: &str, steps: &[StepStart], clock: &Clock) -> Vec<Logged> {
    let mut selected: Vec<Logged> = Vec::new();
    let mut codes: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for line in lines {
        let Some(written) = line.time.map(|time| clock.since_start(time)) else { continue };
        let Some(index) = steps.iter().rposition(|step| step.at <= written) else { continue };
        if line.service == gateway {
            let Some(code) = code(&line.text) else { continue };
            let before = codes.range(..index).next_back().is_some_and(|(_, codes)| codes.contains(&code));
            if !codes.entry(index).or_default().insert(code) || before {
                continue;
            }
        } else if !is_lifecycle_line(&line.text) {
            continue;
        }
        let step = &steps[index].step;
        if selected.iter().filter(|line| line.step == *step).count() < MAX_LINES {
            let (service, text) = (line.service.clone(), line.text.clone());
            selected.push(Logged { service, step: step.clone(), written, text });
        }
    }
    selected
}

/// Status of an API request in a line of the gateway's access log.
fn code(text: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(text).ok()?;
    line["path"].as_str().filter(|path| path.starts_with("/api/"))?;
    line["status"].as_u64()
}

/// Returns whether a line of the app's log is about the app itself rather than a request.
fn is_lifecycle_line(text: &str) -> bool {
    let after_time = text.split_once(' ').map_or(text, |(_, rest)| rest);
    !text.trim().is_empty() && !after_time.starts_with(ACCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_core::engine::{APP, GATEWAY};

    fn selected(lines: &[(&str, f64, &str)]) -> Vec<String> {
        let clock = Clock::start();
        let steps = [("baseline", 0.0), ("rotate", 2.0), ("drive", 3.0), ("verify", 5.0)];
        let steps = steps.map(|(step, at)| StepStart { step: step.to_owned(), at });
        let line = |(service, at, text): &(&str, f64, &str)| LogLine {
            service: (*service).to_owned(),
            time: Some(clock.at(*at)),
            text: (*text).to_owned(),
        };
        let lines: Vec<LogLine> = lines.iter().map(line).collect();
        select_lines(&lines, GATEWAY, &steps, &clock)
            .into_iter()
            .map(|line| format!("{}: {}", line.step, line.text))
            .collect()
    }

    #[test]
    fn a_secret_is_masked_before_its_line_is_cut() {
        let mut secrets = Secrets::default();
        secrets.add("hush-hush");
        let mut text = format!("{}hush-hush{}", "x".repeat(MAX_LENGTH - 5), "y".repeat(10));
        hide(&mut text, [&Secrets::default(), &secrets]);
        assert_eq!(text, format!("{}***yy", "x".repeat(MAX_LENGTH - 5)));
    }

    fn access(status: u16) -> String {
        format!(r#"{{"time":"x","path":"/api/users","status":{status}}}"#)
    }

    #[test]
    fn the_first_line_after_a_reconnect_is_new() {
        let (ok, refused) = (access(200), access(401));
        let health = r#"{"time":"x","path":"/health","status":503}"#;
        let lines = [
            ("gateway", 0.1, ok.as_str()),
            ("gateway", 0.2, ok.as_str()),
            ("app", 0.2, "2026 access instance=a status=200"),
            ("app", 2.1, "ready 127.0.0.1:4711"),
            ("gateway", 2.2, health),
            ("app", 2.3, "2026 ended"),
            ("gateway", 3.1, refused.as_str()),
            ("gateway", 3.2, refused.as_str()),
            ("gateway", 5.1, ok.as_str()),
        ];
        let expected = [
            format!("baseline: {ok}"),
            "rotate: ready 127.0.0.1:4711".to_owned(),
            "rotate: 2026 ended".to_owned(),
            format!("drive: {refused}"),
            format!("verify: {ok}"),
        ];
        assert_eq!(selected(&lines), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_the_time_was_over_is_kept() {
        let line = LogLine { service: APP.to_owned(), time: None, text: "ready".to_owned() };
        let lines = futures_util::stream::iter([Ok::<_, ()>(line.clone()), Err(()), Ok(line)]);
        let hangs = lines.chain(futures_util::stream::pending());
        assert_eq!(read(hangs, Instant::now() + READ_TIMEOUT).await.len(), 2);
    }

    #[test]
    fn a_step_has_three_lines_at_most() {
        let lines: Vec<String> = (500..510).map(access).collect();
        let lines: Vec<_> = lines.iter().map(|line| ("gateway", 3.5, line.as_str())).collect();
        assert_eq!(selected(&lines).len(), 3);
        assert_eq!(
            selected(&[("gateway", 3.5, "2026 [error] no upstream"), ("gateway", 3.6, "")]),
            Vec::<String>::new()
        );
    }
}
