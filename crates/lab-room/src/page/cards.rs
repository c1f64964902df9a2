//! Cards with the codes of the seats, to be printed and cut.

use maud::{Markup, html};

use super::text::foreign;
use super::{Frame, qr};
use crate::state::State;

/// A card per seat.
pub fn document(state: &State<'_>) -> Markup {
    let address = state.address.trim_end_matches('/');
    let body = html! {
        header.top.screen-only {
            div { p.room { a href="/desk" { "Desk" } " · " (state.config.title()) } h1 { "Cards" } }
            p { "Print this page and cut it. A code is worth a seat: hand each card to one person." }
        }
        main.cards {
            @for seat in &state.config.seats {
                article.card aria-label={ "Seat " (seat.number) } {
                    div.text {
                        p.room { (state.config.title()) }
                        h2 { @match &seat.name { Some(name) => (foreign(name)), None => { "Seat " (seat.number) } } }
                        @if seat.reserve { p.dim { @if seat.name.is_some() { "seat " (seat.number) ", " } "reserve" } } @else if seat.name.is_some() { p.dim { "seat " (seat.number) } }
                        p.open { "Open" br; strong { (address.trim_start_matches("http://")) } }
                        p.open { "and type" br; strong.code { (seat.code) } }
                    }
                    (qr::code(&format!("{address}/join/{}", seat.code)))
                }
            }
        }
    };
    Frame { title: &format!("Cards · {}", state.config.title()), class: "cards", events: None, refresh: None }
        .document(&body)
}
