//! Alerts in a run: the rules that come with lab, evaluated over what the mock app says, in tokio's paused time.

use std::time::Duration;

use super::support::*;
use lab_core::error::Exit;
use lab_core::event::{AlertState, EventKind, Phase, Status};

/// A minute of each.
const STORY: &str = r"
title: Everything is 401 now
steps:
  - { name: baseline, traffic: { requests: 1200, rate: 20 } }
  - { name: rotate-key, rotate_key: { server: apikey-v2 } }
  - name: drive-traffic
    traffic: { requests: 1200, rate: 20 }
    expect: { alert.AuthFailureRatioHigh: firing, alert.AppDown: quiet }
  - { name: realign, align_key: { caller: server } }
  - name: verify
    traffic: { requests: 1200, rate: 20 }
    expect: { alert.AuthFailureRatioHigh: resolved }
";

fn told(played: &Played) -> Vec<(AlertState, i64)> {
    let alerts = played.events.iter().filter_map(|event| match &event.kind {
        EventKind::Alert(alert) if alert.name == "AuthFailureRatioHigh" => Some((alert.state, alert.since.round())),
        _ => None,
    });
    #[expect(clippy::cast_possible_truncation, reason = "some minutes")]
    alerts.map(|(state, since)| (state, since as i64)).collect()
}

fn within(value: Option<f64>, from: f64, to: f64) -> bool {
    value.is_some_and(|value| (from..=to).contains(&value))
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_minute_is_detected_mitigated_and_resolved() {
    let fixture = Fixture::new();
    fixture.engine.set_prometheus(Some("mock://prometheus"));
    let played = fixture.play(loaded(STORY)).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
    let told = told(&played);
    assert_eq!(
        told.iter().map(|(state, _)| *state).collect::<Vec<_>>(),
        [AlertState::Pending, AlertState::Firing, AlertState::Resolved]
    );
    // The rule's own arithmetic: over a half of 30 s after some 15 s, for 10 s, and gone after another 15 s.
    assert!((72..=80).contains(&told[0].1) && told[1].1 - told[0].1 == 10, "{told:?}");
    let outage = played.finished().outage.expect("there was one");
    assert!(within(outage.time_to_detect, 22.0, 30.0), "{outage:?}");
    assert!(within(outage.time_to_mitigate, 59.9, 60.1), "{outage:?}");
    assert!(within(outage.time_to_resolve, 70.0, 80.0), "{outage:?}");
    let drive = played.step("drive-traffic");
    assert_eq!(drive.expectations[0].observed, None);
    assert!(drive.expectations[0].observed_text.starts_with("firing since "), "{drive:?}");
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_reported_during_its_step() {
    let fixture = Fixture::new();
    fixture.engine.set_prometheus(Some("mock://prometheus"));
    let played = fixture.play(loaded(STORY)).await;
    let place = |wanted: &dyn Fn(&EventKind) -> bool| played.events.iter().position(|event| wanted(&event.kind));
    let fired = place(&|kind| matches!(kind, EventKind::Alert(alert) if alert.state == AlertState::Firing));
    let over = place(&|kind| matches!(kind, EventKind::StepFinished(step) if step.result.phase == Phase::Observe));
    assert!(fired.is_some() && fired < over, "{}", played.text());
}

#[tokio::test(start_paused = true)]
async fn an_alert_can_be_waited_for() {
    let fixture = Fixture::new();
    fixture.engine.set_prometheus(Some("mock://prometheus"));
    let text = r"
title: T
steps:
  - { name: users, background: { rate: 20 } }
  - { name: before, wait: 30s }
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - { name: alarm, wait_for: { alert: AuthFailureRatioHigh, state: firing, within: 60s } }
  - { name: mend, align_key: { caller: server } }
  - { name: over, wait_for: { alert: AuthFailureRatioHigh, state: resolved } }
  - { name: never, wait_for: { alert: AppDown, within: 2s } }
";
    let played = fixture.play(loaded(text)).await;
    assert_eq!(played.outcome.status, Status::Failed, "{}", played.text());
    let alarm = played.step("alarm");
    assert_eq!(alarm.status, Status::Passed);
    assert!((20.0..40.0).contains(&alarm.duration), "{alarm:?}");
    assert!(
        alarm.detail.as_deref().is_some_and(|text| text.contains("AuthFailureRatioHigh firing since")),
        "{alarm:?}"
    );
    assert_eq!(played.step("over").status, Status::Passed);
    let never = played.step("never");
    assert_eq!((never.status, never.expectations[0].expected.as_str()), (Status::Failed, "firing within 2s"));
    assert_eq!(never.expectations[0].observed_text, "inactive");
}

#[tokio::test(start_paused = true)]
async fn without_rules_alerts_are_unknown_and_no_step_waits() {
    let fixture = Fixture::new();
    let played = fixture.play(loaded(STORY)).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    let seen = &played.step("verify").expectations[0].observed_text;
    assert_eq!(seen, "unknown: there is no alert source");
    assert_eq!(told(&played), []);
    assert_eq!(played.finished().outage.expect("there was one").time_to_detect, None);
    assert!(played.finished().duration < 182.0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_at_the_pace_of_a_workshop_holds_as_the_quick_one_does() {
    let fixture = Fixture::new();
    fixture.engine.set_prometheus(Some("mock://prometheus"));
    let mut plan = rotate_key();
    plan.stretch(Duration::from_mins(1));
    assert_eq!(plan.pace, "workshop");
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
    assert_eq!(played.step("drive-traffic").sent, Some(1_200));
    assert_eq!(told(&played).len(), 3);
}
