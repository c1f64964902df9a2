//! The results as a page that needs nothing else: the room first, and then a sheet of paper per participant.

use lab_drill::drill_time;
use lab_report::report::human;
use lab_report::term::clean;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{Outcome, ending};
use crate::fold::Seat;
use crate::state::State;

const STYLE: &str = include_str!("style.css");
/// Content security policy: inline styles only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
pub fn html(state: &State<'_>) -> Markup {
    let name = &state.config.name;
    let all: Vec<(&Seat, Vec<Outcome<'_>>)> =
        state.room.taken().map(|seat| (seat, Outcome::all(state, seat))).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { "Room " (name) " · lab" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { "Room " (name) } }
                main {
                    section {
                        h2 { "Results" }
                        (table(&all))
                    }
                }
            }
        }
    }
}

fn table(all: &[(&Seat, Vec<Outcome<'_>>)]) -> Markup {
    let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), drill_time);
    html! {
        table {
            thead { tr { @for head in ["seat", "drill", "end", "acknowledged", "diagnosed", "mitigated", "resolved", "points"] { th scope="col" { (head) } } } }
            tbody {
                @for (seat, outcomes) in all {
                    @for outcome in outcomes {
                        tr {
                            th scope="row" { (seat.number) " " (clean(&seat.label())) }
                            td { (outcome.drill) } td { (ending(outcome.ending)) }
                            td { (time(outcome.acknowledged_after)) } td { (time(outcome.diagnosed_after)) }
                            td { (time(outcome.mitigated_after)) } td { (time(outcome.resolved_after)) }
                            td { @if let Some(score) = &outcome.score { (human::number(score.points)) } }
                        }
                    }
                }
            }
        }
    }
}
