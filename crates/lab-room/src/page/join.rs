//! The page on which a participant joins with the code of a seat.

use maud::{Markup, html};

use super::Frame;
use super::text::foreign;
use crate::config::describe;
use crate::state::State;

/// The page, with a code filled in and the reason why the last one was refused.
pub fn document(state: &State<'_>, code: &str, error: Option<&str>) -> Markup {
    let closed = state.room.closed.is_some();
    let body = html! {
        main.narrow {
            p.room { "lab · " (state.config.title()) }
            h1 { "Take your seat" }
            @if closed {
                p.error role="alert" { "This room is closed." }
            }
            form method="post" action="/join" data-plain {
                label for="code" { "Code on your card" }
                input #code name="code" value=(foreign(code)) placeholder="otter-4182" required autofocus maxlength="40" size="16"
                    autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck="false" enterkeyhint="go"
                    aria-invalid[error.is_some()] aria-describedby="code-help";
                p #code-help.help {
                    @match error {
                        Some(error) => span.error role="alert" { (foreign(error)) },
                        None => "A word and four digits. The same code gives you the same seat on any device.",
                    }
                }
                button.primary type="submit" { "Join" }
            }
        }
    };
    Frame { title: &format!("Join {}", describe(&state.config.name)), class: "join", events: None, refresh: None }
        .document(&body)
}
