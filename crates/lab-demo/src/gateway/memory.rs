//! In-memory gateway without sockets, for the mock engine. Implements the configuration, the header rewriting and the read
//! timeout, using tokio's clock.

use axum::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use tokio::time::timeout;

use crate::service::config::{ConfigError, Lookup};

use super::config::Config;
use super::headers;
use super::proxy::Refusal;

/// Gateway without sockets.
#[derive(Debug)]
pub struct MemoryGateway(Config);

impl MemoryGateway {
    /// Creates a gateway from environment variables. The error is the one with which the real gateway would exit.
    pub fn new(env: Lookup) -> Result<Self, ConfigError> {
        let given = |name: &str| env(name).or_else(|| (name == "GATEWAY_LISTEN").then(|| "127.0.0.1:0".into()));
        Config::from_env(&given).map(Self)
    }

    /// Answers a request. `reach` receives the upstream's name and the rewritten request, and returns `None` if nothing
    /// listens there.
    pub async fn answer<F>(
        &self,
        mut request: Request<Body>,
        reach: impl FnOnce(&str, Request<Body>) -> Option<F>,
    ) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let Config { upstream, forward_api_key, client, read_timeout, .. } = &self.0;
        let peer = HeaderValue::from_static("127.0.0.1");
        headers::to_upstream(request.headers_mut(), &peer, *forward_api_key, client.as_ref());
        match reach(upstream, request) {
            None => error_response(Refusal::BadGateway),
            Some(answer) => {
                timeout(*read_timeout, answer).await.unwrap_or_else(|_| error_response(Refusal::GatewayTimeout))
            }
        }
    }
}

fn error_response(refusal: Refusal) -> Response<Body> {
    let (status, text) = refusal.response();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
