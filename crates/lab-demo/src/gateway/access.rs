//! [`Access`]: one line of the access log, a JSON document with nginx's names. Never holds a key: neither headers nor the
//! query are in it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, Request, Uri};

use crate::service::log::{Log, Quoted};
use lab_server::inbound::InboundBody;

use super::proxy::Client;

/// What is known of a request. Written to the log when it is dropped, which is when the request ends, one way or another.
pub(super) struct Access {
    log: Log,
    instance: Arc<str>,
    client: Client,
    method: Method,
    uri: Uri,
    /// The request's id.
    pub(super) id: HeaderValue,
    begun: Instant,
    /// What the client was answered; nginx's 499 for nothing, since it went away.
    pub(super) status: u16,
    body_bytes: u64,
    /// What became of the request to the upstream.
    pub(super) upstream: UpstreamAccess,
}

/// What is known of the upstream's part.
#[derive(Default)]
pub(super) struct UpstreamAccess {
    /// Where it was sent.
    pub(super) address: Option<SocketAddr>,
    /// What came back.
    pub(super) status: Option<u16>,
    /// After how long.
    pub(super) time: Option<Duration>,
    /// What went wrong.
    pub(super) error: Option<String>,
}

impl Access {
    /// The request begins now.
    pub(super) fn new(
        log: &Log,
        instance: &Arc<str>,
        client: Client,
        id: HeaderValue,
        request: &Request<InboundBody>,
    ) -> Self {
        Self {
            log: log.clone(),
            instance: Arc::clone(instance),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            id,
            begun: Instant::now(),
            status: 499,
            body_bytes: 0,
            upstream: UpstreamAccess::default(),
        }
    }

    /// So much of a body was handed to the client's connection.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
    }
}

impl Drop for Access {
    fn drop(&mut self) {
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
            let took = self.begun.elapsed().as_secs_f64();
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
