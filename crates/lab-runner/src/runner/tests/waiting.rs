//! Waiting until something is so: metrics, a page, a query.

use std::time::Duration;

use super::support::*;
use lab_core::engine::{RunState, ServiceChange};
use lab_core::error::Exit;
use lab_core::event::{EventKind, Status};

fn waiting(wait: &str) -> lab_scenario::Plan {
    loaded(&format!("title: Wait\nkind: part\nsteps:\n  - name: wait\n    wait_for: {{ {wait} }}\n  - wait: 1s\n"))
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_ends_the_wait() {
    for (wait, detail) in [
        ("metrics: { requests.delta: \"> 2\" }", "requests.delta 3 after 3.0s"),
        ("path: /health, status: 503, every: 200ms", "GET /health 503 after 2.6s"),
        ("path: /api/users, key: apikey-v1, status: 503, timeout: 5s", "GET /api/users 503 after 2.6s"),
    ] {
        let fixture = Fixture::new();
        let engine = fixture.engine.clone();
        let played = play(fixture.run(waiting(wait)), move |event| {
            if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "wait") {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for second in 0..5 {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        engine.request("/api/users", Some(V1)).await;
                        if second == 1 && !wait.starts_with("metrics") {
                            engine.alter("db", &ServiceChange::run(RunState::Paused)).unwrap();
                        }
                    }
                });
            }
            Ok(())
        })
        .await;
        assert_eq!(played.step("wait").detail.as_deref(), Some(detail), "{}", played.text());
        assert_eq!(played.step("wait").status, Status::Passed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_reports_the_last_observation() {
    let cases = [
        ("metrics: { auth_failures.delta: \"> 5\" }, timeout: 2s", "> 5 within 2s", "0"),
        ("path: /nowhere, body: hello, timeout: 2s", "== 200 within 2s", "404"),
        ("path: /api/users, body: hello, timeout: 2s", "contains \"hello\" within 2s", "[]"),
        ("path: /api/users, key: wrong, timeout: 1500ms", "== 200 within 1.5s", "401"),
    ];
    for (wait, expected, observed) in cases {
        let fixture = Fixture::new();
        let played = fixture.play(waiting(wait)).await;
        let step = played.step("wait");
        assert_eq!((step.status, played.outcome.exit), (Status::Failed, Exit::NotPassed));
        let result = step.expectations.iter().find(|result| !result.passed).unwrap();
        assert_eq!((result.expected.as_str(), result.observed_text.as_str()), (expected, observed));
        assert!((1.4..3.2).contains(&step.duration), "{}", step.duration);
        assert_eq!(played.step("wait-2").status, Status::Passed, "the story goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_is_sent_to_the_labs_prometheus() {
    let fixture = Fixture::new();
    let wait = "query: app_requests_total, is: \"> 2\", timeout: 5s";
    let played = fixture.play(waiting(wait)).await;
    assert_eq!(played.step("wait").error.as_deref(), Some("the lab's Prometheus does not run"));

    fixture.engine.set_prometheus(Some("mock://prometheus"));
    let engine = fixture.engine.clone();
    let played = play(fixture.run(waiting(wait)), move |event| {
        if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "wait") {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..3 {
                    engine.request("/api/users", None).await;
                }
            });
        }
        Ok(())
    })
    .await;
    assert_eq!(played.step("wait").detail.as_deref(), Some("app_requests_total is 3 after 0.1s"));
    let played = fixture.play(waiting("query: nonsense(, timeout: 1s")).await;
    let step = played.step("wait");
    assert_eq!(step.error.as_deref(), Some("Prometheus refuses the query `nonsense(`: unknown function"));
    assert!(step.duration < 0.5, "{}", step.duration);
}
