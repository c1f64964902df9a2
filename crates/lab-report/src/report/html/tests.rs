//! The page is well-formed for every recorded run, loads and runs nothing, and stays small for long runs.

use super::page;
use crate::report::journal::Journal;
use lab_core::event::Sample;
use lab_testkit::sample_runs;

fn journal(events: Vec<lab_core::event::Event>) -> Journal {
    Journal::from_events(&sample_runs::sampled(events)).expect("a run")
}

/// Names of the elements in order, `/name` for end tags, without void elements.
fn elements(page: &str) -> Vec<String> {
    let void = ["meta", "!DOCTYPE", "path", "rect"];
    let tag = |part: &str| part.split(|c: char| c.is_whitespace() || c == '>').next().unwrap_or("").to_owned();
    page.split('<').skip(1).map(tag).filter(|name| !void.contains(&name.trim_end_matches('/'))).collect()
}

#[test]
fn every_run_is_a_complete_page() {
    for (name, events) in sample_runs::all() {
        let page = page(&journal(events)).into_string();
        let mut open: Vec<String> = Vec::new();
        for element in elements(&page) {
            match element.strip_prefix('/') {
                Some(ended) => assert_eq!(open.pop().as_deref(), Some(ended), "{name}"),
                None => open.push(element),
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
        for section in ["What customers saw", "Timeline", "Repeat the run"] {
            assert!(page.contains(section), "{name}: {section}");
        }
    }
}

#[test]
fn the_page_of_a_run() {
    let page = page(&journal(sample_runs::rotate_key())).into_string();
    let body = page.split_once("<body>").expect("it has a body").1;
    insta::assert_snapshot!(body.replace("><", ">\n<"));
}

#[test]
fn alerts_are_drawn_and_described() {
    let page = page(&journal(sample_runs::alerted())).into_string();
    // Of 180 s on 1000 units: pending from 76.2 s, firing from 86.2 s to 136.2 s; on each of three charts.
    for (class, count) in [("pending", 3), ("firing", 3)] {
        assert_eq!(page.matches(&format!("<rect class=\"{class}\"")).count(), count, "{class}");
    }
    assert!(page.contains("AuthFailureRatioHigh fires from 1m 26s to 2m 16s."), "for screen readers");
    assert!(page.contains("alert firing") && page.contains("Time to detect"));
    let quiet = super::page(&journal(sample_runs::rotate_key())).into_string();
    assert!(!quiet.contains("alert firing") && !quiet.contains("Time to detect"));
}

#[test]
fn a_page_loads_and_runs_nothing() {
    for (name, events) in sample_runs::all() {
        let page = page(&journal(events)).into_string();
        for word in ["http:", "https:", "//", "<script", " src=", "url(", "@import", "<link", "javascript"] {
            assert!(!page.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn texts_of_services_are_escaped() {
    let mut journal = journal(sample_runs::rotate_key());
    let evil = "<img src=x onerror=alert(1)>`</style><script>";
    journal.title = evil.to_owned();
    journal.about.ticket = Some(evil.to_owned());
    journal.about.lessons = vec![evil.to_owned()];
    journal.steps[1].detail = Some(evil.to_owned());
    journal.steps[2].name = evil.to_owned();
    journal.steps[2].error = Some(evil.to_owned());
    journal.steps[2].samples[0].codes = [(evil.to_owned(), 3)].into();
    journal.parameters.insert(evil.to_owned(), evil.to_owned());
    let page = page(&journal).into_string();
    assert!(!page.contains("<img") && !page.contains("<script"));
    assert!(page.contains("&lt;img"));
}

#[test]
fn half_an_hour_of_samples_stays_small() {
    let mut journal = journal(sample_runs::rotate_key());
    let sample = |second: u32| Sample {
        at: f64::from(second),
        duration: 1.0,
        codes: [("200".to_owned(), u64::from(second % 37)), ("401".to_owned(), 3), ("503".to_owned(), 2)].into(),
        errors: [("timeout".to_owned(), u64::from(second % 5))].into(),
        latency_ms: journal.steps[0].latency_ms,
    };
    journal.steps[2].samples = (0..1_800).map(sample).collect();
    journal.duration = 1_800.0;
    let size = page(&journal).into_string().len();
    assert!(size < 200_000, "{size} bytes");
}
