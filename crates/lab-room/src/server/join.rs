//! Joining a seat by its code.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use lab_server::Peer;

use super::Server;
use super::answer::{accepts_json, answer, refuse, retry_after, status};
use super::fields::Fields;
use super::visitor::{Role, Visitor, set_cookie};
use crate::code::{Code, Token};
use crate::config::SeatNumber;
use crate::host::Refusal;
use crate::page;

/// Longest code that is shown again, in characters.
const LONGEST_CODE: usize = 40;

pub(super) async fn root(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if Visitor::new(&server.host, &headers).seat.is_some() {
        return Redirect::to("/seat").into_response();
    }
    document(&server, "", None).into_response()
}

/// The form with the code of a card. Joining takes another click, so that a preview of the address does not join.
pub(super) async fn form(State(server): State<Arc<Server>>, Path(code): Path<String>) -> Html<String> {
    document(&server, &code, None)
}

pub(super) async fn join(
    State(server): State<Arc<Server>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let typed = fields.get("code").unwrap_or_default();
    let current = Visitor::new(&server.host, &headers).seat;
    match server.join(peer.ip().to_canonical(), typed, current).await {
        Ok(token) => {
            let mut response = answer(&headers, Ok(None), "/seat");
            if let Some(cookie) = token.and_then(|token| set_cookie(&server.host, Role::Seat, &token)) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(refusal) if accepts_json(&headers) => refuse(&headers, &refusal, "/"),
        Err(refusal) => {
            let text = refusal.to_string();
            (status(&refusal), retry_after(&refusal), document(&server, typed, Some(&text))).into_response()
        }
    }
}

fn document(server: &Server, code: &str, error: Option<&str>) -> Html<String> {
    let code: String = code.chars().take(LONGEST_CODE).collect();
    Html(server.host.with_state(|state| page::join::document(state, &code, error)).into_string())
}

impl Server {
    /// Checks a code. Returns the token for the device, unless it has this seat already.
    async fn join(&self, address: IpAddr, typed: &str, current: Option<SeatNumber>) -> Result<Option<Token>, Refusal> {
        if typed.is_empty() {
            return Err(Refusal::Invalid("type the code of your card".to_owned()));
        }
        // Wrong codes are counted before the next one is compared.
        if let Some(wait) = self.guesses().wait(&address, Instant::now()) {
            return Err(Refusal::TooMany(wait));
        }
        let code = Code::typed(typed);
        let is_current = |seat: &&crate::config::SeatConfig| Some(seat.number) == current;
        if self.host.config().seats.iter().find(is_current).is_some_and(|seat| seat.code.matches(&code)) {
            return Ok(None);
        }
        match self.host.join(&code).await {
            Ok((_, token)) => Ok(Some(token)),
            Err(refusal) => {
                if refusal == Refusal::WrongCode {
                    self.guesses().add(address, Instant::now());
                }
                Err(refusal)
            }
        }
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, crate::code::Guesses<IpAddr>> {
        self.guesses.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
