//! Answers to forms, for browsers with and without scripts and for programs.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use crate::host::Refusal;
use crate::page;

/// An action that was done, with a text about it.
pub(super) type Done = Option<String>;

/// Answers a form: JSON if it is accepted, otherwise the way back to the page, or a page with the reason of the refusal.
pub(super) fn answer(headers: &HeaderMap, result: Result<Done, Refusal>, back: &str) -> Response {
    match result {
        Ok(done) if accepts_json(headers) => {
            let mut body = json!({ "ok": true });
            if let Some(text) = done {
                body["message"] = Value::String(text);
            }
            Json(body).into_response()
        }
        Ok(_) => Redirect::to(back).into_response(),
        Err(refusal) => refuse(headers, &refusal, back),
    }
}

/// Answers a request that was refused.
pub(super) fn refuse(headers: &HeaderMap, refusal: &Refusal, back: &str) -> Response {
    let (status, text) = (status(refusal), refusal.to_string());
    let response = if accepts_json(headers) {
        let mut body = json!({ "error": text });
        if matches!(refusal, Refusal::Unconfirmed(_)) {
            body["confirm"] = Value::Bool(true);
        }
        (status, Json(body)).into_response()
    } else {
        message(status, "That did not work", &text, back)
    };
    (retry_after(refusal), response).into_response()
}

/// Header with the time until the next attempt, if there were too many.
pub(super) fn retry_after(refusal: &Refusal) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Refusal::TooMany(wait) = refusal {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    headers
}

/// Answers a request without the cookie or the token that it needs.
pub(super) fn unauthorized(headers: &HeaderMap, text: &str, back: &str) -> Response {
    problem(headers, StatusCode::UNAUTHORIZED, ("Not your page", text), back)
}

/// Answers a request for something that does not exist.
pub(super) fn not_found(headers: &HeaderMap, text: &str, back: &str) -> Response {
    problem(headers, StatusCode::NOT_FOUND, ("Not found", text), back)
}

/// Answers a request that does not come to an action: JSON if it is accepted, otherwise a page with title and text.
pub(super) fn problem(headers: &HeaderMap, status: StatusCode, (title, text): (&str, &str), back: &str) -> Response {
    if accepts_json(headers) {
        return (status, Json(json!({ "error": text }))).into_response();
    }
    message(status, title, text, back)
}

/// Page with one message.
fn message(status: StatusCode, title: &str, text: &str, back: &str) -> Response {
    (status, Html(page::message(title, text, back).into_string())).into_response()
}

pub(super) fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::Conflict(_) | Refusal::Unconfirmed(_) => StatusCode::CONFLICT,
        Refusal::NoSeat(_) => StatusCode::NOT_FOUND,
        Refusal::WrongCode => StatusCode::FORBIDDEN,
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unsaved(_) => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Lab(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("application/json"))
}
