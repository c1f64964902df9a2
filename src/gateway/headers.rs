//! The headers a proxy changes: those of one hop are taken off either way (RFC 9110, 7.6.1), and those that tell the
//! upstream whose request it is are put on.

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::config::ClientCredentials;

/// Carries the caller's key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Carry the gateway's own credentials, and never a caller's.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Not a header of HTTP, but CGI programs take it for the variable `HTTP_PROXY`.
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// Takes off what concerns the one hop alone, in requests and responses.
pub(super) fn strip_hop(headers: &mut HeaderMap) {
    // Named by the sender; whatever it is, it does not go further. The framing is ours to see to.
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING)
        .collect();
    for name in named {
        headers.remove(name);
    }
    // Where both are there, the length is wrong (RFC 9112, 6.3).
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [CONNECTION, KEEP_ALIVE, TE, TRAILER, UPGRADE, PROXY] {
        headers.remove(name);
    }
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with("proxy-")).cloned() {
        headers.remove(name);
    }
}

/// Makes the headers of a request those of the request to the upstream. `peer` is the caller's address, `client` what the
/// gateway proves itself by.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    forward_api_key: bool,
    client: Option<&ClientCredentials>,
) {
    strip_hop(headers);
    // Answered by us, as soon as the upstream takes the body.
    headers.remove(EXPECT);
    if !forward_api_key {
        headers.remove(API_KEY);
    }
    headers.remove(CLIENT_ID);
    headers.remove(CLIENT_SECRET);
    if let Some(client) = client {
        headers.insert(CLIENT_ID, client.id.clone());
        headers.insert(CLIENT_SECRET, client.secret.clone());
    }
    let via = forwarded_for(headers, peer);
    headers.insert(FORWARDED_FOR, via);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
}

fn forwarded_for(headers: &HeaderMap, peer: &HeaderValue) -> HeaderValue {
    if !headers.contains_key(FORWARDED_FOR) {
        return peer.clone();
    }
    let before = headers.get_all(FORWARDED_FOR).iter().filter(|value| !value.is_empty());
    let all: Vec<&[u8]> = before.chain([peer]).map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or_else(|_| peer.clone())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    use super::super::config::ClientCredentials;
    use super::{strip_hop, to_upstream};

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_hop_headers_go_with_those_that_connection_names() {
        let mut headers = map(&[
            ("connection", "close, X-Hop"),
            ("connection", "x-other,, not a name"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("proxy-anything", "x"),
            ("proxy", "x"),
            ("te", "trailers"),
            ("trailer", "x-t"),
            ("upgrade", "websocket"),
            ("x-end", "stays"),
        ]);
        strip_hop(&mut headers);
        assert_eq!(headers, map(&[("x-end", "stays")]));
    }

    #[test]
    fn the_framing_is_not_the_senders_to_strip() {
        let mut headers = map(&[("connection", "content-length"), ("content-length", "5")]);
        strip_hop(&mut headers);
        assert_eq!(headers, map(&[("content-length", "5")]));
        let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        strip_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_client_is_appended_and_cannot_take_itself_off() {
        let peer = HeaderValue::from_static("192.0.2.1");
        let mut headers = map(&[("x-api-key", "k"), ("expect", "100-continue"), ("connection", "x-forwarded-for")]);
        to_upstream(&mut headers, &peer, true, None);
        assert_eq!(
            headers,
            map(&[("x-api-key", "k"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")])
        );

        let mut headers = map(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2"), ("x-api-key", "k")]);
        to_upstream(&mut headers, &peer, false, None);
        let expected = [("x-forwarded-for", "10.0.0.1, 10.0.0.2, 192.0.2.1"), ("x-forwarded-proto", "http")];
        assert_eq!(headers, map(&expected));
    }

    #[test]
    fn the_gateways_credentials_are_its_own() {
        let peer = HeaderValue::from_static("192.0.2.1");
        let forged = map(&[("x-client-id", "gateway"), ("x-client-secret", "guess"), ("x-client-secret", "again")]);
        let mut headers = forged.clone();
        to_upstream(&mut headers, &peer, true, None);
        let expected = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")];
        assert_eq!(headers, map(&expected));

        let client =
            ClientCredentials { id: HeaderValue::from_static("gateway"), secret: HeaderValue::from_static("s1") };
        let mut headers = forged;
        to_upstream(&mut headers, &peer, true, Some(&client));
        let own = [("x-client-id", "gateway"), ("x-client-secret", "s1")];
        assert_eq!(headers, map(&[&own[..], &expected].concat()));
    }
}
