//! [`Visitor`]: the sender of a request, by cookie or bearer token.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::code::Token;
use crate::config::SeatNumber;
use crate::host::Host;

/// Time for which a browser keeps a cookie, in seconds: a week.
const COOKIE_AGE: u32 = 7 * 24 * 60 * 60;

/// Sender of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// The seat of the device.
    pub(super) seat: Option<SeatNumber>,
    /// It has the token of the desk.
    pub(super) desk: bool,
    /// The token of the desk comes from a program, not from a browser.
    pub(super) program: bool,
}

/// Kind of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Seat,
    Desk,
}

impl Visitor {
    pub(super) fn new(host: &Host, headers: &HeaderMap) -> Self {
        let token = |role| cookie(headers, &cookie_name(host, role));
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let is_desk = |token: &str| host.config().desk.matches(token);
        let program = bearer.is_some_and(is_desk);
        Self {
            seat: token(Role::Seat).and_then(|token| host.seat_of(token)),
            desk: program || token(Role::Desk).is_some_and(is_desk),
            program,
        }
    }
}

/// Value of a `Set-Cookie` header. Scripts cannot read the cookie, and other sites cannot send it.
pub(super) fn set_cookie(host: &Host, role: Role, token: &Token) -> Option<HeaderValue> {
    let (name, token) = (cookie_name(host, role), token.as_str());
    let text = format!("{name}={token}; Path=/; Max-Age={COOKIE_AGE}; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).ok()
}

/// Browsers send a cookie to every port of an address, and rooms differ in their ports.
fn cookie_name(host: &Host, role: Role) -> String {
    let role = match role {
        Role::Seat => "seat",
        Role::Desk => "desk",
    };
    format!("lab_{role}_{}", host.address().listen.port())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
