//! Timelines of all sample runs at 80 and 120 columns.

use super::Timeline;
use crate::report::{replay, text};
use crate::term::Painter;
use lab_core::event::{Event, EventKind};
use lab_testkit::sample_runs;

fn draw(events: &[Event], width: usize, painter: Painter) -> String {
    let mut bytes = Vec::new();
    replay(events, &mut Timeline::new(&mut bytes, width, painter)).expect("in memory");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_sample_run_at_80_columns() {
    for (name, events) in sample_runs::all() {
        insta::assert_snapshot!(format!("{name}_80"), draw(&events, 80, Painter::PLAIN));
    }
}

#[test]
fn every_sample_run_at_120_columns() {
    for (name, events) in sample_runs::all() {
        insta::assert_snapshot!(format!("{name}_120"), draw(&events, 120, Painter::PLAIN));
    }
}

#[test]
fn with_colour() {
    for (name, events) in [("rotate_key", sample_runs::rotate_key()), ("failed", sample_runs::failed())] {
        for width in [80, 120] {
            insta::assert_snapshot!(format!("{name}_{width}_colour"), draw(&events, width, Painter::new(true)));
        }
    }
}

#[test]
fn a_run_without_an_end_is_shown_as_interrupted() {
    let events = sample_runs::rotate_key();
    let third = events.iter().position(|event| matches!(&event.kind, EventKind::StepStarted(step) if step.index == 2));
    insta::assert_snapshot!("cut_off_80", draw(&events[..=third.expect("a third step")], 80, Painter::PLAIN));
}

#[test]
fn the_next_command_names_the_scenario_as_it_was_typed() {
    let mut events = sample_runs::failed();
    if let EventKind::RunStarted(run) = &mut events[0].kind {
        run.about.source = "./my own/failing.yaml".to_owned();
    }
    let text = draw(&events, 120, Painter::PLAIN);
    assert!(text.contains("next: lab scenario show './my own/failing.yaml'"), "{text}");
}

#[test]
fn an_unannounced_step_is_not_counted_as_pending() {
    let mut events = sample_runs::cut_short();
    let Some(EventKind::RunStarted(run)) = events.first_mut().map(|event| &mut event.kind) else { panic!("no start") };
    // As with `--until`: steps that always run are not announced.
    assert_eq!(run.steps.pop().as_deref(), Some("tidy"));
    let drawn = draw(&events, 80, Painter::PLAIN);
    assert!(drawn.contains("3 of 5 steps"), "{drawn}");
}

#[test]
fn no_line_is_wider_than_the_width() {
    for (name, events) in sample_runs::all() {
        for width in 40..=130 {
            for line in draw(&events, width, Painter::PLAIN).lines() {
                assert!(text::columns(line) <= width, "{name} at {width}: {} columns\n{line}", text::columns(line));
                assert_eq!(line.trim_end(), line, "{name} at {width} has spaces at the end of a line");
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for (name, events) in sample_runs::all() {
        let coloured = draw(&events, 80, Painter::new(true));
        assert_eq!(console_free(&coloured), draw(&events, 80, Painter::PLAIN), "{name}");
    }
}

#[test]
fn control_characters_of_a_service_have_no_effect() {
    assert!(!draw(&sample_runs::error(), 80, Painter::PLAIN).contains('\u{1b}'));
}

/// Removes lab's own escape codes.
fn console_free(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        rest = rest[at..].split_once('m').map_or("", |(_, tail)| tail);
    }
    out + rest
}
