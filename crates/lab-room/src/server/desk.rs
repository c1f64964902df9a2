//! Pages and actions of the trainer. The commands of `lab room` use the same routes with the token of the desk.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{DOCTYPE, html};

use super::answer::{Done, answer, not_found, unauthorized};
use super::fields::Fields;
use super::visitor::{Role, Visitor, set_cookie};
use super::{Server, live};
use crate::backend::Selection;
use crate::config::SeatNumber;
use crate::event::Scene;
use crate::host::{DrillRequest, Page, Refusal};
use crate::{export, page};

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn page(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    if let Some(token) = Fields(pairs).get("token") {
        return server.enter(&headers, token);
    }
    if !server.is_desk(&headers) {
        return no_desk(&headers);
    }
    Html(server.host.with_state(page::desk::document).into_string()).into_response()
}

pub(super) async fn events(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if !server.is_desk(&headers) {
        return no_desk(&headers);
    }
    live::stream(&server, Page::Desk, true)
}

pub(super) async fn seat(
    State(server): State<Arc<Server>>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !server.is_desk(&headers) {
        return no_desk(&headers);
    }
    let known = number.parse::<SeatNumber>().ok().filter(|number| server.host.config().seat(*number).is_some());
    let Some(number) = known else {
        return not_found(&headers, &format!("there is no seat {number}"), "/desk");
    };
    Html(server.host.with_state(|state| page::desk::seat(state, number)).into_string()).into_response()
}

pub(super) async fn cards(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if !server.is_desk(&headers) {
        return no_desk(&headers);
    }
    Html(server.host.with_state(page::cards::document).into_string()).into_response()
}

pub(super) async fn export(
    State(server): State<Arc<Server>>,
    Path(format): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !server.is_desk(&headers) {
        return no_desk(&headers);
    }
    let host = &server.host;
    let mut response = match format.as_str() {
        "csv" => {
            let text = host.with_state(export::csv);
            ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
        }
        "json" => Json(host.with_state(export::json)).into_response(),
        "html" => Html(host.with_state(export::html).into_string()).into_response(),
        _ => {
            let text = format!("unknown format {format:?} (there are csv, json and html)");
            return not_found(&headers, &text, "/desk");
        }
    };
    let name = format!("attachment; filename=\"{}.{format}\"", host.config().name);
    if let Ok(value) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

pub(super) async fn act(
    State(server): State<Arc<Server>>,
    Path(action): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let visitor = Visitor::new(&server.host, &headers);
    if !visitor.desk {
        return no_desk(&headers);
    }
    let is_confirmed = visitor.program || fields.is_confirmed();
    let result = match confirmation(&action) {
        Some(text) if !is_confirmed => Err(Refusal::Unconfirmed(text.to_owned())),
        _ => match server.act(&action, &fields).await {
            Some(result) => result,
            None => return not_found(&headers, "there is no such action", "/desk"),
        },
    };
    answer(&headers, result, "/desk")
}

/// Question before an action that cannot be undone.
fn confirmation(action: &str) -> Option<&'static str> {
    match action {
        "end" => Some("this ends the drill of every seat, and it cannot be continued"),
        "reset" => Some("this gives up the drill of the seat"),
        "reveal" => Some("this shows the incident, the points and the debriefs to all participants"),
        "close" => Some("this closes the room"),
        _ => None,
    }
}

fn no_desk(headers: &HeaderMap) -> Response {
    unauthorized(headers, "the desk needs its token: open the address that lab room up printed", "/")
}

impl Server {
    fn is_desk(&self, headers: &HeaderMap) -> bool {
        Visitor::new(&self.host, headers).desk
    }

    /// Exchanges the token in the address for a cookie, so that it does not stay in the address.
    fn enter(&self, headers: &HeaderMap, token: &str) -> Response {
        let desk = &self.host.config().desk;
        if !desk.matches(token) {
            return no_desk(headers);
        }
        // A browser that follows a link of another site would not send the cookie after a redirect.
        let is_link = headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
        let mut response = if is_link {
            let document = html! {
                (DOCTYPE)
                html lang="en" {
                    head { meta charset="utf-8"; meta http-equiv="refresh" content="0; url=/desk"; title { "Desk" } }
                    body { p { a href="/desk" { "Open the desk" } } }
                }
            };
            Html(document.into_string()).into_response()
        } else {
            Redirect::to("/desk").into_response()
        };
        if let Some(cookie) = set_cookie(&self.host, Role::Desk, desk) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }

    /// `None` for an unknown action.
    async fn act(&self, action: &str, fields: &Fields) -> Option<Result<Done, Refusal>> {
        let host = &self.host;
        Some(match action {
            "drill" => self.start_drill(fields).await,
            "end" => host.end_drill().await.map(|()| None),
            "pause" => host.pause(true).await.map(|()| None),
            "resume" => host.pause(false).await.map(|()| None),
            "say" => self.say(fields).await,
            "inject" => self.inject(fields).await,
            "extend" => self.extend(fields).await,
            "reset" => self.reset(fields).await,
            "reveal" => host.reveal().await.map(|()| None),
            "freeze" => self.freeze(fields).await,
            "scene" => self.show(fields).await,
            "close" => host.close().await.map(|()| None),
            _ => return None,
        })
    }

    async fn start_drill(&self, fields: &Fields) -> Result<Done, Refusal> {
        let selection = Selection {
            scenarios: fields.all("scenario").map(str::to_owned).collect(),
            tag: fields.get("tag").map(str::to_owned),
            difficulty: fields.get("difficulty").map(str::to_owned),
        };
        let request = DrillRequest {
            selection,
            limit: fields.time("limit", MINUTE)?,
            coach: fields.switch("coach")?,
            quiet: fields.time("quiet", SECOND)?,
        };
        self.host.start_drill(request).await.map(|()| Some("the drill has begun".to_owned()))
    }

    async fn say(&self, fields: &Fields) -> Result<Done, Refusal> {
        self.host.say(fields.seat()?, fields.get("text").unwrap_or_default()).await.map(|()| Some("sent".to_owned()))
    }

    async fn inject(&self, fields: &Fields) -> Result<Done, Refusal> {
        let text = |name| fields.get(name).unwrap_or_default();
        let sent = self.host.inject(fields.seat()?, text("from"), text("text")).await?;
        Ok(Some(if sent == 1 { "sent to 1 seat".to_owned() } else { format!("sent to {sent} seats") }))
    }

    async fn extend(&self, fields: &Fields) -> Result<Done, Refusal> {
        let by = fields.time("minutes", MINUTE)?;
        let by = by.ok_or_else(|| Refusal::Invalid("\"minutes\" is missing".to_owned()))?;
        self.host.extend(fields.seat()?, by).await.map(|()| None)
    }

    async fn reset(&self, fields: &Fields) -> Result<Done, Refusal> {
        self.host.reset(fields.required_seat()?).await.map(|()| None)
    }

    async fn freeze(&self, fields: &Fields) -> Result<Done, Refusal> {
        fields.required("frozen")?;
        self.host.freeze(fields.switch("frozen")?).await.map(|()| None)
    }

    async fn show(&self, fields: &Fields) -> Result<Done, Refusal> {
        let scene = match fields.required("scene")? {
            "join" => Scene::Join,
            "tiles" => Scene::Tiles,
            "outage" => Scene::Outage,
            "top" => Scene::Top,
            "debrief" => Scene::Debrief,
            "seat" => Scene::Seat { seat: fields.required_seat()? },
            other => return Err(Refusal::Invalid(format!("unknown scene {other:?}"))),
        };
        self.host.show(scene).await.map(|()| None)
    }
}
