//! Page for the projector, and the files of all pages.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};

use super::answer::not_found;
use super::visitor::Visitor;
use super::{Server, live};
use crate::host::Page;
use crate::page;

pub(super) async fn page(State(server): State<Arc<Server>>) -> Html<String> {
    Html(server.host.with_board_state(page::board::document).into_string())
}

pub(super) async fn events(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let visitor = Visitor::new(&server.host, &headers);
    live::stream(&server, Page::Board, visitor.desk || visitor.seat.is_some())
}

pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match page::assets::find(&path) {
        Some((kind, content)) => ([(header::CONTENT_TYPE, kind)], content).into_response(),
        None => not_found(&headers, "there is no such file", "/"),
    }
}
