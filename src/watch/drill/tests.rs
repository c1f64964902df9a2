//! Screens of a drill.

use lab_drill::fold::Drill;
use lab_drill::messages::messages;
use lab_drill::updates::next_due;
use lab_testkit::sample_drills;
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::*;

fn snapshot(watched: bool) -> DrillSnapshot {
    let entries = sample_drills::running("20261130T101500.000Z-7f3a");
    let drill = Drill::from_entries(&entries).expect("it starts");
    let service = |name: &str, state, is_good| ServiceState { name: name.to_owned(), state, is_good };
    let view = drill.public();
    DrillSnapshot {
        messages: messages(&drill, view.clock),
        due: next_due(&drill, view.clock),
        view,
        watched,
        services: vec![
            service("gateway", "healthy", true),
            service("app", "stopped", false),
            service("db", "healthy", true),
        ],
        error: None,
    }
}

fn screen(snapshot: Option<&DrillSnapshot>, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| view::draw(frame, snapshot, true, "")).expect("a screen in memory");
    terminal.backend().to_string()
}

#[test]
fn screens() {
    insta::assert_snapshot!("drill_80", screen(Some(&snapshot(true)), 80, 24));
    insta::assert_snapshot!("drill_120", screen(Some(&snapshot(true)), 120, 30));
    insta::assert_snapshot!("drill_small", screen(Some(&snapshot(false)), 40, 12));
}

#[test]
fn a_screen_gives_nothing_away_and_fits_any_size() {
    let snapshot = snapshot(true);
    assert!(!screen(Some(&snapshot), 120, 40).contains("upstream"));
    for width in 1..90 {
        for height in 1..30 {
            screen(Some(&snapshot), width, height);
        }
    }
    assert!(screen(None, 80, 24).contains("loading"));
}
