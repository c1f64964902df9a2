//! Page and actions of a participant. The seat is always that of the cookie.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use lab_core::diagnosis::{Cause, Finding, Location};
use lab_drill::fold::Answer;

use super::answer::{Done, accepts_json, answer, not_found, refuse, unauthorized};
use super::fields::Fields;
use super::visitor::Visitor;
use super::{Server, live};
use crate::config::SeatNumber;
use crate::host::{Page, Refusal, UpdateForm};
use crate::page;

const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn page(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let Some(seat) = server.seat(&headers) else { return Redirect::to("/").into_response() };
    Html(server.host.with_state(|state| page::seat::document(state, seat)).into_string()).into_response()
}

pub(super) async fn events(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let Some(seat) = server.seat(&headers) else { return no_seat(&headers) };
    live::stream(&server, Page::Seat(seat), true)
}

pub(super) async fn debrief(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let Some(seat) = server.seat(&headers) else { return Redirect::to("/").into_response() };
    match server.host.debrief(seat).await {
        Ok(debrief) => {
            let document = server.host.with_state(|state| page::seat::debrief(state, seat, &debrief));
            Html(document.into_string()).into_response()
        }
        Err(refusal) => refuse(&headers, &refusal, "/seat"),
    }
}

pub(super) async fn act(
    State(server): State<Arc<Server>>,
    Path(action): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let Some(seat) = server.seat(&headers) else { return no_seat(&headers) };
    let host = &server.host;
    let result = match action.as_str() {
        "name" => host.rename(seat, fields.get("name").unwrap_or_default()).await.map(|()| None),
        "hand" => raise_hand(&server, seat, &fields).await,
        "ack" => host.acknowledge(seat).await.map(|()| None),
        "hint" => host.open_hint(seat).await.map(|()| None),
        "diagnose" => diagnose(&server, seat, &fields).await,
        "update" => update(&server, seat, &fields).await,
        "console" => run_line(&server, seat, &fields, !accepts_json(&headers)).await,
        "finish" => finish(&server, seat, &fields).await,
        _ => return not_found(&headers, "there is no such action", "/seat"),
    };
    answer(&headers, result, "/seat")
}

async fn raise_hand(server: &Server, seat: SeatNumber, fields: &Fields) -> Result<Done, Refusal> {
    server.host.raise_hand(seat, fields.switch("up")?).await.map(|()| None)
}

async fn finish(server: &Server, seat: SeatNumber, fields: &Fields) -> Result<Done, Refusal> {
    if !fields.is_confirmed() {
        let text = "finishing ends your drill, and it cannot be continued".to_owned();
        return Err(Refusal::Unconfirmed(text));
    }
    server.host.finish(seat).await.map(|()| None)
}

async fn diagnose(server: &Server, seat: SeatNumber, fields: &Fields) -> Result<Done, Refusal> {
    let mut findings = vec![finding(fields, "where", "what")?];
    if fields.get("where2").or(fields.get("what2")).is_some() {
        findings.push(finding(fields, "where2", "what2")?);
    }
    let answer = server.host.diagnose(seat, findings).await?;
    let text = match answer {
        Some(Answer::Right) => "right",
        Some(Answer::Partial) => "one of two faults",
        Some(Answer::Wrong) => "wrong",
        None => "recorded; the answer comes with the customer's ticket",
    };
    Ok(Some(text.to_owned()))
}

fn finding(fields: &Fields, place: &str, cause: &str) -> Result<Finding, Refusal> {
    let (Some(place), Some(cause)) = (fields.get(place), fields.get(cause)) else {
        return Err(Refusal::Invalid("choose where the cause is, and what it is".to_owned()));
    };
    let unknown = |what: &str, typed: &str| Refusal::Invalid(format!("unknown {what} {typed:?}"));
    Ok(Finding {
        location: Location::from_name(place).ok_or_else(|| unknown("location", place))?,
        cause: Cause::from_name(cause).ok_or_else(|| unknown("cause", cause))?,
    })
}

async fn update(server: &Server, seat: SeatNumber, fields: &Fields) -> Result<Done, Refusal> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let form = UpdateForm {
        to: fields.named("to")?,
        state: fields.named("state")?,
        affected: fields.named("affected")?,
        since: fields.time("since", MINUTE)?.map(milliseconds),
        next: fields.time("next", MINUTE)?.map(|time| time.as_secs()),
        text: fields.get("text").unwrap_or_default().to_owned(),
        confirmed: fields.is_confirmed(),
    };
    server.host.send_update(seat, form).await.map(|()| Some("sent".to_owned()))
}

/// Without a script, the page comes back when the line has ended.
async fn run_line(server: &Server, seat: SeatNumber, fields: &Fields, waits: bool) -> Result<Done, Refusal> {
    let running = server.host.run_line(seat, fields.get("line").unwrap_or_default()).await?;
    if waits {
        running.wait().await;
    }
    Ok(None)
}

fn no_seat(headers: &HeaderMap) -> Response {
    unauthorized(headers, "this device has no seat; join with the code of your card", "/")
}

impl Server {
    /// Seat of the device that sends a request.
    fn seat(&self, headers: &HeaderMap) -> Option<SeatNumber> {
        Visitor::new(&self.host, headers).seat
    }
}
