//! Header rewriting of the proxy: removes hop-by-hop headers in both directions (RFC 9110, 7.6.1) and adds headers that identify
//! the client to the upstream.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, MAX_FORWARDS, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use hyper::{HeaderMap, Method, Version};

use super::config::ClientCredentials;
use super::proxy::Refusal;

/// The caller's key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The gateway's own credentials. Values sent by callers are removed.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Not an HTTP header, but CGI programs read it as the variable `HTTP_PROXY`.
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// Removes hop-by-hop headers from a request or response.
pub(super) fn strip_hop(headers: &mut HeaderMap) {
    // Headers named in `Connection` are hop-by-hop, except for those that frame the message.
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
    // If both are present, the length is invalid (RFC 9112, 6.3).
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

/// Rewrites the headers of a request for the upstream. `peer` is the caller's address, `client` the gateway's credentials.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    forward_api_key: bool,
    client: Option<&ClientCredentials>,
) {
    strip_hop(headers);
    // The gateway answers `Expect` itself as soon as the upstream accepts the body.
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

/// Support for a message's transfer coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// No coding, or only `chunked`.
    Known,
    /// A coding that the gateway cannot decode. Forwarding the body without its coding would change its meaning.
    Unknown,
    /// Several header fields, which recipients may combine differently.
    Ambiguous,
}

/// Evaluates `Transfer-Encoding`.
pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let mut given = headers.get_all(TRANSFER_ENCODING).iter();
    match (given.next(), given.next()) {
        (None, _) => Coding::Known,
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Coding::Known,
        (Some(_), None) => Coding::Unknown,
        (Some(_), Some(_)) => Coding::Ambiguous,
    }
}

/// Reduces repeated `Content-Length` values of a response to one (RFC 9110, 8.6). Returns `false` if they differ or are
/// invalid.
pub(super) fn unify_length(headers: &mut HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = given.next() else { return true };
    let number = |text: &[u8]| {
        let text = std::str::from_utf8(text.trim_ascii()).ok()?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let lengths = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').map(number).collect::<Vec<_>>();
    if given.next().is_none() && first.as_bytes().iter().all(u8::is_ascii_digit) {
        return number(first.as_bytes()).is_some();
    }
    let all: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().flat_map(lengths).collect();
    match all.first().copied().flatten().filter(|one| all.iter().all(|length| *length == Some(*one))) {
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            true
        }
        None => false,
    }
}

/// Decrements `Max-Forwards` (RFC 9110, 7.6.2). It applies to OPTIONS and TRACE, and the gateway never forwards TRACE.
pub(super) fn count_forwards(headers: &mut HeaderMap, method: &Method) -> Result<(), Refusal> {
    if *method != Method::OPTIONS {
        return Ok(());
    }
    let mut given = headers.get_all(MAX_FORWARDS).iter();
    let left: u32 = match (given.next(), given.next()) {
        (None, _) => return Ok(()),
        (Some(value), None) if value.as_bytes().iter().all(u8::is_ascii_digit) => {
            value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Refusal::BadRequest)?
        }
        _ => return Err(Refusal::BadRequest),
    };
    let left = left.checked_sub(1).ok_or(Refusal::LastRecipient)?;
    headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    Ok(())
}

/// Adds this gateway to the `Via` header (RFC 9110, 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, received: Version) {
    let via = if received == Version::HTTP_10 { "1.0 gateway" } else { "1.1 gateway" };
    headers.append(VIA, HeaderValue::from_static(via));
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
    use hyper::header::{HeaderName, HeaderValue};
    use hyper::{HeaderMap, Method};

    use super::super::config::ClientCredentials;
    use super::super::proxy::Refusal;
    use super::{Coding, coding, count_forwards, strip_hop, to_upstream, unify_length};

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_headers_are_removed_with_those_named_in_connection() {
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
            ("x-end", "kept"),
        ]);
        strip_hop(&mut headers);
        assert_eq!(headers, map(&[("x-end", "kept")]));
    }

    #[test]
    fn connection_cannot_remove_the_framing() {
        let mut headers = map(&[("connection", "content-length"), ("content-length", "5")]);
        strip_hop(&mut headers);
        assert_eq!(headers, map(&[("content-length", "5")]));
        let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        strip_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_client_address_is_appended_and_cannot_be_removed() {
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
    fn only_chunked_is_known() {
        let of = |values: &[&'static str]| {
            coding(&map(&values.iter().map(|value| ("transfer-encoding", *value)).collect::<Vec<_>>()))
        };
        assert_eq!((of(&[]), of(&["Chunked"])), (Coding::Known, Coding::Known));
        for unknown in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            assert_eq!(of(&[unknown]), Coding::Unknown, "{unknown:?}");
        }
        assert_eq!(of(&["chunked", "chunked"]), Coding::Ambiguous);
    }

    #[test]
    fn equal_lengths_are_unified_and_others_rejected() {
        let unified = |values: &[&'static str]| {
            let mut headers = map(&values.iter().map(|value| ("content-length", *value)).collect::<Vec<_>>());
            unify_length(&mut headers).then_some(headers)
        };
        assert_eq!(unified(&[]), Some(map(&[])));
        for same in [&["2"][..], &["2", "2"], &["2, 2"], &["2 ,2", " 2"]] {
            assert_eq!(unified(same), Some(map(&[("content-length", "2")])), "{same:?}");
        }
        for wrong in [&[""][..], &["x"], &["+2"], &["2,"], &["2", "3"], &["2, 3"], &["99999999999999999999"]] {
            assert_eq!(unified(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn forwards_are_counted_down_to_the_last_recipient() {
        let count = |method: Method, given: &[(&'static str, &'static str)]| {
            let mut headers = map(given);
            count_forwards(&mut headers, &method).map(|()| headers)
        };
        assert_eq!(count(Method::OPTIONS, &[("max-forwards", "10")]), Ok(map(&[("max-forwards", "9")])));
        assert_eq!(count(Method::OPTIONS, &[("max-forwards", "0")]), Err(Refusal::LastRecipient));
        assert_eq!(count(Method::OPTIONS, &[]), Ok(map(&[])));
        for bad in ["", "-1", "+1", "x", "99999999999"] {
            assert_eq!(count(Method::OPTIONS, &[("max-forwards", bad)]), Err(Refusal::BadRequest), "{bad:?}");
        }
        let twice = [("max-forwards", "1"), ("max-forwards", "1")];
        assert_eq!(count(Method::OPTIONS, &twice), Err(Refusal::BadRequest));
        assert_eq!(count(Method::GET, &[("max-forwards", "0")]), Ok(map(&[("max-forwards", "0")])));
    }

    #[test]
    fn forged_gateway_credentials_are_removed() {
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
