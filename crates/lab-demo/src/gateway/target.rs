//! Validation of methods, request targets and hosts. [`check`] rejects the methods and targets that nginx rejects too.

use std::net::Ipv6Addr;

use hyper::{Method, Uri};

use super::proxy::Refusal;

/// Rejects methods and targets that cannot be forwarded.
pub(super) fn check(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(Refusal::MethodNotAllowed);
    }
    // Methods are case-sensitive (RFC 9110, 9.1), and all registered ones are in upper case.
    if !method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte == b'-') {
        return Err(Refusal::BadRequest);
    }
    // An authority without a scheme is only valid for CONNECT (RFC 9112, 3.2.3).
    if (uri.authority().is_some() && uri.scheme().is_none()) || !is_path(uri.path()) {
        return Err(Refusal::BadRequest);
    }
    Ok(())
}

/// Returns `true` for an absolute path with complete escapes that does not lead above its root.
fn is_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    if bytes.next() != Some(b'/') {
        return false;
    }
    // Number of dots in a segment that consists only of dots.
    let (mut depth, mut dots) = (0_u32, Some(0_u32));
    loop {
        let byte = match bytes.next() {
            Some(b'%') => match (hex(bytes.next()), hex(bytes.next())) {
                (Some(high), Some(low)) if high + low > 0 => Some(high << 4 | low),
                _ => return false,
            },
            byte => byte,
        };
        match byte {
            Some(b'.') => dots = dots.map(|count| count.saturating_add(1)),
            Some(b'/') | None => {
                match dots {
                    Some(0 | 1) => {}
                    Some(2) if depth == 0 => return false,
                    Some(2) => depth -= 1,
                    _ => depth += 1,
                }
                dots = Some(0);
            }
            Some(_) => dots = None,
        }
        if byte.is_none() {
            return true;
        }
    }
}

fn hex(byte: Option<u8>) -> Option<u8> {
    char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Returns `true` for a `uri-host [ ":" port ]` (RFC 9110, 7.2).
pub(super) fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    if let Some(literal) = text.strip_prefix('[') {
        return literal.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && is_name(name) && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// Returns `true` for a `reg-name` (RFC 3986, 3.2.2).
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => hex(bytes.next()).is_some() && hex(bytes.next()).is_some(),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use hyper::{Method, Uri};

    use super::super::proxy::Refusal;
    use super::{check, is_host};

    fn checked(method: &str, target: &str) -> Result<(), Refusal> {
        check(&Method::from_bytes(method.as_bytes()).unwrap(), &target.parse::<Uri>().unwrap())
    }

    #[test]
    fn a_target_is_a_path_below_the_root_or_an_absolute_url() {
        for target in ["/", "/a/../b", "/a/b/../../c", "/...", "/a%2Fb/..", "//a", "/.", "http://a/b", "http://a?b=%zz"]
        {
            assert_eq!(checked("GET", target), Ok(()), "{target}");
        }
        for target in ["/..", "/../a", "/a/../../b", "/%2e%2E/a", "/a%2f..%2f../b", "/%", "/%zz", "/%0", "/%00", "*"] {
            assert_eq!(checked("GET", target), Err(Refusal::BadRequest), "{target}");
        }
        assert_eq!(checked("GET", "a.test:80"), Err(Refusal::BadRequest), "a target of CONNECT");
    }

    #[test]
    fn methods_are_in_upper_case_and_neither_connect_nor_trace() {
        for method in ["GET", "PURGE", "M-SEARCH", "X_Y"] {
            assert_eq!(checked(method, "/"), Ok(()), "{method}");
        }
        for method in ["get", "Get", "X1", "X!"] {
            assert_eq!(checked(method, "/"), Err(Refusal::BadRequest), "{method}");
        }
        assert_eq!(checked("TRACE", "/"), Err(Refusal::MethodNotAllowed));
        assert_eq!(checked("CONNECT", "a.test:80"), Err(Refusal::MethodNotAllowed));
    }

    #[test]
    fn a_host_is_a_name_or_address_with_an_optional_port() {
        for host in ["a", "a.test", "a_b:8080", "a:", "127.0.0.1:80", "[::1]", "[::1]:80", "a%20b"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in
            ["", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "a:70000", "a%2", "[::1", "[a]", "[::1]80", "\u{e9}"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"a\xff"));
    }
}
