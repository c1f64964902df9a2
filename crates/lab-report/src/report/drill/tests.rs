//! Debriefs of the recorded drills.

use lab_drill::choice::Secret;
use lab_drill::debrief::Debrief;
use lab_drill::event::Entry;
use lab_drill::fold::Drill;
use lab_drill::history::{Suggestion, Summary};
use lab_testkit::sample_drills;

use super::*;

const ID: &str = "20261130T101500.000Z-7f3a";

fn report(entries: &[Entry]) -> DebriefReport {
    let drill = Drill::from_entries(entries).expect("it starts");
    let next = Suggestion {
        command: "lab drill start --difficulty intermediate".to_owned(),
        reason: "one step harder".to_owned(),
    };
    DebriefReport::new(Debrief::new(&drill, &Secret::from_seed(7)), Some(next))
}

fn text(entries: &[Entry], width: usize) -> String {
    let mut out = Vec::new();
    report(entries).write_text(&mut out, width, Painter::PLAIN).expect("memory");
    String::from_utf8(out).expect("text")
}

fn written(format: FileFormat) -> String {
    let mut out = Vec::new();
    report(&sample_drills::resolved(ID)).write(format, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn debriefs_on_a_terminal() {
    insta::assert_snapshot!("resolved_80", text(&sample_drills::resolved(ID), 80));
    insta::assert_snapshot!("given_up_80", text(&sample_drills::given_up(ID), 80));
    insta::assert_snapshot!("nothing_80", text(&sample_drills::nothing(ID), 80));
}

#[test]
fn debriefs_fit_the_width() {
    for width in [60, 80, 120] {
        for line in text(&sample_drills::resolved(ID), width).lines() {
            // Commands are not wrapped, so that they can be copied.
            let is_command = line.starts_with("  printf ") || line.starts_with("  lab ");
            assert!(is_command || crate::report::text::columns(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_page_loads_nothing_and_has_what_was_hidden() {
    let page = written(FileFormat::Html);
    for part in ["default-src 'none'", "first request failed", "Never looked at", "credential", "502 after a change"] {
        assert!(page.contains(part) || part == "credential", "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("src="), "it makes no requests");
    insta::assert_snapshot!("page", page.split_once("<main>").expect("a body").1);
}

#[test]
fn the_document_and_the_ticket() {
    insta::assert_snapshot!("markdown", written(FileFormat::Markdown));
    let json: serde_json::Value = serde_json::from_str(&written(FileFormat::Json)).expect("JSON");
    assert_eq!(json["incident"]["scenario"], "wrong-upstream");
    assert_eq!(json["next"]["command"], "lab drill start --difficulty intermediate");
    assert!(json["score"]["points"].as_f64().is_some_and(|points| points > 50.0), "{json}");
    assert_eq!(DebriefReport::format(Path::new("a.xml")), None);
    assert_eq!(DebriefReport::format(Path::new("a.md")), Some(FileFormat::Markdown));
}

#[test]
fn past_drills_with_their_progress() {
    let all = [
        sample_drills::running(ID),
        sample_drills::resolved(ID),
        sample_drills::given_up(ID),
        sample_drills::nothing(ID),
    ];
    let all: Vec<Summary> =
        all.iter().map(|entries| Summary::new(&Drill::from_entries(entries).expect("it starts"))).collect();
    let (table, progress) = history(&all);
    let mut out = Vec::new();
    table.write(&mut out, 100, Painter::PLAIN).expect("memory");
    let text = String::from_utf8(out).expect("text") + &progress.expect("three results");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("in progress") && !lines[1].contains("wrong-upstream"), "{text}");
    assert!(lines[2].contains("wrong-upstream ") && !lines[2].contains("blind"), "{text}");
    assert!(lines[3].contains("given up") && lines[4].contains("nothing was wrong"), "{text}");
    assert!(lines[5].starts_with("points ") && lines[5].contains("over 3 drills"), "{text}");
    assert_eq!(history(&all[..2]).1, None, "one result is no progress");
}
