//! Recorded runs with more content: several callers, background traffic, alerts, logs, samples.

use std::collections::BTreeMap;

use super::parts::{
    Recording, caller_key, change, deltas, expectation, finished, item, keys_undone, new_caller, outage, server_key,
    traffic,
};
use super::{STEPS, TITLE, drive, transport_errors};
use lab_core::event::{
    AlertChanged, AlertState, CallerResult, Event, EventKind, Latency, Logged, Outage, Phase, Role, RunFinished,
    Sample, Status, StepResult, UndoOutcome,
};

fn caller(codes: &[(u16, u64)], p99: f64) -> CallerResult {
    let count = |wanted: fn(u16) -> bool| codes.iter().filter(|(code, _)| wanted(*code)).map(|(_, count)| *count).sum();
    CallerResult {
        sent: count(|_| true),
        attempts: None,
        unsent: 0,
        failed_requests: count(|code| !(200..300).contains(&code)),
        codes: codes.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
        errors: BTreeMap::new(),
        latency_ms: Some(Latency { p50: p99 / 2.0, p90: p99 * 0.8, p99, max: p99 * 1.2 }),
    }
}

/// Two callers and background traffic; a steady state, a command that fails, and final steps.
pub fn grown() -> Vec<Event> {
    let named = |pairs: &[(&str, CallerResult)]| -> BTreeMap<String, CallerResult> {
        pairs.iter().map(|(name, result)| ((*name).to_owned(), result.clone())).collect()
    };
    let look = |name: &str, role| StepResult { role, ..change(name, Phase::Verify, "check", "GET /health 200") };
    let mut observed = traffic("drive-traffic", Phase::Observe, &[(200, 32), (401, 8)], 1.2);
    observed.callers = named(&[("web", caller(&[(200, 32)], 1.2)), ("batch", caller(&[(401, 8)], 0.7))]);
    observed.background = named(&[("users", caller(&[(200, 16), (401, 4)], 1.1))]);
    observed.deltas = deltas(Some(48.0), Some(12.0));
    let mut runbook = change("runbook", Phase::Remedy, "run", "mend.sh exit 1");
    runbook.status = Status::Failed;
    runbook.duration = 0.8;
    runbook.background = named(&[("users", caller(&[(200, 6), (401, 2)], 1.1))]);
    runbook.deltas = deltas(Some(6.0), Some(2.0));
    runbook.output = vec!["looking for callers".to_owned(), "batch: permission denied".to_owned()];
    runbook.expectations = vec![expectation("run.exit_code", "== 0", Some(1.0), "1", false)];
    let wait = change("alarm", Phase::Observe, "wait_for", "auth_failures.delta 6 after 1.5s");
    let steps = ["before/health", "rotate-key", "alarm", "drive-traffic", "runbook", "after/health", "tidy"];
    let items = vec![
        item(new_caller("web"), None),
        item(new_caller("batch"), None),
        item(server_key("apikey-v1"), None),
        item(caller_key("apikey-v1"), None),
    ];
    let end = finished(Status::Failed, UndoOutcome::Complete, items);
    let outage = Outage { recovered_at: None, time_to_recovery: None, time_to_mitigate: None, ..outage(3.0, 14) };
    Recording::new("stale-caller", "One of two callers was forgotten", "default", &steps)
        .step(look("before/health", Role::Before))
        .step(change("rotate-key", Phase::Inject, "rotate_key", "server apikey-v1 > apikey-v2"))
        .step(StepResult { duration: 1.5, ..wait })
        .step(observed)
        .step(runbook)
        .step(look("after/health", Role::After))
        .step(StepResult { role: Role::Finally, ..change("tidy", Phase::Verify, "start", "db already running") })
        .end(RunFinished { outage: Some(outage), ..end })
}

fn alert(state: AlertState, since: f64) -> AlertChanged {
    let summary = "97.5% of the requests are turned away: their key is not accepted".to_owned();
    AlertChanged { name: "AuthFailureRatioHigh".to_owned(), state, since, severity: "page".to_owned(), summary }
}

/// At the pace of a workshop: an alert fires and is resolved, with log lines.
pub fn alerted() -> Vec<Event> {
    let minute = |step: StepResult| StepResult { duration: 60.0, ..step };
    let mut recording = Recording::new("rotate-key", TITLE, "default", &STEPS);
    if let Some(EventKind::RunStarted(run)) = recording.events.first_mut().map(|event| &mut event.kind) {
        run.alerts = true;
        "workshop".clone_into(&mut run.pace);
        run.about.lessons = vec!["Rotate with an overlap: let the server take both keys.".to_owned()];
        run.about.solution = Some("Give the caller the server's key: `lab key align`.".to_owned());
    }
    let rotated = change("rotate-key", Phase::Inject, "rotate_key", "server apikey-v1 > apikey-v2");
    let realign = change("realign", Phase::Remedy, "align_key", "caller apikey-v1 > apikey-v2");
    let fired = vec![alert(AlertState::Pending, 76.2), alert(AlertState::Firing, 86.2)];
    let mut recording = recording
        .step(minute(traffic("baseline", Phase::Baseline, &[(200, 1_200)], 2.1)))
        .step(rotated)
        .step_with(minute(drive(&[(401, 1_200)])), fired)
        .step(StepResult { duration: 0.002, ..realign })
        .step_with(
            minute(traffic("verify", Phase::Verify, &[(200, 1_200)], 2.04)),
            vec![alert(AlertState::Resolved, 136.2)],
        );
    let access = r#"{"time":"2026-11-24T10:16:30.204Z","instance":"gateway","method":"GET","path":"/api/users","status":401,"upstream_status":401}"#;
    for (service, step, written, text) in [
        ("app", "rotate-key", 60.05, "2026-11-24T10:16:30.050Z the database is migrated"),
        ("gateway", "drive-traffic", 60.204, access),
    ] {
        let (service, step, text) = (service.to_owned(), step.to_owned(), text.to_owned());
        recording.record(EventKind::Logged(Logged { service, step, written, text }));
    }
    let outage = Outage {
        impact_at: 60.1,
        recovered_at: Some(120.1),
        duration: 60.0,
        failed_requests: 1_200,
        time_to_impact: Some(0.1),
        time_to_recovery: Some(0.003),
        time_to_detect: Some(26.1),
        time_to_mitigate: Some(60.0),
        time_to_resolve: Some(76.1),
    };
    let end = finished(Status::Passed, UndoOutcome::Complete, keys_undone());
    recording.end(RunFinished { outage: Some(outage), ..end })
}

/// The same run with samples of its traffic, one per second from the start of a step to its end.
pub fn sampled(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        let EventKind::StepFinished(finished) = &mut event.kind else { continue };
        let step = &mut finished.result;
        if step.sent.is_none() {
            continue;
        }
        let seconds = (step.duration - 0.01).ceil().max(1.0);
        let starts = (0..1_000).map(f64::from).take_while(|second| *second < seconds);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and small")]
        let part = |count: &u64| (u32::try_from(*count).map_or(0.0, f64::from) / seconds).round() as u64;
        let parts =
            |counts: &BTreeMap<String, u64>| counts.iter().map(|(name, count)| (name.clone(), part(count))).collect();
        step.samples = starts
            .map(|second| Sample {
                at: step.elapsed + second,
                duration: 1.0,
                codes: parts(&step.codes),
                errors: parts(&step.errors),
                latency_ms: step.latency_ms,
            })
            .collect();
    }
    events
}

/// Events of every kind in one stream.
pub fn everything() -> Vec<Event> {
    let mut events = transport_errors();
    events
        .extend(alerted().into_iter().filter(|event| matches!(event.kind, EventKind::Alert(_) | EventKind::Logged(_))));
    events
}
