//! Compression of large response bodies with gzip, for clients that accept it.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smallest body that is worth compressing, in bytes.
const MIN_SIZE: usize = 4096;

/// Response with this body, compressed if it is large and the request accepts gzip.
pub fn respond(request: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let compressed = (body.len() >= MIN_SIZE && accepts_gzip(request)).then(|| compress(&body)).flatten();
    let is_compressed = compressed.is_some();
    let mut response = Response::new(Body::from(compressed.unwrap_or(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Returns true if `Accept-Encoding` lists gzip, unless with weight 0 (RFC 9110, section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f64>);
        is_gzip && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(accept: Option<&'static str>, size: usize) -> Option<HeaderValue> {
        let accept = accept.map(|value| (header::ACCEPT_ENCODING, HeaderValue::from_static(value)));
        let response = respond(&accept.into_iter().collect(), "text/plain", vec![b'a'; size]);
        response.headers().get(header::CONTENT_ENCODING).cloned()
    }

    #[test]
    fn only_large_bodies_are_compressed_and_only_if_the_client_accepts_it() {
        for accept in ["gzip", "deflate, gzip, br", "br;q=1.0, GZIP;q=0.5"] {
            assert_eq!(encoding(Some(accept), MIN_SIZE), Some(HeaderValue::from_static("gzip")), "{accept}");
        }
        for accept in ["identity", "gzip;q=0", "deflate", "gzip;q=x"] {
            assert_eq!(encoding(Some(accept), MIN_SIZE), None, "{accept}");
        }
        assert_eq!(encoding(None, MIN_SIZE), None);
        assert_eq!(encoding(Some("gzip"), MIN_SIZE - 1), None);
    }
}
