//! Filter of every request: checks against other sites, security headers, a limit of its time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use lab_server::site;
use tokio::time::timeout;

use super::Server;
use super::answer::problem;
use crate::host::Address;

/// Content security policy: pages load from and connect to this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Time for the head of a response. Longer than any line of a console.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Rejects foreign requests, and adds the security headers to every response.
pub(super) async fn guard(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    let is_document = is_get && is_linked(request.uri().path());
    let headers = request.headers().clone();
    let refused = |status, why| problem(&headers, status, ("That did not work", why), "/");
    let mut response = match refusal(server.host.address(), &headers, is_document) {
        Some((status, why)) => refused(status, why),
        None => match timeout(TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
        },
    };
    // With `no-referrer`, browsers would send the forms of these pages without an origin.
    site::secure(response.headers_mut(), POLICY, "same-origin");
    response
}

/// Another site, such as a page with the agenda of the workshop, may link to these pages.
fn is_linked(path: &str) -> bool {
    matches!(path, "/" | "/board" | "/desk" | "/seat") || path.starts_with("/join/")
}

/// Returns the status and message if a request must be rejected.
pub(super) fn refusal(address: &Address, headers: &HeaderMap, is_document: bool) -> Option<(StatusCode, &'static str)> {
    let host = site::host(headers);
    // The address that participants open may have a name.
    let is_named = address.url.strip_prefix("http://").map(site::host_and_port) == Some(site::host_and_port(host));
    if !is_named && !site::is_own(host, address.listen) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "open this page by the address on the board"));
    }
    site::is_foreign(headers, is_document).then_some((StatusCode::FORBIDDEN, "cross-site requests are not allowed"))
}
