//! Checks against requests of other sites. Browsers send them for pages that a person has open beside lab's own, and also for
//! host names that an attacker lets resolve to this machine (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Adds the security headers of a page to a response: its content security policy, its referrer policy, and no use by other
/// sites or by caches.
pub fn secure(response: &mut HeaderMap, policy: &'static str, referrer: &'static str) {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, referrer),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.insert(name, HeaderValue::from_static(value));
    }
}

/// Splits a `Host` value into host and port. The port defaults to 80, which browsers omit.
pub fn host_and_port(host: &str) -> (&str, &str) {
    // A value that ends with a bracket is an IPv6 address without a port.
    host.rsplit_once(':').filter(|_| !host.ends_with(']')).unwrap_or((host, "80"))
}

/// Returns `true` if `host:port` addresses the server that listens on `address` by IP address or as `localhost`. Other names
/// are rejected, because an attacker could point them here.
pub fn is_own(host: &str, address: SocketAddr) -> bool {
    let (name, port) = host_and_port(host);
    if port != address.port().to_string() {
        return false;
    }
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip == address.ip() || !address.ip().is_loopback())
}

/// Value of the `Host` header. Empty if it is missing, `?` if it is no text.
pub fn host(headers: &HeaderMap) -> &str {
    text(headers, header::HOST).unwrap_or_default()
}

/// Returns `true` for a request that a page of another site makes. `is_document` is set if another site may link to what is
/// requested.
pub fn is_foreign(headers: &HeaderMap, is_document: bool) -> bool {
    let site = text(headers, header::HeaderName::from_static("sec-fetch-site"));
    let mode = text(headers, header::HeaderName::from_static("sec-fetch-mode"));
    let is_link = is_document && mode == Some("navigate");
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none") && !is_link;
    let own = Some(host_and_port(host(headers)));
    foreign
        || text(headers, header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://").map(host_and_port) != own)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
