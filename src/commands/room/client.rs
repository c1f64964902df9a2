//! [`Desk`]: requests of the trainer to a room's server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lab_core::error::Failure;
use lab_http::{Exchange, Http, HttpError, Limit, Request};
use lab_room::config::{RoomConfig, describe};
use serde::Deserialize;

/// Time for an action.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of an export in bytes.
const EXPORT_LIMIT: usize = 64 << 20;

/// Answer to an action.
#[derive(Deserialize)]
struct Answer {
    message: Option<String>,
    error: Option<String>,
}

/// The trainer's access to a room.
pub(super) struct Desk {
    room: String,
    base: String,
    token: String,
}

impl Desk {
    pub(super) fn new(room: &str, config: &RoomConfig) -> Self {
        let base = format!("http://{}", local(config.address));
        Self { room: room.to_owned(), base, token: config.desk.as_str().to_owned() }
    }

    /// Requests an action. Returns the server's message.
    pub(super) async fn post(&self, action: &str, fields: &[(&str, String)]) -> Result<Option<String>, Failure> {
        let request = Request::new("POST", format!("{}/desk/{action}", self.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json");
        let exchange = self.exchange(request, form(fields).into_bytes()).await?;
        let answer: Answer = serde_json::from_slice(&exchange.body).map_err(|_| self.unexpected(&exchange))?;
        match answer.error {
            Some(error) => Err(Failure::failed(error)),
            None if exchange.status >= 400 => Err(self.unexpected(&exchange)),
            None => Ok(answer.message),
        }
    }

    /// Results of the last drill in a format.
    pub(super) async fn export(&self, format: &str) -> Result<Vec<u8>, Failure> {
        let request = Request::get(format!("{}/desk/export/{format}", self.base)).limit(Limit::Fail(EXPORT_LIMIT));
        let exchange = self.exchange(request, Vec::new()).await?;
        if exchange.status == 200 { Ok(exchange.body) } else { Err(self.unexpected(&exchange)) }
    }

    async fn exchange(&self, request: Request, body: Vec<u8>) -> Result<Exchange, Failure> {
        let request = request.bearer(&self.token).timeout(TIMEOUT);
        match Http::new().exchange(&request, body).await {
            Ok(Exchange { incomplete: Some(error), .. }) | Err(error) => Err(self.unreachable(&error)),
            Ok(exchange) => Ok(exchange),
        }
    }

    fn unreachable(&self, error: &HttpError) -> Failure {
        let message = format!("the server of {} does not answer: {error}", describe(&self.room));
        Failure::failed(message).hint(format!("lab room resume {} starts it again if it was killed", self.room))
    }

    fn unexpected(&self, exchange: &Exchange) -> Failure {
        let text = String::from_utf8_lossy(&exchange.body);
        let reason = text.lines().next().unwrap_or_default();
        Failure::failed(format!("the server of {} answered {}: {reason}", describe(&self.room), exchange.status))
    }
}

/// Address of the server from this machine.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Fields in the encoding of forms.
fn form(fields: &[(&str, String)]) -> String {
    let url = reqwest::Url::parse_with_params("http://form/", fields);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_a_form() {
        let fields = [("text", "50% & more = ü\n".to_owned()), ("seat", "7".to_owned())];
        assert_eq!(form(&fields), "text=50%25+%26+more+%3D+%C3%BC%0A&seat=7");
        assert_eq!(form(&[]), "");
    }

    #[test]
    fn a_server_on_every_address_is_reached_on_loopback() {
        for (address, reached) in
            [("0.0.0.0:7000", "127.0.0.1:7000"), ("[::]:1", "[::1]:1"), ("192.168.1.7:80", "192.168.1.7:80")]
        {
            assert_eq!(local(address.parse().unwrap()).to_string(), reached);
        }
    }
}
