//! Grafana annotations of a run: a region for each step, each firing alert and the outage. Sending must not block, because the
//! run does not wait for Grafana.

use std::io;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Sink, human, short_id, text};
use lab_core::event::{AlertChanged, AlertState, Event, EventKind, RunFinished, StepResult};

/// Dashboard that is included in lab.
const DASHBOARD: &str = "auth-health";
/// Tag that the dashboard queries.
const TAG: &str = "lab";

/// Body of a request to Grafana's `POST /api/annotations`
/// (<https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Dashboard that shows the annotation.
    #[serde(rename = "dashboardUID")]
    pub dashboard_uid: String,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// End, in milliseconds since the epoch. Equal to `time` for a point in time.
    pub time_end: i64,
    /// Tags; the first one is `lab`.
    pub tags: Vec<String>,
    /// Description in one line.
    pub text: String,
}

/// Sink that converts events to annotations.
pub struct Annotations<T> {
    send: T,
    run: String,
    start: DateTime<Utc>,
    /// Alerts that are firing.
    firing: Vec<AlertChanged>,
}

impl<T: FnMut(Annotation) + Send> Annotations<T> {
    /// Passes each annotation to `send`.
    pub fn new(send: T) -> Self {
        Self { send, run: String::new(), start: DateTime::UNIX_EPOCH, firing: Vec::new() }
    }

    /// Sends a region. Times are in seconds since the start of the run.
    fn region(&mut self, from: f64, to: f64, tags: &[&str], text: &str) {
        let at = |seconds: f64| self.start.timestamp_millis() + millis(seconds);
        let run = format!("run:{}", self.run);
        let tags = [TAG].iter().chain(tags).map(|tag| text::clean(tag)).chain([run]).filter(|tag| !tag.is_empty());
        let annotation = Annotation {
            dashboard_uid: DASHBOARD.to_owned(),
            time: at(from),
            time_end: at(to.max(from)),
            tags: tags.collect(),
            text: text::clean(text),
        };
        (self.send)(annotation);
    }

    fn step(&mut self, step: &StepResult) {
        let what = match (step.sent, &step.detail) {
            (Some(sent), _) => {
                format!("{}, {} failed", human::count(sent, "request"), step.failed_requests)
            }
            (None, Some(detail)) => detail.clone(),
            (None, None) => step.action.clone(),
        };
        let text = format!("{}: {what}", step.name);
        self.region(step.elapsed, step.elapsed + step.duration, &["step", step.phase.name()], &text);
    }

    fn alert(&mut self, alert: &AlertChanged) {
        match alert.state {
            AlertState::Firing => self.firing.push(alert.clone()),
            AlertState::Resolved => {
                if let Some(index) = self.firing.iter().position(|fired| fired.name == alert.name) {
                    let fired = self.firing.remove(index);
                    self.fired(&fired, alert.since);
                }
            }
            AlertState::Pending | AlertState::Cleared => {}
        }
    }

    fn fired(&mut self, fired: &AlertChanged, until: f64) {
        let joint = if fired.summary.is_empty() { "" } else { ": " };
        let text = format!("{} fired{joint}{}", fired.name, fired.summary);
        self.region(fired.since, until, &["alert", &fired.severity], &text);
    }

    fn end(&mut self, elapsed: f64, run: &RunFinished) {
        for fired in std::mem::take(&mut self.firing) {
            self.fired(&fired, elapsed);
        }
        if let Some(outage) = run.outage {
            let to = outage.recovered_at.unwrap_or(outage.impact_at + outage.duration);
            let text = format!("outage: {} failed", human::count(outage.failed_requests, "request"));
            self.region(outage.impact_at, to, &["outage"], &text);
        }
    }
}

impl<T: FnMut(Annotation) + Send> Sink for Annotations<T> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(run) => {
                self.start = event.at - chrono::TimeDelta::milliseconds(millis(event.elapsed));
                short_id(&run.id).clone_into(&mut self.run);
            }
            EventKind::StepFinished(step) => self.step(&step.result),
            EventKind::Alert(alert) => self.alert(alert),
            EventKind::RunFinished(run) => self.end(event.elapsed, run),
            _ => {}
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a run is no longer than some weeks")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::replay;
    use lab_testkit::sample_runs;

    #[test]
    fn a_run_is_regions_for_its_steps_its_alert_and_its_outage() {
        let mut sent = Vec::new();
        let start = 1_795_515_330_000;
        replay(&sample_runs::alerted(), &mut Annotations::new(|annotation: Annotation| sent.push(annotation)))
            .expect("memory");
        let shown: Vec<String> = sent
            .iter()
            .map(|one| format!("{}-{} {} [{}]", one.time - start, one.time_end - start, one.text, one.tags.join(" ")))
            .collect();
        insta::assert_snapshot!("annotations", shown.join("\n"));
        let body = serde_json::to_value(&sent[0]).expect("plain data");
        assert_eq!((body["dashboardUID"].as_str(), body["time"].as_i64()), (Some("auth-health"), Some(start)));
        assert!(body["timeEnd"].as_i64() > body["time"].as_i64());
    }

    #[test]
    fn the_dashboard_is_the_one_that_comes_with_lab_and_shows_the_tag() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../grafana/dashboards/auth-health.json"));
        let dashboard: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
        assert_eq!(dashboard["uid"], DASHBOARD);
        let shown = dashboard["annotations"]["list"].as_array().expect("a list");
        assert!(shown.iter().any(|list| list["target"]["tags"][0] == TAG));
    }
}
