//! Access log of the gateway: one JSON object per request, with nginx's field names. Headers and the query are left out, so an
//! entry never contains a key.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, Request, Uri};

use lab_core::PROBE_HEADER;

use crate::edge::metrics::Metrics;
use crate::service::log::{Log, Quoted};
use lab_server::inbound::InboundBody;

use super::proxy::Client;

/// Log entry of a request. Written and counted when it is dropped, however the request ends.
pub(super) struct Access {
    log: Log,
    metrics: Arc<Metrics>,
    instance: Arc<str>,
    client: Client,
    method: Method,
    uri: Uri,
    /// Request id.
    pub(super) id: HeaderValue,
    started: Instant,
    /// One of lab's own requests, which are neither counted nor logged.
    is_probe: bool,
    /// Response status. 499, as in nginx, if the client disconnected before the response.
    pub(super) status: u16,
    body_bytes: u64,

    pub(super) upstream: UpstreamAccess,
}

/// The upstream's part of a request.
#[derive(Default)]
pub(super) struct UpstreamAccess {
    pub(super) address: Option<SocketAddr>,
    pub(super) status: Option<u16>,
    /// Time to the response head.
    pub(super) time: Option<Duration>,
    /// Reason why the response is missing or incomplete.
    pub(super) error: Option<String>,
}

impl Access {
    /// Starts the entry of a request.
    pub(super) fn new(
        log: &Log,
        metrics: &Arc<Metrics>,
        instance: &Arc<str>,
        client: Client,
        id: HeaderValue,
        request: &Request<InboundBody>,
    ) -> Self {
        Self {
            log: log.clone(),
            metrics: Arc::clone(metrics),
            instance: Arc::clone(instance),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            id,
            started: Instant::now(),
            is_probe: request.headers().contains_key(PROBE_HEADER),
            status: 499,
            body_bytes: 0,
            upstream: UpstreamAccess::default(),
        }
    }

    /// Counts response body bytes handed to the client's connection.
    pub(super) fn add_sent(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if self.is_probe {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.record(self.uri.path(), self.status, took);
        self.log.line(|line, now| {
            let _ = write!(
                line,
                r#"{{"time":"{now}","instance":"{}","request_id":{},"remote_addr":"{}","method":{},"path":{},"#,
                self.instance,
                Quoted(self.id.to_str().unwrap_or_default()),
                self.client.address.ip(),
                Quoted(self.method.as_str()),
                Quoted(self.uri.path()),
            );
            let took = took.as_secs_f64();
            let (status, bytes) = (self.status, self.body_bytes);
            let _ = write!(line, r#""status":{status},"body_bytes_sent":{bytes},"request_time":{took:.6}"#);
            let UpstreamAccess { address, status, time, error } = &self.upstream;
            if let Some(address) = address {
                let _ = write!(line, r#","upstream_addr":"{address}""#);
            }
            if let Some(status) = status {
                let _ = write!(line, r#","upstream_status":{status}"#);
            }
            if let Some(time) = time {
                let _ = write!(line, r#","upstream_response_time":{:.6}"#, time.as_secs_f64());
            }
            if let Some(error) = error {
                let _ = write!(line, r#","error":{}"#, Quoted(error));
            }
            line.push('}');
        });
    }
}
