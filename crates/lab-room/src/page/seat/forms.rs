//! Forms of a participant's page.

use lab_core::diagnosis::{Cause, Location};
use maud::{Markup, html};

use crate::config::LONGEST_NAME;
use crate::page::confirm_without_script;
use crate::page::icon;
use crate::page::text::foreign;
use crate::view::seat::SeatView;

/// Line for the answer to a form.
fn answer() -> Markup {
    html! { output.answer role="status" {} }
}

/// Two forms for the hand. The style sheet shows the one that applies.
pub(super) fn hand() -> Markup {
    let one = |up: bool, class: &'static str, words: &str| {
        html! {
            form.(class) method="post" action="/seat/hand" {
                input type="hidden" name="up" value=(up);
                button type="submit" { (icon::hand()) " " (words) }
                (answer())
            }
        }
    };
    html! {
        div.hand { (one(true, "raise", "Raise hand")) (one(false, "lower", "Lower hand")) }
    }
}

pub(super) fn console() -> Markup {
    html! {
        form.console method="post" action="/seat/console" data-clear {
            label for="line" { "Command" }
            input #line name="line" required maxlength="2000" placeholder="status" autocomplete="off" autocapitalize="none"
                autocorrect="off" spellcheck="false" enterkeyhint="send";
            button.primary type="submit" { "Run" }
            (answer())
        }
    }
}

pub(super) fn acknowledge() -> Markup {
    html! {
        form method="post" action="/seat/ack" { button.primary type="submit" { "Acknowledge an incident" } (answer()) }
    }
}

pub(super) fn hint() -> Markup {
    html! {
        form.next-hint method="post" action="/seat/hint" { button type="submit" { "Open this hint" } (answer()) }
    }
}

/// The two fixed lists, twice: an optional second pair in every drill does not tell whether there are two faults.
pub(super) fn diagnosis() -> Markup {
    let location = |id: &str, required: bool| {
        html! {
            select id=(id) name=(id) required[required] {
                option value="" { (if required { "Choose a place" } else { "none" }) }
                @for one in Location::ALL { option value=(one.name()) { (one.name()) ": " (one.explanation()) } }
            }
        }
    };
    let cause = |id: &str, required: bool| {
        html! {
            select id=(id) name=(id) required[required] {
                option value="" { (if required { "Choose a cause" } else { "none" }) }
                @for one in Cause::ALL { option value=(one.name()) { (one.name()) ": " (one.explanation()) } }
            }
        }
    };
    html! {
        form.grid method="post" action="/seat/diagnose" {
            label for="where" { "Where" } (location("where", true))
            label for="what" { "What" } (cause("what", true))
            details.second {
                summary { "There is a second fault" }
                div.grid {
                    label for="where2" { "Where" } (location("where2", false))
                    label for="what2" { "What" } (cause("what2", false))
                }
            }
            button.primary type="submit" { "Submit the diagnosis" }
            (answer())
        }
    }
}

pub(super) fn update() -> Markup {
    let choice = |id: &str, options: &[(&str, &str)]| {
        html! {
            select id=(id) name=(id) required {
                option value="" { "Choose" }
                @for (value, text) in options { option value=(value) { (text) } }
            }
        }
    };
    html! {
        form.grid.update method="post" action="/seat/update" data-clear {
            label for="to" { "To" }
            (choice("to", &[("customers", "customers"), ("internal", "support and managers")]))
            label for="state" { "State" }
            (choice("state", &[
                ("investigating", "investigating: the cause is not known"),
                ("identified", "identified: the cause is known, requests still fail"),
                ("monitoring", "monitoring: requests succeed again, and you watch"),
                ("resolved", "resolved: it is over"),
            ]))
            label for="affected" { "Affected" }
            (choice("affected", &[("some", "some requests or customers"), ("everybody", "everybody"), ("nobody", "nobody")]))
            label for="since" { "Since" }
            span.unit { input #since name="since" type="number" min="0" max="600" inputmode="numeric" aria-describedby="since-unit"; " "
                span #since-unit { "minutes ago, if you know" } }
            label for="next" { "Next update" }
            select #next name="next" {
                option value="" { "not promised" }
                @for minutes in [5, 10, 15, 30] { option value=(minutes) { "within " (minutes) " minutes" } }
            }
            label for="text" { "Message" }
            input #text name="text" required maxlength="500" autocomplete="off" placeholder="What your readers see, and what you do";
            (confirm_without_script("Send it even if lab warns"))
            button.primary type="submit" { "Send the update" }
            (answer())
        }
    }
}

pub(super) fn finish() -> Markup {
    html! {
        p.help { "Finish when users have been served for ten seconds, the cause is gone and others know it. You cannot take it back." }
        form method="post" action="/seat/finish" data-ask="Finish your drill? You cannot take it back." {
            (confirm_without_script("I am sure"))
            button.danger type="submit" { "Finish the drill" }
            (answer())
        }
    }
}

pub(super) fn name(view: &SeatView<'_>) -> Markup {
    html! {
        form method="post" action="/seat/name" {
            label for="name" { "Name on the board and on the desk" }
            input #name name="name" value=(view.seat.name.as_deref().map(foreign).unwrap_or_default()) required maxlength=(LONGEST_NAME) autocomplete="nickname";
            button type="submit" { "Save" }
            (answer())
        }
    }
}
