//! The lines of a console with their output.

use maud::{Markup, html};

use super::text::foreign;
use crate::fold::Command;

/// Characters of an output that are announced to screen readers.
const ANNOUNCED: usize = 300;

/// Lines with their output, the last one at the end.
pub(super) fn lines(commands: &[Command]) -> Markup {
    html! {
        @if commands.is_empty() {
            p.none { "Nothing was run yet. Try " code { "help" } " or " code { "status" } "." }
        }
        @for command in commands {
            div.command {
                pre.line { span.prompt aria-hidden="true" { "$ " } (foreign(&command.line)) }
                @match &command.output {
                    None => p.busy { "running" },
                    Some((exit, text)) => {
                        @if !text.trim().is_empty() { pre.output { (foreign(text.trim_end())) } }
                        @match exit {
                            Some(0) => {},
                            Some(exit) => p.exit { "exit code " (exit) },
                            None => p.exit { "ended before it was complete: it took too long, or the room's server stopped" },
                        }
                    }
                }
            }
        }
    }
}

/// The last result, for a live region: replacing all lines would read all of them again.
pub(super) fn announcement(commands: &[Command]) -> Markup {
    let last = commands.iter().rev().find_map(|command| Some((command, command.output.as_ref()?)));
    html! {
        @if let Some((command, (exit, text))) = last {
            (foreign(&command.line)) ": "
            @match exit {
                Some(0) => {},
                Some(exit) => { "exit code " (exit) ". " },
                None => "ended. ",
            }
            @let text: String = foreign(text).chars().take(ANNOUNCED).collect();
            (text)
        }
    }
}
