//! Request handling of the gateway: validates a request, sends it to the upstream exactly once, and returns the response or an
//! error.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::edge::metrics::Metrics;
use crate::service::log::Log;
use crate::service::request_id::{self, RequestIds};
use lab_server::inbound::InboundBody;

use super::access::Access;
use super::body::{Progress, RequestBody, ResponseBody, Streamed, Upload, Waiting};
use super::config::Config;
use super::headers::{self, Coding};
use super::target;
use super::upstream::Upstream;

/// State shared by all requests.
pub(super) struct Gateway {
    config: Config,
    upstream: Upstream,
    ids: RequestIds,
    instance: Arc<str>,
    log: Log,
    /// Counts of the responses to callers.
    pub(super) metrics: Arc<Metrics>,
}

/// Client of one connection.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// Its IP address for `X-Forwarded-For`.
    forwarded: HeaderValue,
}

impl Client {
    /// Creates a client. IPv4-mapped IPv6 addresses are converted to IPv4.
    pub(super) fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let forwarded = HeaderValue::from_str(&address.ip().to_string());
        Self { address, forwarded: forwarded.unwrap_or_else(|_| HeaderValue::from_static("unknown")) }
    }
}

/// Reason why the gateway answers a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    NotImplemented,
    BadGateway,
    GatewayTimeout,
    /// `Max-Forwards` reached 0, so the request is for the gateway itself.
    LastRecipient,
}

impl Refusal {
    /// Status and body of the response.
    pub(super) fn response(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, r#"{"error":"bad request"}"#),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed"}"#),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"request timeout"}"#),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"request body too large"}"#),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, r#"{"error":"not implemented"}"#),
            Self::BadGateway => (StatusCode::BAD_GATEWAY, r#"{"error":"bad gateway"}"#),
            Self::GatewayTimeout => (StatusCode::GATEWAY_TIMEOUT, r#"{"error":"gateway timeout"}"#),
            Self::LastRecipient => (StatusCode::OK, "{}"),
        }
    }
}

impl Gateway {
    /// Creates the gateway. Connects on the first request.
    pub(super) fn new(config: Config, log: Log, metrics: Arc<Metrics>) -> Self {
        let upstream = Upstream::new(config.upstream.clone(), config.connect_timeout);
        let instance = Arc::from(config.instance.as_str());
        Self { config, upstream, ids: RequestIds::new(), instance, log, metrics }
    }

    /// Executes `route NAME:PORT ADDRESS:PORT` or `unroute NAME:PORT`. Other lines are logged and ignored.
    pub(super) fn command(&self, line: &str) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let known = match words[..] {
            [] => true,
            ["route", name, address] => match address.parse() {
                Ok(address) => self.upstream.route(name, Some(address)),
                Err(_) => false,
            },
            ["unroute", name] => self.upstream.route(name, None),
            _ => false,
        };
        let ignored = if known { "" } else { "ignored: " };
        self.log.note(format_args!("{ignored}{line}"));
    }

    pub(super) async fn handle(
        self: Arc<Self>,
        client: Client,
        request: Request<InboundBody>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let id = self.ids.for_request(request.headers());
        let mut access = Access::new(&self.log, &self.metrics, &self.instance, client.clone(), id.clone(), &request);
        let mut response = match self.forward(&client, request, &mut access).await {
            Ok((head, body)) => {
                access.status = head.status().as_u16();
                head.map(|()| ResponseBody::streamed(body, access))
            }
            Err(refusal) => {
                let (status, text) = refusal.response();
                access.status = status.as_u16();
                let mut response = Response::new(ResponseBody::text(text, access));
                *response.status_mut() = status;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                if refusal == Refusal::RequestTimeout {
                    // The rest of the body may arrive late or never (RFC 9110, 15.5.9).
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        };
        response.headers_mut().insert(request_id::HEADER, id);
        Ok(response)
    }

    async fn forward(
        &self,
        client: &Client,
        request: Request<InboundBody>,
        access: &mut Access,
    ) -> Result<(Response<()>, Streamed), Refusal> {
        let request = self.prepare(client, request, access)?;
        let upload = request.body().upload();
        let started = Instant::now();
        let (lease, mut sender) = self.upstream.connect().await.map_err(|error| {
            // A connect timeout also gives 502: a missing app must not look like one that does not answer (504).
            access.upstream.error = Some(error.to_string());
            Refusal::BadGateway
        })?;
        access.upstream.address = Some(lease.address);
        let head = self.head(sender.send_request(request), upload.as_ref(), access).await;
        access.upstream.time = Some(started.elapsed());
        let response = head?;
        access.upstream.status = Some(response.status().as_u16());
        if response.status().is_informational() {
            // Protocol upgrades are never requested.
            return Err(Refusal::BadGateway);
        }
        let (mut parts, body) = response.into_parts();
        if headers::coding(&parts.headers) != Coding::Known {
            access.upstream.error = Some("the response has a transfer coding other than chunked".into());
            return Err(Refusal::BadGateway);
        }
        headers::strip_hop(&mut parts.headers);
        if !headers::unify_length(&mut parts.headers) {
            access.upstream.error = Some("the response has no valid length".into());
            return Err(Refusal::BadGateway);
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let body = Streamed::new(body, (lease, sender), upload, self.config.read_timeout);
        let body = body.begin().await.map_err(|error| {
            access.upstream.error = Some(error.to_string());
            Refusal::BadGateway
        })?;
        Ok((Response::from_parts(parts, ()), body))
    }

    /// Validates the client's request and rewrites it for the upstream.
    fn prepare(
        &self,
        client: &Client,
        request: Request<InboundBody>,
        access: &Access,
    ) -> Result<Request<RequestBody>, Refusal> {
        let (mut parts, body) = request.into_parts();
        target::check(&parts.method, &parts.uri)?;
        match headers::coding(&parts.headers) {
            Coding::Known => {}
            Coding::Unknown => return Err(Refusal::NotImplemented),
            Coding::Ambiguous => return Err(Refusal::BadRequest),
        }
        self.set_host(&mut parts.headers, &parts.uri, parts.version)?;
        headers::count_forwards(&mut parts.headers, &parts.method)?;
        if body.size_hint().lower() > self.config.max_body {
            return Err(Refusal::TooLarge);
        }
        let Config { forward_api_key, client: credentials, .. } = &self.config;
        headers::to_upstream(&mut parts.headers, &client.forwarded, *forward_api_key, credentials.as_ref());
        headers::add_via(&mut parts.headers, parts.version);
        parts.headers.insert(request_id::HEADER, access.id.clone());
        if parts.uri.authority().is_some() {
            let path = parts.uri.path_and_query().cloned();
            parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let body = RequestBody::new(body, self.config.max_body);
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            // hyper would drop the body of a GET or HEAD if its length is unknown.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(Request::from_parts(parts, body))
    }

    /// Sets the `Host` header. An absolute URL takes precedence over the header (RFC 9112, 3.2.2), which must still be valid
    /// (3.2). HTTP/1.0 requests may omit it.
    fn set_host(&self, headers: &mut HeaderMap, uri: &Uri, version: Version) -> Result<(), Refusal> {
        let mut given = headers.get_all(HOST).iter();
        match (given.next(), given.next()) {
            (Some(host), None) if target::is_host(host.as_bytes()) => {}
            (None, _) if version == Version::HTTP_10 => {}
            _ => return Err(Refusal::BadRequest),
        }
        let host = match uri.authority() {
            Some(authority) if target::is_host(authority.as_str().as_bytes()) => authority.as_str(),
            Some(_) => return Err(Refusal::BadRequest),
            None if headers.contains_key(HOST) => return Ok(()),
            None => &self.config.upstream,
        };
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| Refusal::BadRequest)?);
        Ok(())
    }

    /// Waits for the response head. The read timeout applies while waiting for the upstream, the header timeout while
    /// waiting for the client's next chunk.
    async fn head(
        &self,
        response: impl Future<Output = hyper::Result<Response<Incoming>>>,
        upload: Option<&Upload>,
        access: &mut Access,
    ) -> Result<Response<Incoming>, Refusal> {
        let mut response = pin!(response);
        let started = Instant::now();
        let mut changes = upload.map(Upload::changes);
        loop {
            let progress = upload.map(Upload::progress);
            let (waiting, since) = progress.map_or((Waiting::Upstream, started), |it| (it.waiting, it.since));
            let for_client = waiting == Waiting::Client;
            let deadline = since + if for_client { self.config.header_timeout } else { self.config.read_timeout };
            tokio::select! {
                biased;
                response = response.as_mut() => return response.map_err(|error| {
                    access.upstream.error = Some(with_cause(&error));
                    match upload.map(|upload| upload.progress().waiting) {
                        Some(Waiting::TooLarge) => Refusal::TooLarge,
                        Some(Waiting::ClientBroke) => Refusal::BadRequest,
                        _ => Refusal::BadGateway,
                    }
                }),
                () = upload_changed(changes.as_mut()) => {}
                () = sleep_until(deadline) => {
                    if for_client {
                        return Err(Refusal::RequestTimeout);
                    }
                    // Otherwise the upstream has accepted a chunk meanwhile.
                    if upload.is_none_or(|upload| upload.progress().since == since) {
                        access.upstream.error = Some("no answer in time".into());
                        return Err(Refusal::GatewayTimeout);
                    }
                }
            }
        }
    }
}

/// Completes when the upload waits for another side.
async fn upload_changed(changes: Option<&mut watch::Receiver<Progress>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Error message with its cause.
fn with_cause(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
