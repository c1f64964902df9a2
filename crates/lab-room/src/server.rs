//! HTTP server of a room. Participants have a cookie from the code of their seat, and the trainer has one from the desk's token;
//! the board is open to the network. Forms work with and without scripts: with `Accept: application/json` the answer is JSON,
//! otherwise it leads back to the page.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::routing::{get, post};
use lab_server::{Limits, inbound};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::code::Guesses;
use crate::host::Host;
use visitor::Visitor;

mod answer;
mod board;
mod desk;
mod fields;
mod guard;
mod join;
mod live;
mod seat;
#[cfg(test)]
mod tests;

mod visitor;

/// Most connections at once.
const CONNECTIONS: usize = 1024;
/// Timeout for reading a request head. Also limits how long idle connections are kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a form, in bytes.
const FORM: usize = 16 << 10;
/// Time for the requests in progress to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// State of all handlers.
struct Server {
    host: Arc<Host>,
    guesses: Mutex<Guesses<IpAddr>>,
    streams: live::Streams,
    end: CancellationToken,
}

/// Serves a room until `end` is cancelled.
pub async fn serve(listener: TcpListener, host: Arc<Host>, end: CancellationToken) {
    let guesses = Mutex::new(Guesses::new(Instant::now()));
    let server =
        Arc::new(Server { host: Arc::clone(&host), guesses, streams: live::Streams::default(), end: end.clone() });
    let limits = Limits { connections: lab_server::capacity(2, CONNECTIONS), head: HEAD_TIMEOUT, stall: None };
    // Strangers cannot lock participants and trainer out.
    let is_trusted = Arc::new(move |headers: &HeaderMap| {
        let visitor = Visitor::new(&host, headers);
        visitor.seat.is_some() || visitor.desk
    });
    let serving = lab_server::serve(listener, router(server), limits, is_trusted, end.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return,
        () = end.cancelled() => {}
    }
    let _ = timeout(END_TIMEOUT, serving).await;
}

fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", get(join::root))
        .route("/join", post(join::join))
        .route("/join/{code}", get(join::form))
        .route("/seat", get(seat::page))
        .route("/seat/events", get(seat::events))
        .route("/seat/debrief", get(seat::debrief))
        .route("/seat/{action}", post(seat::act))
        .route("/board", get(board::page))
        .route("/board/events", get(board::events))
        .route("/desk", get(desk::page))
        .route("/desk/events", get(desk::events))
        .route("/desk/seat/{number}", get(desk::seat))
        .route("/desk/cards", get(desk::cards))
        .route("/desk/export/{format}", get(desk::export))
        .route("/desk/{action}", post(desk::act))
        .route("/assets/{*path}", get(board::asset))
        .fallback(async |headers: HeaderMap| answer::not_found(&headers, "there is no such page in this room", "/"))
        .method_not_allowed_fallback(async |headers: HeaderMap| {
            let text = ("That did not work", "this address cannot be used like that");
            answer::problem(&headers, StatusCode::METHOD_NOT_ALLOWED, text, "/")
        })
        .layer(DefaultBodyLimit::max(FORM))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), guard::guard))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(server)
}
