//! Pages of a room. A page is a document with *fragments*: elements with an id whose content the server replaces while the
//! page is open. Forms are outside of the fragments, so that a fragment never replaces text that is being typed.
//!
//! Forms and their fields, all of them `application/x-www-form-urlencoded`:
//!
//! | route | fields |
//! | --- | --- |
//! | `POST /join` | `code` |
//! | `POST /seat/name` | `name` |
//! | `POST /seat/hand` | `up`: `true` or `false` |
//! | `POST /seat/ack`, `/seat/hint` | none; a hint is the first one that is not open |
//! | `POST /seat/diagnose` | `where`, `what`, and for a second fault `where2`, `what2`, which may be empty |
//! | `POST /seat/update` | `to`, `state`, `affected`, `since` and `next` in minutes, which may be empty, `text`, `confirm` |
//! | `POST /seat/console` | `line` |
//! | `POST /seat/finish` | `confirm` |
//! | `POST /desk/drill` | `scenario` or `difficulty`, or neither, `limit` in minutes, `quiet` in seconds, `coach`: `true` if set |
//! | `POST /desk/end`, `/desk/pause`, `/desk/resume`, `/desk/reveal` | `confirm` for `end` and `reveal` |
//! | `POST /desk/say` | `seat`, empty for all, and `text` |
//! | `POST /desk/inject` | `seat`, empty for all, `from` and `text` |
//! | `POST /desk/extend` | `seat`, `minutes` |
//! | `POST /desk/reset` | `seat`, `confirm` |
//! | `POST /desk/freeze` | `frozen`: `true` or `false` |
//! | `POST /desk/scene` | `scene`: `join`, `tiles`, `outage`, `top`, `seat` or `debrief`, and `seat` for one seat |
//!
//! The script sends forms with `Accept: application/json` and expects `{"ok": true}`, optionally with a `message` to show, or
//! `{"error": "…"}`. With `"confirm": true` beside the error, it asks whether to do it anyway and sends `confirm=yes`. Forms
//! that always ask do so before they are sent, and then contain `confirm=yes`.

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub mod assets;
pub mod board;
pub mod cards;
mod chart;
mod console;
pub mod desk;
mod icon;
pub mod join;
mod qr;
pub mod seat;
mod text;

/// Part of a page that is replaced while the page is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Id of the element, and name of the server-sent event.
    pub id: &'static str,
    /// Content of the element.
    pub html: String,
}

impl Fragment {
    fn new(id: &'static str, html: Markup) -> Self {
        Self { id, html: html.into_string() }
    }
}

/// Content of a fragment, to be placed into the element with its id.
fn content(fragments: &[Fragment], id: &str) -> Markup {
    let found = fragments.iter().find(|fragment| fragment.id == id);
    PreEscaped(found.map(|fragment| fragment.html.clone()).unwrap_or_default())
}

/// Frame of a page.
struct Frame<'a> {
    title: &'a str,
    /// Class of the body.
    class: &'static str,
    /// Route of the server-sent events, if the page has fragments.
    events: Option<&'static str>,
    /// Seconds after which a page without events loads its fragments again.
    refresh: Option<u32>,
}

impl Frame<'_> {
    fn document(&self, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) " · lab" }
                    link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                    link rel="stylesheet" href=(if self.class == "board" { "/assets/board.css" } else { "/assets/room.css" });
                    script src="/assets/room.js" defer {}
                }
                body class=(self.class) data-events=[self.events] data-refresh=[self.refresh] { (body) }
            }
        }
    }
}

/// A page with one message, such as the reason why a form was refused, and a link back.
pub fn message(title: &str, text: &str, back: &str) -> Markup {
    let (title, text) = (text::foreign(title), text::foreign(text));
    let body = html! {
        main.narrow {
            h1 { (title) }
            p.error role="alert" { (text) }
            p { a href=(back) { "Back" } }
        }
    };
    Frame { title: &title, class: "message", events: None, refresh: None }.document(&body)
}

/// Line about the connection, which the script fills.
fn connection() -> Markup {
    html! {
        p #connection role="status" {}
        noscript { p.notice { "Without JavaScript, this page does not follow what happens: reload it from time to time." } }
    }
}

/// A checkbox for a form that asks before it is sent, for browsers without the script.
fn confirm_without_script(text: &str) -> Markup {
    html! { noscript { label.check { input type="checkbox" name="confirm" value="yes" required; " " (text) } } }
}

#[cfg(test)]
mod tests;
