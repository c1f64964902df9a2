//! Structure, escaping and blindness of the pages.

use std::collections::BTreeSet;

use lab_drill::brief::Brief;
use lab_drill::choice::Secret;
use lab_drill::debrief::Debrief;
use lab_drill::event::Event as DrillEvent;
use lab_scenario::{LoadOptions, Source, library, load};
use maud::Markup;

use super::*;
use crate::event::{Event, Scene};
use crate::fixture::{Fixture, HOSTILE};
use crate::state::State;

const SCENES: [Scene; 6] =
    [Scene::Join, Scene::Tiles, Scene::Outage, Scene::Top, Scene::Seat { seat: 1 }, Scene::Debrief];

fn joined(fragments: &[Fragment]) -> String {
    fragments.iter().map(|fragment| fragment.html.as_str()).collect()
}

/// Everything that participants and the projector can see.
fn open_pages(fixture: &mut Fixture) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let numbers: Vec<_> = fixture.room.seats.keys().copied().collect();
    for number in numbers {
        let state = fixture.state();
        pages.push((format!("seat {number}"), seat::document(&state, number).into_string()));
        pages.push((format!("fragments of seat {number}"), joined(&seat::fragments(&state, number))));
    }
    for scene in SCENES {
        let state = fixture.scene(scene).state();
        pages.push((format!("board {scene:?}"), board::document(&state).into_string()));
        pages.push((format!("fragments of board {scene:?}"), joined(&board::fragments(&state))));
    }
    let state = fixture.state();
    pages.push(("join".to_owned(), join::document(&state, "otter-1", Some("wrong")).into_string()));
    pages
}

/// The incidents of the library.
fn briefs() -> Vec<Brief> {
    let plans = library::names().filter_map(|name| {
        let plan = load(&Source::Library(name.to_owned()), &LoadOptions::default()).ok()?;
        lab_runner::drill::brief(&plan)
    });
    plans.collect()
}

#[test]
fn nothing_hidden_is_shown_before_the_reveal() {
    let briefs = briefs();
    assert!(briefs.len() > 10, "{}", briefs.len());
    for brief in &briefs {
        let mut fixture = Fixture::with_brief(8, brief);
        let mut hidden =
            vec![brief.scenario.clone(), brief.title.clone(), brief.solution.clone(), brief.symptom.clone()];
        hidden.extend(brief.lessons.iter().cloned());
        hidden.extend(brief.wrong_fixes.iter().map(|fix| fix.why.clone()));
        hidden.extend(["mitigated", "masked"].map(str::to_owned));
        for (page, html) in open_pages(&mut fixture) {
            for text in hidden.iter().filter(|text| !text.is_empty()) {
                let escaped = html! { (text) }.into_string();
                assert!(!html.contains(&escaped), "{page} of {} shows {text:?}", brief.scenario);
            }
            assert!(!html.contains("Top") && !html.contains(" points<"), "{page}");
        }
        // The hints that are not open.
        for hint in brief.hints.iter().skip(1) {
            for (page, html) in open_pages(&mut fixture) {
                let escaped = html! { (hint.text) }.into_string();
                assert!(!html.contains(&escaped), "{page} of {} shows {:?}", brief.scenario, hint.text);
            }
        }
    }
}

#[test]
fn a_seat_that_is_over_does_not_show_its_result_before_the_reveal() {
    let fixture = Fixture::with_drill(8);
    let page = seat::document(&fixture.state(), 1).into_string();
    assert!(page.contains("Your drill is over") && page.contains("state finished"));
    assert!(!page.contains("/seat/debrief") && !page.contains("state solved"));
}

#[test]
fn the_reveal_shows_the_incident_and_the_best() {
    let mut fixture = Fixture::with_drill(8);
    fixture.reveal();
    let debrief = joined(&board::fragments(&fixture.scene(Scene::Debrief).state()));
    assert!(
        debrief.contains("502 after a change of the gateway&#39;s upstream") || debrief.contains("502 after a change")
    );
    assert!(debrief.contains("gateway / address or path wrong") && debrief.contains("1 of 6 seats"), "{debrief}");
    let top = joined(&board::fragments(&fixture.scene(Scene::Top).state()));
    assert!(top.contains("Ada"), "{top}");
    assert!(top.matches("<li>").count() <= 3, "at most half of the six seats: {top}");
    let page = seat::document(&fixture.state(), 1).into_string();
    assert!(page.contains("/seat/debrief"), "{page}");
}

#[test]
fn text_of_participants_and_commands_is_escaped_everywhere() {
    let mut fixture = Fixture::with_drill(8);
    let text = || HOSTILE.to_owned();
    for seat in [2, 3] {
        fixture.event(Event::Named { seat, name: text() });
        fixture.line(seat, HOSTILE, Some(1), HOSTILE);
        fixture.event(Event::Said { seat: Some(seat), text: text() });
        fixture.drill_event(seat, DrillEvent::Message { from: text(), text: text() });
        fixture.drill_event(seat, DrillEvent::Changed { subject: "app".to_owned(), revision: 9, text: text() });
    }
    fixture.event(Event::Said { seat: None, text: text() });
    fixture.event(Event::Failed { seat: 7, reason: text() });
    let mut pages = open_pages(&mut fixture);
    let seen = pages.iter().filter(|(_, html)| html.contains("&lt;script&gt;alert(1)&lt;/script&gt;")).count();
    assert!(seen > 8, "the text is on many pages: {seen}");
    let state = fixture.state();
    pages.push(("join".to_owned(), join::document(&state, HOSTILE, Some(HOSTILE)).into_string()));
    pages.push(("message".to_owned(), message(HOSTILE, HOSTILE, "/").into_string()));
    pages.push(("desk".to_owned(), desk::document(&state).into_string()));
    pages.push(("desk seat".to_owned(), desk::seat(&state, 2).into_string()));
    pages.push(("cards".to_owned(), cards::document(&state).into_string()));
    pages.push(("export".to_owned(), crate::export::html(&state).into_string()));
    for (page, html) in &pages {
        assert!(!html.contains("<script>"), "{page}");
        assert!(!html.contains('\u{1b}'), "{page} has an escape sequence");
        assert!(!html.contains("value=\"<"), "{page}");
    }
}

/// All documents that have forms.
fn documents(state: &State<'_>) -> Vec<(&'static str, Markup)> {
    vec![
        ("join", join::document(state, "", None)),
        ("seat", seat::document(state, 2)),
        ("board", board::document(state)),
        ("desk", desk::document(state)),
        ("desk seat", desk::seat(state, 2)),
        ("cards", cards::document(state)),
    ]
}

/// Values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let key = format!(" {name}=\"");
    html.match_indices(&key).filter_map(|(at, _)| html[at + key.len()..].split('"').next()).collect()
}

#[test]
fn every_control_has_a_label_and_every_id_is_unique() {
    let fixture = Fixture::with_drill(8);
    for (page, markup) in documents(&fixture.state()) {
        let html = markup.into_string();
        let ids = attributes(&html, "id");
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{page}: an id is used twice");
        let labels: BTreeSet<&str> = attributes(&html, "for").into_iter().collect();
        for tag in ["<input", "<select", "<textarea"] {
            for (at, _) in html.match_indices(tag) {
                let control = html[at..].split('>').next().unwrap();
                let id = attributes(control, "id");
                // A checkbox is inside of its label.
                let labelled =
                    id.first().is_some_and(|id| labels.contains(id)) || control.contains("type=\"checkbox\"");
                assert!(labelled || control.contains("type=\"hidden\""), "{page}: no label for {control}");
            }
        }
        for name in ["aria-labelledby", "aria-describedby", "for", "list"] {
            for reference in attributes(&html, name) {
                assert!(unique.contains(reference), "{page}: {name}={reference}");
            }
        }
        assert_eq!(html.matches("<h1").count(), 1, "{page}");
        assert!(html.contains("<html lang=\"en\">") && html.contains("<main"), "{page}");
        let inline = [" style=", "<style", " onclick", "javascript:", "http-equiv"];
        assert!(inline.iter().all(|part| !html.contains(part)), "{page}: the content security policy forbids it");
        let external = attributes(&html, "src").into_iter().chain(attributes(&html, "href"));
        assert!(external.into_iter().all(|address| address.starts_with(['/', '#'])), "{page}");
    }
}

#[test]
fn every_fragment_has_an_element_and_no_form() {
    let fixture = Fixture::with_drill(8);
    let state = fixture.state();
    let pages = [
        (seat::document(&state, 2), seat::fragments(&state, 2)),
        (board::document(&state), board::fragments(&state)),
        (desk::document(&state), desk::fragments(&state)),
    ];
    for (document, fragments) in pages {
        let html = document.into_string();
        for fragment in fragments {
            assert!(attributes(&html, "id").contains(&fragment.id), "{}", fragment.id);
            assert!(html.contains(&fragment.html), "{} is in the document", fragment.id);
            assert!(!fragment.html.contains("<form") && !fragment.html.contains("<input"), "{}", fragment.id);
        }
    }
}

#[test]
fn a_seat_and_a_room_that_are_missing_have_pages_too() {
    let fixture = Fixture::empty(2);
    let state = fixture.state();
    assert!(seat::document(&state, 99).into_string().contains("No such seat"));
    assert_eq!(seat::fragments(&state, 99), []);
    assert!(desk::seat(&state, 99).into_string().contains("no seat 99"));
    for (page, markup) in documents(&state) {
        assert!(!markup.into_string().is_empty(), "{page}");
    }
    let page = seat::document(&state, 1).into_string();
    assert!(page.contains("Your lab is starting"), "{page}");
}

#[test]
fn a_pause_and_a_frozen_board_are_shown() {
    let mut fixture = Fixture::with_drill(8);
    fixture.event(Event::Paused);
    fixture.event(Event::Frozen { frozen: true });
    let state = fixture.state();
    let clock = |fragments: Vec<Fragment>, id: &str| fragments.into_iter().find(|part| part.id == id).unwrap().html;
    assert!(clock(board::fragments(&state), "bar").contains("paused"));
    assert!(clock(board::fragments(&state), "bar").contains("as of"));
    let seat = clock(seat::fragments(&state, 2), "clock");
    assert!(seat.contains("paused") && !seat.contains("data-runs"), "{seat}");
    assert!(clock(desk::fragments(&state), "summary").contains("paused since"));
}

#[test]
fn the_assets_of_every_page_exist() {
    let fixture = Fixture::with_drill(8);
    let mut fixture_pages: Vec<String> =
        documents(&fixture.state()).into_iter().map(|(_, markup)| markup.into_string()).collect();
    let drill = fixture.drills["drill-1"].clone();
    let debrief = Debrief::new(&drill, &Secret::from_seed(7));
    let page = seat::debrief(&fixture.state(), 1, &debrief).into_string();
    assert!(!page.contains(" style=") && !page.contains("<style") && page.contains("Back to your seat"), "{page}");
    assert!(page.contains("Score") && page.contains("Lessons"));
    fixture_pages.push(page);
    for html in &fixture_pages {
        let used = attributes(html, "src").into_iter().chain(attributes(html, "href"));
        for path in used.filter_map(|path| path.strip_prefix("/assets/")) {
            let (kind, content) = assets::find(path).unwrap_or_else(|| panic!("{path} does not exist"));
            assert!(!kind.is_empty() && !content.is_empty(), "{path}");
        }
    }
    assert_eq!(assets::find("../room.css"), None);
    let script = std::str::from_utf8(assets::find("room.js").unwrap().1).unwrap();
    assert!(!script.contains("http:") && !script.contains("https:"));
}

#[test]
fn a_card_has_address_code_and_qr_code() {
    let fixture = Fixture::empty(3);
    let html = cards::document(&fixture.state()).into_string();
    for seat in &fixture.config.seats {
        assert!(html.contains(seat.code.as_str()), "{html}");
        assert!(html.contains(&format!("QR code of http://192.168.1.7:7000/join/{}", seat.code)));
    }
    assert_eq!(html.matches("<article").count(), 4);
}
