//! A host that serves a network: the control port over TLS, and a port with the metrics pages of the app and the gateway. The
//! metrics port needs no token, like the metrics pages of any service, so that Prometheus and `curl` can read it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::control::{self, Control, Port};
use super::supervisor::Supervisor;
use super::system;
use crate::protocol::{Network, TASK_VARIABLE, task_token};
use lab_core::engine::EngineError;
use lab_http::{Http, Request};
use lab_server::{Limits, inbound};

/// Maximum number of connections of the metrics port.
const CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a service to return its page. A client with less patience disconnects, which ends the request to the service too.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until shutdown is requested. Returns the task that serves the control port.
pub(super) async fn serve(network: &Network, control: Control) -> Result<JoinHandle<()>, EngineError> {
    let tls = network.key.acceptor().map_err(system)?;
    let bind = async |address| TcpListener::bind(address).await.map_err(system);
    let (listener, metrics) = (bind(network.control).await?, bind(network.metrics).await?);
    let token = match std::env::var(TASK_VARIABLE) {
        Ok(task) => task_token(&network.token, &task),
        Err(_) => network.token.clone(),
    };
    let port = Port { listener, token, tls: Some(tls) };
    let requested = control.shutdown.requested.clone();
    tokio::spawn(serve_metrics(metrics, control.clone()));
    let called = tokio::spawn(control::serve(port, control));
    requested.cancelled().await;
    Ok(called)
}

#[derive(Clone)]
struct Pages {
    supervisor: Arc<Supervisor>,
    http: Http,
}

async fn serve_metrics(listener: TcpListener, control: Control) {
    let pages = Pages { supervisor: control.supervisor, http: Http::new() };
    let router = Router::new()
        .route("/metrics/{instance}", get(page))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(pages);
    let limits =
        Limits { connections: lab_server::capacity(4, CONNECTIONS), head: HEAD_TIMEOUT, stall: Some(PAGE_TIMEOUT) };
    let is_trusted = Arc::new(|_: &HeaderMap| true);
    lab_server::serve(listener, router, limits, is_trusted, control.shutdown.complete).await;
}

/// Passes on the metrics page of an instance.
async fn page(State(pages): State<Pages>, Path(instance): Path<String>) -> Response {
    let Some(url) = pages.supervisor.metrics_page(&instance) else {
        return (StatusCode::NOT_FOUND, format!("no instance {instance:?} is running\n")).into_response();
    };
    match pages.http.request(&Request::get(url).timeout(PAGE_TIMEOUT)).await {
        Ok(response) => {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
            let content_type = response.content_type.unwrap_or_default();
            (status, [(header::CONTENT_TYPE, content_type)], response.body).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("its metrics page does not answer: {error}\n")).into_response(),
    }
}
