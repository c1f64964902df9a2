//! Recorded runs for the tests of the reports: the events that the runner would emit, one run per kind of result.

use lab_core::event::{Event, Latency, Outage, Phase, Role, RunFinished, Status, StepResult, UndoOutcome, UndoTarget};

mod parts;
mod rich;

pub use parts::{
    Recording, caller_key, change, deltas, expectation, finished, item, keys, keys_undone, new_caller, outage, running,
    server_key, step, traffic,
};
pub use rich::{alerted, everything, grown, sampled};

const STEPS: [&str; 5] = ["baseline", "rotate-key", "drive-traffic", "realign", "verify"];
const TITLE: &str = "Everything is 401 now";

fn up_to_the_fault() -> Recording {
    Recording::new("rotate-key", TITLE, "default", &STEPS)
        .step(traffic("baseline", Phase::Baseline, &[(200, 40)], 2.1))
        .step(change("rotate-key", Phase::Inject, "rotate_key", "server apikey-v1 > apikey-v2"))
}

fn drive(codes: &[(u16, u32)]) -> StepResult {
    traffic("drive-traffic", Phase::Observe, codes, 0.9)
}

fn remedy(recording: Recording) -> Recording {
    let realign = change("realign", Phase::Remedy, "align_key", "caller apikey-v1 > apikey-v2");
    recording.step(StepResult { duration: 0.002, ..realign }).step(traffic("verify", Phase::Verify, &[(200, 40)], 2.04))
}

/// Rotation of a key without its caller, and the fix: passed.
pub fn rotate_key() -> Vec<Event> {
    let mut observed = drive(&[(401, 40)]);
    observed.expectations = vec![
        expectation("auth_failures.delta", "== 40", Some(40.0), "40", true),
        expectation("status.401", "100%", Some(100.0), "100%", true),
    ];
    let end = finished(Status::Passed, UndoOutcome::Complete, keys_undone());
    remedy(up_to_the_fault().step(observed)).end(RunFinished { outage: Some(outage(2.0, 40)), ..end })
}

/// Two expectations fail, and the run stops there.
pub fn failed() -> Vec<Event> {
    let mut observed = drive(&[(200, 2), (401, 38)]);
    observed.status = Status::Failed;
    observed.expectations = vec![
        expectation("auth_failures.delta", "== 40", Some(38.0), "38", false),
        expectation("auth_success.delta", "== 0", Some(2.0), "2", false),
        expectation("sent", "== 40", Some(40.0), "40", true),
    ];
    let end = finished(Status::Failed, UndoOutcome::Complete, keys_undone());
    let outage = Outage { recovered_at: None, time_to_recovery: None, time_to_mitigate: None, ..outage(1.95, 38) };
    up_to_the_fault().step(observed).end(RunFinished { outage: Some(outage), ..end })
}

/// The fault has no effect.
pub fn no_effect() -> Vec<Event> {
    let end = finished(Status::Failed, UndoOutcome::Complete, keys_undone());
    let reason = Some("no effect: rotate-key was injected, and no request failed".to_owned());
    remedy(up_to_the_fault().step(drive(&[(200, 40)]))).end(RunFinished { reason, ..end })
}

/// The app does not start with the new key.
pub fn error() -> Vec<Event> {
    let rotate = step("rotate-key", Phase::Inject, "rotate_key");
    let error = "app is unhealthy after 10s: \u{1b}[31mAPP_API_KEY\u{1b}[0m holds a letter that no header may hold, at \
                 position 7; the instance before it keeps serving";
    Recording::new("rotate-key", TITLE, "default", &STEPS)
        .step(traffic("baseline", Phase::Baseline, &[(200, 40)], 2.1))
        .step(StepResult { status: Status::Error, error: Some(error.to_owned()), duration: 10.0, ..rotate })
        .end(finished(Status::Error, UndoOutcome::Complete, vec![keys_undone().remove(1)]))
}

/// The second of four steps cannot be executed; the final steps run nevertheless.
pub fn cut_short() -> Vec<Event> {
    let broken = step("stop-db", Phase::Inject, "stop");
    let error = Some("db cannot be stopped: the host is gone".to_owned());
    let tidy = change("tidy", Phase::Verify, "start", "db already running");
    Recording::new(
        "stop-db",
        "The database is down",
        "default",
        &["baseline", "stop-db", "drive-traffic", "start-db", "tidy"],
    )
    .step(traffic("baseline", Phase::Baseline, &[(200, 40)], 2.1))
    .step(StepResult { status: Status::Error, error, ..broken })
    .step(StepResult { role: Role::Finally, ..tidy })
    .end(finished(Status::Error, UndoOutcome::Complete, Vec::new()))
}

/// Ctrl-C during traffic.
pub fn interrupted() -> Vec<Event> {
    let mut observed = drive(&[(401, 12)]);
    (observed.status, observed.duration) = (Status::Interrupted, 0.6);
    let end = finished(Status::Interrupted, UndoOutcome::Complete, keys_undone());
    let outage = Outage { recovered_at: None, time_to_recovery: None, time_to_mitigate: None, ..outage(0.55, 12) };
    up_to_the_fault().step(observed).end(RunFinished { outage: Some(outage), ..end })
}

/// The host dies, and the app cannot be restored.
pub fn incomplete() -> Vec<Event> {
    let mut observed = drive(&[(401, 30)]);
    observed.errors = [("refused".to_owned(), 10)].into();
    (observed.sent, observed.failed_requests) = (Some(40), 40);
    observed.deltas = deltas(None, None);
    let items = vec![
        item(caller_key("apikey-v1"), None),
        item(server_key("apikey-v1"), Some("the host does not answer on 127.0.0.1:41877: connection refused")),
    ];
    let end = finished(Status::Error, UndoOutcome::Incomplete, items);
    let reason = Some("the engine failed: the host is gone".to_owned());
    let outage = Outage { recovered_at: None, time_to_recovery: None, time_to_mitigate: None, ..outage(1.95, 40) };
    up_to_the_fault().step(observed).end(RunFinished { outage: Some(outage), reason, keys: None, ..end })
}

/// The fault is kept for a class.
pub fn kept() -> Vec<Event> {
    let mut items = keys_undone();
    items.remove(0);
    items.push(item(running("gateway"), None));
    let end = finished(Status::Passed, UndoOutcome::Kept, items);
    let outage = Outage { recovered_at: None, time_to_recovery: None, time_to_mitigate: None, ..outage(1.95, 40) };
    let keys = Some(keys("apikey-v2", "apikey-v1"));
    Recording::new("rotate-key", TITLE, "room-3", &STEPS[..3])
        .step(traffic("baseline", Phase::Baseline, &[(200, 40)], 2.1))
        .step(change("rotate-key", Phase::Inject, "rotate_key", "server apikey-v1 > apikey-v2"))
        .step(drive(&[(401, 40)]))
        .end(RunFinished { outage: Some(outage), keys, ..end })
}

/// The gateway is stopped, so requests are refused or cannot be sent. The lab is changed from outside as well.
pub fn transport_errors() -> Vec<Event> {
    let observed = StepResult {
        sent: Some(30),
        unsent: 10,
        failed_requests: 30,
        deltas: deltas(None, None),
        codes: [("504".to_owned(), 3)].into(),
        errors: [("refused".to_owned(), 12), ("reset".to_owned(), 1), ("timeout".to_owned(), 14)].into(),
        latency_ms: Some(Latency { p50: 5_000.0, p90: 5_000.0, p99: 5_012.0, max: 5_012.0 }),
        duration: 72.0,
        ..step("drive-traffic", Phase::Observe, "traffic")
    };
    let unknown = expectation("requests.delta", "== 0", None, "unknown: the scrape failed", false);
    let observed = StepResult { status: Status::Failed, expectations: vec![unknown], ..observed };
    let mut answer = change("ask", Phase::Verify, "check", "GET /health 200");
    answer.expectations = vec![expectation("status.200", "100%", Some(100.0), "100%", true)];
    let end = finished(Status::Failed, UndoOutcome::Complete, vec![item(running("gateway"), None)]);
    Recording::new("stop-gateway", "The door is shut", "default", &["stop-gateway", "drive-traffic", "wait", "ask"])
        .step(change("stop-gateway", Phase::Inject, "stop", "gateway running > stopped"))
        .step(observed)
        .notice("the caller's key was changed from apikey-v1 to apikey-v3 by somebody else while the run went on")
        .step(StepResult { duration: 5.0, ..change("wait", Phase::Observe, "wait", "5s") })
        .step(answer)
        .end(RunFinished { outage: Some(outage(72.0, 30)), ..end })
}

/// Long names, and characters of every width.
pub fn long_names() -> Vec<Event> {
    let names = ["rotate-the-key-of-the-server-while-nobody-looks", "トラフィックを送る", "überprüfen"];
    let title = "Alles antwortet mit 401, und keiner weiß warum: der Schlüssel des Servers wurde getauscht";
    let detail = "server a-very-long-key-that-somebody-generated-0123456789 > another-very-long-key-9876543210";
    let codes = [(200, 12_000), (401, 38_000), (429, 250), (502, 1_200), (504, 17)];
    let lab = "the-workshop-of-the-eleventh-of-november";
    let end = finished(Status::Passed, UndoOutcome::Complete, vec![item(UndoTarget::Lab, None)]);
    Recording::new("alles-401", title, lab, &names)
        .step(change(names[0], Phase::Inject, "rotate_key", detail))
        .step(traffic(names[1], Phase::Observe, &codes, 12_345.0))
        .step(StepResult { status: Status::Interrupted, ..traffic(names[2], Phase::Verify, &[(200, 1)], 1.0) })
        .end(RunFinished { outage: Some(outage(2.0, 1)), ..end })
}

/// Nothing is changed.
pub fn baseline() -> Vec<Event> {
    Recording::new("baseline", "The system as it should be", "default", &["baseline"])
        .step(traffic("baseline", Phase::Baseline, &[(200, 40)], 2.1))
        .end(RunFinished { duration: 2.0, ..finished(Status::Passed, UndoOutcome::Complete, Vec::new()) })
}

/// All recorded runs by name.
pub fn all() -> Vec<(&'static str, Vec<Event>)> {
    vec![
        ("rotate_key", rotate_key()),
        ("failed", failed()),
        ("no_effect", no_effect()),
        ("error", error()),
        ("cut_short", cut_short()),
        ("interrupted", interrupted()),
        ("incomplete", incomplete()),
        ("kept", kept()),
        ("transport_errors", transport_errors()),
        ("long_names", long_names()),
        ("baseline", baseline()),
        ("grown", grown()),
        ("alerted", alerted()),
    ]
}
