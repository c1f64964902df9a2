//! What the language has beyond single steps: background traffic, a steady state, steps that come in every case, outputs,
//! secrets, commands.

use std::time::Duration;

use super::support::*;
use crate::runner::{Signal, Until};
use lab_core::engine::{EngineError, EngineErrorKind, RunState, ServiceChange};
use lab_core::error::Exit;
use lab_core::event::{EventKind, Role, Status, UndoOutcome};
use lab_testkit::engine::Script;

#[tokio::test(start_paused = true)]
async fn all_features_work_together() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let played = fixture.play(everything()).await;
    assert_eq!(played.outcome.undo, UndoOutcome::Complete);
    assert_eq!(fixture.whole(), before);
    assert!(!fixture.log_exists());
    insta::assert_snapshot!("everything", played.text());
}

#[tokio::test(start_paused = true)]
async fn background_traffic_goes_on_across_steps_and_counts_exactly() {
    let fixture = Fixture::new();
    let plan = loaded(
        r#"
title: Seen by one who never stops
steps:
  - { name: users, background: { rate: 10 } }
  - { name: calm, wait: 2s, expect: { background.users.sent: 20, requests.delta: 20 } }
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - name: observe
    traffic: { requests: 40 }
    expect: { sent: 40, status.401: "100%", requests.delta: "> 50", background.users.failed: "100%" }
  - { name: mend, align_key: { caller: server } }
  - { name: after, wait: 1s, expect: { background.users.failed: 0 } }
  - { name: end, stop_background: users }
  - { name: silence, wait: 1s, expect: { requests.delta: 0 } }
"#,
    );
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
    let total = |step: &lab_core::event::StepResult| {
        step.sent.unwrap_or(0) + step.background.values().map(|result| result.sent).sum::<u64>()
    };
    let mut failed = 0;
    for name in ["calm", "rotate", "observe", "mend", "after", "end", "silence"] {
        let step = played.step(name);
        failed += step.failed_requests + step.background.values().map(|slice| slice.failed_requests).sum::<u64>();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let sent = total(step) as f64;
        assert_eq!(step.deltas["app_requests_total"], Some(sent), "{name}");
        let drawn: u64 = step.samples.iter().flat_map(|sample| sample.codes.values()).sum();
        assert_eq!(drawn, total(step), "{name}: charts have all of it");
    }
    let outage = played.finished().outage.unwrap();
    assert_eq!(outage.failed_requests, failed);
    assert!(outage.recovered_at.unwrap() < played.step("after").elapsed + 0.2, "{outage:?}");
}

#[tokio::test(start_paused = true)]
async fn a_practice_fails_by_its_background_alone() {
    let text = |kind: &str| {
        format!(
            "title: T\nkind: {kind}\nsteps:\n  - {{ name: users, background: {{ rate: 10 }} }}\n  \
             - {{ phase: inject, rotate_key: {{ server: apikey-v2 }} }}\n  - wait: 1s\n"
        )
    };
    let played = Fixture::new().play(loaded(&text("practice"))).await;
    assert!(played.finished().reason.as_deref().unwrap().ends_with("requests failed; none may fail"));
    let played = Fixture::new().play(loaded(&text("incident"))).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
}

const STEADY: &str = r#"
title: Steady
steady_state:
  - { name: health, check: { path: /health } }
  - { name: users, traffic: { requests: 4, rate: 100 }, expect: { status.200: "100%" } }
steps:
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - { name: observe, traffic: { requests: 4, rate: 100 } }
finally:
  - { name: tidy, align_key: { caller: server } }
"#;

#[tokio::test(start_paused = true)]
async fn an_unhealthy_lab_is_left_alone() {
    let fixture = Fixture::new();
    fixture.engine.alter("db", &ServiceChange::run(RunState::Paused)).unwrap();
    let before = fixture.whole();
    let played = fixture.play(loaded(STEADY)).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    assert_eq!(fixture.whole(), before);
    assert!(fixture.engine.calls().is_empty(), "{:?}", fixture.engine.calls());
    insta::assert_snapshot!("not_steady_before", played.text());
}

#[tokio::test(start_paused = true)]
async fn a_remedy_that_does_not_bring_the_steady_state_back_fails_the_run() {
    let fixture = Fixture::new();
    let played = fixture.play(loaded(STEADY)).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    assert_eq!(
        (played.step("before/users").status, played.step("after/users").status),
        (Status::Passed, Status::Failed)
    );
    assert_eq!(played.step("after/health").role, Role::After);
    insta::assert_snapshot!("not_steady_after", played.text());
    // Left broken on purpose, it is not asked for.
    let mut run = fixture.run(loaded(STEADY));
    run.until = Some(Until::Step("observe".to_owned()));
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Passed, UndoOutcome::Kept), "{}", played.text());
    assert!(!played.text().contains("after/") && !played.text().contains("tidy"), "{}", played.text());
}

fn finally(steps: &str) -> lab_scenario::Plan {
    loaded(&format!(
        "title: Finally\nsteps:\n  - {{ name: rotate, rotate_key: {{ server: apikey-v2 }} }}\n  \
         - {{ name: target, wait: 5s }}\nfinally:\n{steps}"
    ))
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_every_case_comes_after_an_error_and_before_the_undo() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    fixture.engine.script("app", Script::Fail(EngineError::new(EngineErrorKind::System, "busy").for_service("app")));
    let plan =
        finally("  - { name: broken, run: { command: [nothing] } }\n  - { name: look, check: { path: /health } }\n");
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::Failed);
    assert_eq!(fixture.whole(), before);
    insta::assert_snapshot!("finally_after_an_error", played.text());
}

#[tokio::test(start_paused = true)]
async fn after_a_signal_it_has_a_bounded_time() {
    for (signals, exit) in [(1, Exit::Interrupted), (2, Exit::UndoIncomplete)] {
        let fixture = Fixture::new();
        let before = fixture.whole();
        let run = fixture.run(finally("  - { name: slow, wait: 10m }\n  - { name: more, wait: 1s }\n"));
        let interrupt = run.interrupt.clone();
        let played = play(run, move |event| {
            let at = match &event.kind {
                EventKind::StepStarted(step) if step.name == "target" => Duration::from_secs(1),
                EventKind::StepStarted(step) if step.name == "slow" && signals == 2 => Duration::from_secs(2),
                _ => return Ok(()),
            };
            let interrupt = interrupt.clone();
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                interrupt.raise(Signal::Interrupt);
            });
            Ok(())
        })
        .await;
        assert_eq!(played.outcome.exit, exit, "{}", played.text());
        let slow = played.step("slow").duration;
        let limit = if signals == 1 { 30.0 } else { 2.0 };
        assert!((limit - 0.1..limit + 0.1).contains(&slow), "{slow}");
        let begun = played.events.iter().filter(|event| matches!(event.kind, EventKind::StepStarted(_))).count();
        assert_eq!(begun, 3, "`more` is not begun: {}", played.text());
        fixture.recover().await.unwrap();
        assert_eq!(fixture.whole(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_of_a_step_are_used_by_later_ones() {
    let fixture = Fixture::new();
    let plan = loaded(
        r#"
title: Outputs
kind: part
steps:
  - { name: first, traffic: { requests: 7, rate: 10 } }
  - { name: word, run: { command: [print, "3"] } }
  - { name: second, traffic: { requests: "${steps.word.stdout}", rate: "${steps.first.status.200}" }, expect: { sent: "== ${steps.word.stdout}" } }
  - { name: pause, wait: "${steps.first.duration}" }
  - { name: ask, check: { path: /health } }
  - { name: same, check: { path: /health, status: "${steps.ask.status}", body: "${steps.ask.body}" } }
  - { scenario: baseline, name: third, with: { requests: "${steps.second.requests.delta}", rate: 100 } }
  - { name: text, run: { command: [print, "not a number"] } }
  - { name: wrong, traffic: { requests: "${steps.text.stdout}" } }
"#,
    );
    let played = fixture.play(plan).await;
    assert_eq!(played.step("second").sent, Some(3));
    assert_eq!(played.step("third").sent, Some(3));
    assert_eq!(played.step("third").expectations[0].expected, "== 3");
    assert!((played.step("pause").duration - played.step("first").duration).abs() < 0.01);
    assert_eq!(played.step("same").status, Status::Passed);
    assert_eq!(
        played.step("wrong").error.as_deref(),
        Some("`requests` is `not a number`: expected a whole number from 1 to 10000000")
    );
    assert_eq!(played.outcome.exit, Exit::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_not_known_is_an_error_of_the_step_that_needs_it() {
    let fixture = Fixture::new();
    let plan = loaded(
        "title: Unknown\nkind: part\nsteps:\n  - { name: pause, pause: app }\n  \
         - { name: more, traffic: { requests: \"${steps.pause.requests.delta}\" } }\n",
    );
    let played = fixture.play(plan).await;
    assert_eq!(played.step("more").error.as_deref(), Some("`requests` is not known: the app is paused"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_in_no_event_and_comes_back_from_the_undo_log() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let plan = |token: &str| {
        loaded(&format!(
            r#"
title: Secrets
kind: part
parameters: {{ token: {{ default: {token}, secret: true }} }}
callers: {{ web: {{ key: "${{token}}" }} }}
steps:
  - {{ name: env, set_env: {{ service: app, env: {{ TOKEN: "Bearer ${{token}}" }} }} }}
  - {{ name: rotate, rotate_key: {{ server: "${{token}}" }} }}
  - {{ name: say, run: {{ command: [print, "it is ${{token}}"] }} }}
  - {{ name: ask, check: {{ path: /health, body: "${{token}}" }} }}
  - {{ name: fail, run: {{ command: ["${{token}}"] }} }}
"#
        ))
    };
    let mut first = fixture.run(plan("hush-hush"));
    first.keep = true;
    let kept = play(first, |_| Ok(())).await;
    assert_eq!(fixture.engine.state()["app"].1["TOKEN"], "Bearer hush-hush");
    assert_eq!(kept.step("env").detail.as_deref(), Some("app TOKEN=Bearer ***"));
    assert_eq!(kept.step("fail").error.as_deref().map(|error| error.starts_with("*** cannot be run")), Some(true));
    // The next run does not know that secret; what it puts back is masked all the same.
    let mut second = fixture.run(plan("quiet-now"));
    second.id = "20261124T101530Z-0000".to_owned();
    let second = play(second, |_| Ok(())).await;
    assert_eq!(fixture.engine.state()["app"].1["TOKEN"], "Bearer hush-hush");
    for played in [&kept, &second] {
        let text = serde_json::to_string(&played.events).unwrap();
        assert!(!text.contains("hush") && !text.contains("quiet"), "{text}");
        assert!(text.contains("***"));
    }
    let engine: std::sync::Arc<dyn lab_core::engine::Engine> = std::sync::Arc::new(fixture.engine.clone());
    let give_up = crate::runner::Interrupt::new();
    let mut told = String::new();
    let emit = |event: EventKind| told += &serde_json::to_string(&event).unwrap();
    let undo = crate::undo::recover(&fixture.lab, &engine, give_up.give_up(), emit).await.unwrap();
    assert_eq!(undo.status, UndoOutcome::Complete);
    assert!(!told.contains("hush") && !format!("{undo:?}").contains("hush"), "{told}");
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_command_gets_the_labs_addresses_and_what_it_changes_is_undone() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let plan = loaded(
        r#"
title: Runbook
steps:
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - { name: observe, traffic: { requests: 4 } }
  - { name: mend, phase: remedy, run: { command: [align] } }
  - { name: verify, traffic: { requests: 4 }, expect: { status.200: "100%" } }
  - { name: url, run: { command: [env, LAB_GATEWAY_URL] } }
  - { name: lab, run: { command: [env, LAB_NAME] } }
"#,
    );
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
    assert_eq!(played.notices(), Vec::<&str>::new(), "what the run's own command does is no news");
    assert_eq!((&*played.step("url").output[0], &*played.step("lab").output[0]), ("mock://gateway", "default"));
    assert!(played.finished().outage.unwrap().time_to_recovery.is_some());
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_judged_by_how_it_ends() {
    let plan = loaded(
        r"
title: Commands
kind: part
steps:
  - { name: two, run: { command: [exit, 2] } }
  - { name: wanted, run: { command: [exit, 2], exit_code: 2 } }
  - { name: long, run: { command: [sleep, 60], timeout: 5s } }
",
    );
    let played = Fixture::new().play(plan.clone()).await;
    insta::assert_snapshot!("commands", played.text());
    // Not allowed, it is not even begun.
    let fixture = Fixture::new();
    let mut run = fixture.run(plan);
    run.processes = None;
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.events.len()), (Exit::Failed, 2));
    assert!(played.finished().reason.as_deref().unwrap().contains("--allow-commands"));
}
