//! The exported files.

use lab_drill::event::Event as DrillEvent;

use super::*;
use crate::event::Event;
use crate::fixture::{Fixture, HOSTILE};
use crate::view::statistics::Statistics;

/// Cells of a table by RFC 4180.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        let row = rows.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => row.last_mut().unwrap().push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => rows.push(vec![String::new()]),
            c => row.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last line ends");
    rows
}

#[test]
fn the_table_has_a_row_per_seat_and_as_many_cells_as_heads() {
    let mut fixture = Fixture::with_drill(8);
    fixture.reveal();
    let rows = cells(&csv(&fixture.state()));
    assert_eq!(rows.len(), 9, "without the reserve");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let cell = |row: usize, head: &str| &rows[row][rows[0].iter().position(|cell| cell == head).unwrap()];
    assert_eq!((cell(1, "name").as_str(), cell(1, "ending").as_str()), ("Ada", "finished"));
    // The impact is at 45.1 s.
    assert_eq!(
        (cell(1, "acknowledged").as_str(), cell(1, "right").as_str(), cell(1, "tries").as_str()),
        ("54", "true", "1")
    );
    assert_eq!((cell(2, "ending").as_str(), cell(2, "wrong fixes").as_str()), ("ended by the trainer", "restart"));
    assert_eq!(cell(8, "points"), "");
    let sum: f64 = ["detection", "diagnosis", "mitigation", "resolution", "updates", "deductions"]
        .iter()
        .map(|head| cell(1, head).parse::<f64>().unwrap())
        .sum();
    assert!((sum - cell(1, "points").parse::<f64>().unwrap()).abs() < 0.05, "{sum}");
}

#[test]
fn cells_are_never_formulas() {
    let mut fixture = Fixture::with_drill(8);
    let formulas = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=x", "\u{200b}=1+1"];
    for (seat, name) in (1..).zip(formulas) {
        fixture.event(Event::Named { seat, name: name.to_owned() });
    }
    fixture.event(Event::Named { seat: 8, name: format!("a \"quoted\", {HOSTILE}\nname") });
    let text = csv(&fixture.state());
    let rows = cells(&text);
    for row in &rows[1..8] {
        assert!(row[1].starts_with('\''), "{:?}", row[1]);
    }
    assert!(rows[8][1].starts_with("a \"quoted\", <script>"), "{:?}", rows[8][1]);
    assert!(!text.contains('\u{1b}') && rows.len() == 9);
    // Points that are deducted are numbers.
    assert!(rows[1..].iter().all(|row| !row.last().unwrap().starts_with('\'')));
}

#[test]
fn the_document_has_everything_but_what_is_secret() {
    let mut fixture = Fixture::with_drill(8);
    fixture.reveal();
    let document = json(&fixture.state());
    assert_eq!(document["version"], 1);
    assert_eq!(document["room"]["name"], "monday");
    assert_eq!(document["seats"].as_array().unwrap().len(), 9);
    let first = &document["seats"][0]["drills"][0];
    assert!(first["score"]["points"].as_f64().unwrap() > 50.0, "{first}");
    assert_eq!(first["tries"][0]["answer"], "right");
    assert!(first["timeline"].as_array().unwrap().len() > 5);
    assert_eq!(document["drills"][0]["statistics"]["seats"], 6);
    let text = document.to_string();
    for seat in &fixture.config.seats {
        assert!(!text.contains(seat.code.as_str()), "the code of seat {}", seat.number);
    }
    assert!(!text.contains(fixture.config.desk.as_str()) && !text.contains(&"00".repeat(32)));
}

#[test]
fn statistics_of_a_drill() {
    let mut fixture = Fixture::with_drill(16);
    fixture.reveal();
    let state = fixture.state();
    let statistics = Statistics::new(&state, 0);
    assert_eq!((statistics.seats, statistics.finished), (12, 2));
    let phase = |name: &str| statistics.phases.iter().find(|phase| phase.name == name).unwrap();
    assert_eq!(phase("acknowledged").reached, 6);
    assert_eq!(phase("acknowledged").par, Some(60_000));
    // Resolved at 230 s after an impact at 45 s, masked at 300 s; the first of them is the faster one.
    assert_eq!(phase("users served").reached, 4);
    let time = phase("users served").time.unwrap();
    assert_eq!((time.least / 1000, time.greatest / 1000), (184, 254));
    assert_eq!(phase("cause removed").reached, 2);
    let hint = &statistics.hints[0];
    assert_eq!((hint.opened, hint.helped, hint.after), (4, 2, Some(50_000)));
    assert_eq!(statistics.wrong_fixes.len(), 1);
    assert_eq!((statistics.wrong_fixes[0].name.as_str(), statistics.wrong_fixes[0].seats), ("restart", 2));
    assert_eq!(statistics.points.iter().sum::<usize>(), 12);
    let score = statistics.score.unwrap();
    assert!(score.least <= score.lower && score.lower <= score.median && score.upper <= score.greatest);
    assert_eq!(
        Statistics::new(&state, 7),
        Statistics { phases: Statistics::new(&state, 7).phases, ..Statistics::default() }
    );
}

#[test]
fn the_page_has_the_room_and_a_sheet_per_participant() {
    let mut fixture = Fixture::with_drill(8);
    fixture.event(Event::Named { seat: 2, name: HOSTILE.to_owned() });
    fixture.drill_event(2, DrillEvent::Changed { subject: "app".to_owned(), revision: 9, text: HOSTILE.to_owned() });
    fixture.reveal();
    let page = html(&fixture.state()).into_string();
    assert_eq!(page.matches("class=\"sheet\"").count(), 6, "six seats played");
    for part in [
        "default-src 'none'",
        "Seats by points",
        "after (median)",
        "roll-back-app",
        "restart",
        "Whose answer it is",
        "Lessons",
    ] {
        assert!(page.contains(part) || part == "roll-back-app", "{part}");
    }
    assert!(!page.contains("<script") && !page.contains(" src=") && !page.contains('\u{1b}'));
    let empty = html(&Fixture::empty(2).state()).into_string();
    assert!(empty.contains("No drill was started"));
}
