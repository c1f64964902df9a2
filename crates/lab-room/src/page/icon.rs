//! Icons of the states of seats. Each has its own shape, so that colour is never the only difference.

use maud::{Markup, PreEscaped, html};

use crate::view::Outside;

/// Icon of a state. It is always beside the state's word, so screen readers skip it.
pub(super) fn outside(state: Outside) -> Markup {
    let path = match state {
        // A dashed circle, an hourglass, a triangle, a dot.
        Outside::Free => r#"<circle cx="8" cy="8" r="6" stroke-dasharray="2.5 2.2"/>"#,
        Outside::Starting => r#"<path d="M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12"/>"#,
        Outside::Problem => r#"<path d="M8 2l6.5 12h-13zM8 6.5v3.5M8 12v.2"/>"#,
        Outside::Ready => r#"<circle cx="8" cy="8" r="6"/><circle cx="8" cy="8" r="1.5"/>"#,
        // Three dots, a tick, a cross, a wrench, a flag, a tick in a circle.
        Outside::Waiting => r#"<path d="M3 8v.2M8 8v.2M13 8v.2"/>"#,
        Outside::Served => r#"<path d="M2.5 8.5l4 4 7-9"/>"#,
        Outside::Failing => r#"<path d="M3 3l10 10M13 3L3 13"/>"#,
        Outside::Working => {
            r#"<path d="M2.5 13.5l6-6M8 4.5a3.2 3.2 0 0 0 3.5 3.5 3.2 3.2 0 0 0 2.7-4l-2 2-1.8-.4-.4-1.8 2-2a3.2 3.2 0 0 0-4 2.7z"/>"#
        }
        Outside::Finished => r#"<path d="M4 14V2h8l-2 3 2 3H4"/>"#,
        Outside::Solved => r#"<circle cx="8" cy="8" r="6.3"/><path d="M5 8.3l2.2 2.2L11 6"/>"#,
    };
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" { (PreEscaped(path)) } }
}

/// A raised hand.
pub(super) fn hand() -> Markup {
    let path = r#"<path d="M5 9V4a1 1 0 0 1 2 0v4V2.8a1 1 0 0 1 2 0V8 3.5a1 1 0 0 1 2 0V9l1-1.6a1 1 0 0 1 1.8.9L11.6 13c-.5 1-1.300 1.500-2.600 1.500H8c-1.800 0-3-1.200-3-3z"/>"#;
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" { (PreEscaped(path)) } }
}

/// CSS class of a state.
pub(super) fn class(state: Outside) -> &'static str {
    match state {
        Outside::Free => "free",
        Outside::Starting => "starting",
        Outside::Problem => "problem",
        Outside::Ready => "ready",
        Outside::Waiting => "waiting",
        Outside::Served => "served",
        Outside::Failing => "failing",
        Outside::Working => "working",
        Outside::Finished => "finished",
        Outside::Solved => "solved",
    }
}

/// Icon and word of a state.
pub(super) fn badge(state: Outside) -> Markup {
    html! { span.state.(class(state)) { (outside(state)) " " (state.word()) } }
}
