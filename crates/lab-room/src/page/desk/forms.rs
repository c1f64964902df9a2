//! Forms of the desk.

use maud::{Markup, html};

use crate::config::SeatNumber;
use crate::page::confirm_without_script;
use crate::page::text::foreign;
use crate::state::State;

fn answer() -> Markup {
    html! { output.answer role="status" {} }
}

/// A form that is one button.
fn button(route: &str, class: &str, words: &str) -> Markup {
    html! { form.(class) method="post" action=(route) { button type="submit" { (words) } (answer()) } }
}

/// A button that asks first.
fn careful(route: &str, class: &str, words: &str, question: &str) -> Markup {
    html! {
        form.(class) method="post" action=(route) data-ask=(question) {
            (confirm_without_script("I am sure"))
            button.danger type="submit" { (words) }
            (answer())
        }
    }
}

/// Choice of a seat. `all` is the text for all of them, if that is possible.
fn seats(state: &State<'_>, id: &str, all: Option<&str>) -> Markup {
    html! {
        select id=(id) name="seat" required[all.is_none()] {
            @match all {
                Some(all) => option value="" { (all) },
                None => option value="" { "Choose a seat" },
            }
            @for seat in state.room.seats.values() { option value=(seat.number) { (foreign(&seat.numbered_label())) } }
        }
    }
}

pub(super) fn drill(state: &State<'_>) -> Markup {
    html! {
        div.buttons {
            (careful("/desk/end", "if-drill", "End the drill", "End the drill of every seat? It cannot be continued."))
            (button("/desk/pause", "if-running", "Pause"))
            (button("/desk/resume", "if-paused", "Resume"))
            (careful("/desk/reveal", "if-hidden", "Reveal", "Show the incident, the points and the debriefs to all participants?"))
        }
        form.grid.if-no-drill method="post" action="/desk/drill" {
            label for="scenario" { "Incident" }
            input #scenario name="scenario" list="scenarios" autocomplete="off" spellcheck="false" placeholder="drawn by chance";
            datalist #scenarios { @for name in state.scenarios { option value=(name) {} } }
            label for="difficulty" { "Difficulty" }
            select #difficulty name="difficulty" {
                option value="" { "any, if it is drawn" }
                @for name in lab_drill::history::DIFFICULTIES { option value=(name) { (name) } }
            }
            label for="limit" { "Limit" }
            span.unit { input #limit name="limit" type="number" min="1" max="120" inputmode="numeric" aria-describedby="limit-unit"; " " span #limit-unit { "minutes, empty for none" } }
            label for="quiet" { "Quiet" }
            span.unit { input #quiet name="quiet" type="number" min="0" max="3600" inputmode="numeric" aria-describedby="quiet-unit"; " " span #quiet-unit { "seconds until the fault, empty for 30 to 180" } }
            label.check { input type="checkbox" name="coach" value="true"; " With a coach: verdicts and wrong fixes at once" }
            button.primary type="submit" { "Start the drill" }
            (answer())
        }
    }
}

pub(super) fn say(state: &State<'_>) -> Markup {
    html! {
        form.grid method="post" action="/desk/say" data-clear {
            h3 { "Say something yourself" }
            label for="say-seat" { "To" } (seats(state, "say-seat", Some("all seats")))
            label for="say-text" { "Text" }
            input #say-text name="text" required maxlength="1000" autocomplete="off";
            button type="submit" { "Say it" }
            (answer())
        }
    }
}

pub(super) fn inject(state: &State<'_>) -> Markup {
    html! {
        form.grid method="post" action="/desk/inject" data-clear {
            h3 { "Send a message of the story" }
            label for="inject-seat" { "To" } (seats(state, "inject-seat", Some("all seats")))
            label for="from" { "From" }
            input #from name="from" required maxlength="60" list="senders" autocomplete="off" value="the manager";
            datalist #senders { @for name in ["the customer", "the manager", "the support lead"] { option value=(name) {} } }
            label for="inject-text" { "Text" }
            input #inject-text name="text" required maxlength="1000" autocomplete="off";
            button type="submit" { "Send it" }
            (answer())
        }
    }
}

pub(super) fn one_seat(state: &State<'_>) -> Markup {
    html! {
        form.grid method="post" action="/desk/extend" {
            h3 { "More time" }
            label for="extend-seat" { "Seat" } (seats(state, "extend-seat", None))
            label for="minutes" { "Minutes" }
            input #minutes name="minutes" type="number" min="1" max="120" value="5" required inputmode="numeric";
            button type="submit" { "Extend" }
            (answer())
        }
        form.grid method="post" action="/desk/reset" data-ask="Reset this seat? Its lab starts again, and its drill is given up and begins again." {
            h3 { "Start again" }
            label for="reset-seat" { "Seat" } (seats(state, "reset-seat", None))
            (confirm_without_script("I am sure"))
            button.danger type="submit" { "Reset" }
            (answer())
        }
    }
}

/// Buttons for one seat, on its page.
pub(super) fn this_seat(number: SeatNumber) -> Markup {
    let hidden = || html! { input type="hidden" name="seat" value=(number); };
    html! {
        form.grid method="post" action="/desk/say" data-clear {
            (hidden())
            label for="say-text" { "Say" }
            input #say-text name="text" required maxlength="1000" autocomplete="off";
            button type="submit" { "Say it" }
            (answer())
        }
        div.buttons {
            form method="post" action="/desk/extend" {
                (hidden()) input type="hidden" name="minutes" value="5";
                button type="submit" { "Extend by 5 minutes" } (answer())
            }
            form method="post" action="/desk/scene" {
                (hidden()) input type="hidden" name="scene" value="seat";
                button type="submit" { "Show on the board" } (answer())
            }
            form method="post" action="/desk/reset" data-ask="Reset this seat? Its lab starts again, and its drill is given up and begins again." {
                (hidden()) (confirm_without_script("I am sure"))
                button.danger type="submit" { "Reset" } (answer())
            }
        }
    }
}

pub(super) fn board(state: &State<'_>) -> Markup {
    let scenes =
        [("join", "Join"), ("tiles", "Tiles"), ("outage", "Outage"), ("top", "The best"), ("debrief", "Debrief")];
    html! {
        form method="post" action="/desk/scene" {
            div.buttons { @for (value, words) in scenes { button type="submit" name="scene" value=(value) { (words) } } }
            (answer())
        }
        form.grid method="post" action="/desk/scene" {
            input type="hidden" name="scene" value="seat";
            label for="scene-seat" { "One seat" } (seats(state, "scene-seat", None))
            button type="submit" { "Show it" }
            (answer())
        }
        div.buttons {
            form.if-live method="post" action="/desk/freeze" {
                input type="hidden" name="frozen" value="true"; button type="submit" { "Freeze" } (answer())
            }
            form.if-frozen method="post" action="/desk/freeze" {
                input type="hidden" name="frozen" value="false"; button type="submit" { "Thaw" } (answer())
            }
        }
    }
}
