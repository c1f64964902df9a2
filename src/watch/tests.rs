//! Screens of healthy, broken and unavailable labs, in all sizes.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::model::{About, KeyOutcome, Model, Page};
use super::run_tracker::StepState;
use super::snapshot::{AlertView, LabState, RunningLab, Snapshot};
use super::view;
use lab_core::engine::{Health, LogLine, Roles, RunState, ServiceStatus};
use lab_core::event::{Event, EventKind, Keys};
use lab_report::term::Key;
use lab_telemetry::live::{Alert, AlertState, RunEvent};
use lab_telemetry::metrics::Exposition;
use lab_testkit::sample_runs;

const RUN: &str = "20261124T101530Z-7f3a";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_515_330 + second, 0).expect("a time")
}

fn model() -> Model {
    let about = About {
        lab: "default".to_owned(),
        refresh: Duration::from_secs(1),
        offset: FixedOffset::east_opt(0).expect("UTC"),
        colour: true,
        option: String::new(),
    };
    Model::new(about, at(0))
}

fn service(name: &str, state: RunState, health: Health) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        state,
        health,
        detail: None,
        instance: None,
        env: [].into(),
        address: None,
        pid: None,
        since: None,
        image: None,
        restarts: None,
    }
}

fn up(server: &str) -> LabState {
    let well = |name| service(name, RunState::Running, Health::Healthy);
    LabState::Up(Box::new(RunningLab {
        engine: "embedded".to_owned(),
        gateway: "http://127.0.0.1:8080".to_owned(),
        roles: Roles::default(),
        services: vec![well("gateway"), well("app"), well("db")],
        keys: Some(Keys { server: server.to_owned(), caller: "apikey-v1".to_owned(), ..Keys::default() }),
        is_drill: false,
        remarks: Vec::new(),
    }))
}

fn page(accepted: i64, refused: i64) -> Exposition {
    let all = accepted + refused;
    let text = format!(
        "# TYPE app_requests_total counter\napp_requests_total {all}\n# TYPE app_auth_success_total counter\n\
         app_auth_success_total {accepted}\n# TYPE app_auth_failures_total counter\napp_auth_failures_total {refused}\n\
         # TYPE app_http_responses_total counter\napp_http_responses_total{{code=\"200\"}} {accepted}\n\
         # TYPE app_http_request_duration_seconds histogram\n\
         app_http_request_duration_seconds_bucket{{le=\"0.002\"}} {all}\n\
         app_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n"
    );
    Exposition::parse(&text, None).expect("metrics")
}

fn seen(second: i64, lab: LabState, app: Option<Exposition>) -> Snapshot {
    let app = app.map(|app| ("app-1".to_owned(), app));
    Snapshot {
        at: at(second).into(),
        lab,
        app,
        edge: None,
        history: Vec::new(),
        events: Vec::new(),
        lines: Vec::new(),
        alerts: AlertView::NotEvaluated,
    }
}

fn line(second: i64, service: &str, text: &str) -> LogLine {
    LogLine { service: service.to_owned(), time: Some(at(second)), text: text.to_owned() }
}

/// What `rotate-key` tells, up to so many seconds.
fn run_events(until: f64) -> Vec<RunEvent> {
    let begun = at(40);
    let shift = |event: Event| {
        let at = begun + TimeDelta::from_std(Duration::from_secs_f64(event.elapsed)).expect("minutes");
        RunEvent { run: RUN.to_owned(), event: Event { at, ..event } }
    };
    sample_runs::rotate_key().into_iter().filter(|event| event.elapsed <= until).map(shift).collect()
}

/// A minute in which keys are refused from the 43rd second on, seen each second; the app is away for three of them.
fn broken() -> Model {
    let mut model = model();
    let (mut accepted, mut refused) = (0, 0);
    for second in 0..=45 {
        let rotated = second >= 43;
        accepted += if rotated { 0 } else { 20 };
        refused += if rotated { 20 } else { 0 };
        let app = (!(20..23).contains(&second)).then(|| page(accepted, refused));
        model.update(seen(second, up(if rotated { "apikey-v2" } else { "apikey-v1" }), app));
    }
    let access =
        |key| format!("{}Z access method=GET path=/api/users status={key} duration_ms=0.4", at(45).format("%FT%T%.3f"));
    model.update(Snapshot {
        events: run_events(3.0),
        lines: vec![
            line(42, "gateway", "{\"time\":\"x\",\"note\":\"route app:8000 127.0.0.1:37987\"}"),
            line(42, "app", "2026-11-24T10:16:12Z the database is migrated"),
            line(45, "app", &access(200)),
            line(45, "app", &access(401)),
        ],
        ..seen(46, up("apikey-v2"), Some(page(accepted, refused + 20)))
    });
    model
}

fn drawn(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
    terminal.draw(|frame| view::draw(frame, model)).expect("in memory");
    terminal.backend().to_string()
}

/// The same minute, as the gateway counts it: from the 43rd second on callers get a 502.
fn unreachable() -> Model {
    let mut model = model();
    let edge = |ok: i64, failed: i64| {
        let all = ok + failed;
        let text = format!(
            "# TYPE gateway_requests_total counter\ngateway_requests_total{{code=\"200\"}} {ok}\n\
             gateway_requests_total{{code=\"502\"}} {failed}\n# TYPE gateway_request_duration_seconds histogram\n\
             gateway_request_duration_seconds_bucket{{le=\"0.0025\"}} {ok}\n\
             gateway_request_duration_seconds_bucket{{le=\"0.01\"}} {all}\n\
             gateway_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n"
        );
        ("gateway-1".to_owned(), Exposition::parse(&text, None).expect("metrics"))
    };
    for second in 0..=46 {
        let down = (second - 42).max(0);
        let lab = match up("apikey-v1") {
            LabState::Up(mut up) if down > 0 => {
                up.services[1] = service("app", RunState::Stopped, Health::Unhealthy);
                LabState::Up(up)
            }
            lab => lab,
        };
        let app = (down == 0).then(|| page(20 * second, 0));
        let edge = Some(edge(20 * (second - down), 20 * down));
        model.update(Snapshot { edge, ..seen(second, lab, app) });
    }
    model
}

#[test]
fn callers_come_first_at_80_columns() {
    insta::assert_snapshot!(drawn(&unreachable(), 80, 24));
}

#[test]
fn callers_come_first_at_120_columns() {
    insta::assert_snapshot!(drawn(&unreachable(), 120, 40));
}

#[test]
fn callers_come_first_in_words() {
    insta::assert_snapshot!(drawn(&unreachable(), 40, 10));
}

#[test]
fn points_from_before_the_view_was_opened_are_drawn() {
    let mut model = model();
    let earlier = unreachable().shown().feed.points().cloned().collect();
    model.update(Snapshot { history: earlier, ..seen(60, up("apikey-v1"), None) });
    assert_eq!(model.shown().feed.points().count(), 48);
    assert!(drawn(&model, 80, 24).contains("5xx/s"), "{}", drawn(&model, 80, 24));
}

#[test]
fn a_lab_that_is_broken_at_80_columns() {
    insta::assert_snapshot!(drawn(&broken(), 80, 24));
}

#[test]
fn a_lab_that_is_broken_at_120_columns() {
    insta::assert_snapshot!(drawn(&broken(), 120, 40));
}

#[test]
fn a_small_screen_says_it_in_words() {
    insta::assert_snapshot!(drawn(&broken(), 40, 10));
}

#[test]
fn a_run_that_is_over() {
    let mut model = broken();
    model.update(Snapshot { events: run_events(60.0), ..seen(50, up("apikey-v1"), Some(page(900, 60))) });
    insta::assert_snapshot!(drawn(&model, 80, 24));
}

#[test]
fn after_an_early_end_what_comes_in_every_case_stands_in_its_own_row() {
    let mut model = model();
    let events = sample_runs::cut_short().into_iter().map(|event| RunEvent { run: RUN.to_owned(), event }).collect();
    model.update(Snapshot { events, ..seen(1, up("k"), None) });
    let run = model.shown().runs.run.as_ref().expect("there is one");
    let steps: Vec<(&str, bool)> =
        run.steps.iter().map(|step| (step.name.as_str(), matches!(step.state, StepState::Finished(..)))).collect();
    let expected =
        [("baseline", true), ("stop-db", true), ("drive-traffic", false), ("start-db", false), ("tidy", true)];
    assert_eq!(steps, expected);
}

#[test]
fn alerts_stand_beside_the_steps_where_they_are_known() {
    let mut model = broken();
    let alert = |name: &str, state, second| {
        let (name, summary) = (name.to_owned(), String::new());
        Alert { name, state, since: at(second), summary }
    };
    let alerts = vec![
        alert("AuthFailureRatioHigh", AlertState::Firing, 44),
        alert("TrafficAbsent", AlertState::Pending, 45),
        alert("LatencyHigh", AlertState::Resolved, 20),
    ];
    model.update(Snapshot { alerts: AlertView::Known(alerts), ..seen(47, up("apikey-v2"), None) });
    insta::assert_snapshot!(drawn(&model, 80, 24));
    model.update(Snapshot { alerts: AlertView::Unavailable, ..seen(48, up("apikey-v2"), None) });
    assert!(drawn(&model, 80, 24).contains("not available"));
    model.update(Snapshot { alerts: AlertView::Known(Vec::new()), ..seen(49, up("apikey-v2"), None) });
    assert!(drawn(&model, 80, 24).contains("none"));
}

#[test]
fn before_the_first_snapshot_and_without_the_lab() {
    let mut model = model();
    insta::assert_snapshot!("unseen", drawn(&model, 80, 24));
    model.update(seen(1, LabState::Unavailable("it was taken down".to_owned()), None));
    insta::assert_snapshot!("away", drawn(&model, 80, 24));
}

#[test]
fn every_page_and_the_help() {
    let mut model = broken();
    for page in ["charts", "steps", "log"] {
        model.handle_key(Key::Tab);
        insta::assert_snapshot!(page, drawn(&model, 80, 24));
    }
    model.handle_key(Key::Char('?'));
    insta::assert_snapshot!("help", drawn(&model, 80, 24));
}

#[test]
fn no_size_is_too_small_to_be_drawn_on() {
    let mut model = broken();
    for width in 1..=70 {
        for height in 1..=26 {
            drawn(&model, width, height);
        }
    }
    model.handle_key(Key::Char('?'));
    for (width, height) in [(1, 1), (30, 6), (31, 7), (60, 18), (300, 100), (60, 100), (300, 18)] {
        drawn(&model, width, height);
    }
    assert!(drawn(&model, 28, 4).contains("30 x 6"), "it says what it needs");
}

#[test]
fn without_colour_nothing_is_lost() {
    let mut plain = broken();
    plain.about.colour = false;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("in memory");
    terminal.draw(|frame| view::draw(frame, &plain)).expect("in memory");
    let colours =
        terminal.backend().buffer().content().iter().filter(|cell| cell.fg != ratatui_core::style::Color::Reset);
    assert_eq!(colours.count(), 0);
    assert_eq!(drawn(&plain, 80, 24), drawn(&broken(), 80, 24));
}

#[test]
fn a_screen_that_stands_still_goes_on_where_the_lab_is_by_then() {
    let mut model = broken();
    let before = drawn(&model, 80, 24);
    model.handle_key(Key::Char('p'));
    model.update(seen(90, LabState::Unavailable("it was taken down".to_owned()), None));
    let still = drawn(&model, 80, 24);
    assert!(still.contains("paused") && still.contains("they differ"), "{still}");
    assert_eq!(still.lines().next(), before.lines().next(), "its clock stands still");
    model.handle_key(Key::Char('p'));
    assert!(drawn(&model, 80, 24).contains("it was taken down"));
}

#[test]
fn the_log_is_filtered_and_scrolled() {
    let mut model = broken();
    assert_eq!(model.services(), ["gateway", "app"]);
    model.handle_key(Key::Char('l'));
    assert_eq!(model.only.as_deref(), Some("gateway"));
    assert_eq!(model.lines().count(), 1);
    model.handle_key(Key::Char('l'));
    assert_eq!(model.lines().count(), 3);
    model.handle_key(Key::Up);
    assert_eq!(model.back, 1);
    // Who has turned back reads on where they were.
    model.update(Snapshot {
        lines: vec![line(47, "app", "ended"), line(47, "gateway", "x")],
        ..seen(47, up("a"), None)
    });
    assert_eq!(model.back, 2);
    model.handle_key(Key::Home);
    assert_eq!(model.back, 3, "the first line stays on the screen");
    model.handle_key(Key::Escape);
    assert_eq!((model.back, model.page), (0, Page::Overview));
    model.handle_key(Key::Char('l'));
    assert_eq!(model.only, None, "after the last service come all");
}

#[test]
fn keys_turn_pages_and_leave() {
    let mut model = model();
    assert_eq!(model.handle_key(Key::BackTab), KeyOutcome::Continue);
    assert_eq!(model.page, Page::Logs);
    model.handle_key(Key::Tab);
    assert_eq!(model.page, Page::Overview);
    model.handle_key(Key::Char('?'));
    model.handle_key(Key::Tab);
    assert_eq!((model.help, model.page), (false, Page::Overview), "the first key takes the help away");
    model.handle_key(Key::Char('?'));
    assert_eq!(model.handle_key(Key::Char('q')), KeyOutcome::Quit);
}

#[test]
fn what_services_write_is_shown_and_never_obeyed() {
    let mut model = model();
    let lines = vec![line(1, "app", "a\u{1b}[2Jb\u{9b}31m\u{202e}c")];
    model.update(Snapshot { lines, ..seen(1, up("k"), None) });
    let shown = drawn(&model, 80, 24);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}') && shown.contains("[2Jb"), "{shown}");
}

#[test]
fn of_two_runs_the_one_that_began_later_is_shown() {
    let mut model = broken();
    let older = run_events(60.0).into_iter().map(|event| RunEvent { run: "20261124T101000Z-0000".to_owned(), ..event });
    model.update(Snapshot { events: older.collect(), ..seen(47, up("k"), None) });
    let run = model.shown().runs.run.as_ref().expect("there is one");
    assert_eq!((run.id.as_str(), run.end.is_some()), (RUN, false));
    let begun: Vec<RunEvent> =
        run_events(0.0).into_iter().filter(|event| matches!(event.event.kind, EventKind::RunStarted(_))).collect();
    let newer = begun.into_iter().map(|event| RunEvent { run: "20261124T102000Z-1111".to_owned(), ..event });
    model.update(Snapshot { events: newer.collect(), ..seen(48, up("k"), None) });
    assert_eq!(model.shown().runs.run.as_ref().expect("there is one").id, "20261124T102000Z-1111");
}
