//! Parses single values of a compose file: durations, sizes, ports, names. Errors describe the expected value, as a label under
//! the actual one.

use std::time::Duration;

use crate::{Condition, Port};
use lab_system::duration::parts;

use super::value_error::ValueError;

/// Parses `500ms`, `1.5s`, `1m30s`.
pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    const UNITS: [(&str, f64); 6] = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let mut seconds = 0.0;
    for (number, unit) in parts(text, &UNITS).ok_or(ValueError::Duration)? {
        seconds += number.parse::<f64>().map_err(|_| ValueError::Duration)? * unit;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|it| it.as_secs() <= 86_400).ok_or(ValueError::LongDuration)
}

/// Parses a duration above 0.
pub(super) fn span(text: &str) -> Result<Duration, ValueError> {
    let span = duration(text)?;
    if span.is_zero() { Err(ValueError::Zero) } else { Ok(span) }
}

/// Parses a size such as `64m`, `1g` or `512kb`. Units are powers of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, ValueError> {
    let text = text.to_ascii_lowercase();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return Err(ValueError::Size),
    };
    let whole = |number: &str| number.parse::<u64>().ok()?.checked_mul(1 << shift);
    let fraction = |number: &str| {
        let bytes = number.parse::<f64>().ok().filter(|_| shift > 0)? * f64::from(1_u32 << shift);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        (bytes < 1e15).then_some(bytes as u64)
    };
    whole(number).or_else(|| fraction(number)).filter(|bytes| *bytes > 0).ok_or(ValueError::Size)
}

/// Parses a number of cores, with fractions.
pub(super) fn cpus(text: &str) -> Result<f64, ValueError> {
    let cpus = text.parse::<f64>().ok().filter(|cpus| *cpus >= 0.01 && *cpus <= 1024.0);
    cpus.ok_or(ValueError::Cores)
}

/// Parses a limit of processes.
pub(super) fn pids(text: &str) -> Result<i64, ValueError> {
    let pids = text.parse::<i64>().ok().filter(|pids| *pids == -1 || *pids > 0);
    pids.ok_or(ValueError::Limit)
}

/// Parses a number of attempts.
pub(super) fn retries(text: &str) -> Result<u32, ValueError> {
    text.parse::<u32>().ok().filter(|it| *it > 0).ok_or(ValueError::Count)
}

pub(super) fn boolean(text: &str) -> Result<bool, ValueError> {
    text.parse::<bool>().map_err(|_| ValueError::Boolean)
}

/// Parses a port in a container.
pub(super) fn port(text: &str) -> Result<u16, ValueError> {
    text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(ValueError::Port)
}

/// Parses a port on the host. 0 and an empty value mean any free port.
pub(super) fn published(text: &str) -> Result<Option<u16>, ValueError> {
    if text.contains('-') {
        return Err(ValueError::PortRange);
    }
    match text {
        "" | "0" => Ok(None),
        _ => port(text).map(Some),
    }
}

/// Checks the host address of a port.
pub(super) fn host_ip(text: &str) -> Result<(), ValueError> {
    if text == "127.0.0.1" { Ok(()) } else { Err(ValueError::HostAddress) }
}

/// Checks the protocol of a port.
pub(super) fn protocol(text: &str) -> Result<(), ValueError> {
    if text == "tcp" { Ok(()) } else { Err(ValueError::Protocol) }
}

/// Parses `127.0.0.1:8080:80` or `127.0.0.1::80`, optionally with `/tcp`.
pub(super) fn short_port(text: &str) -> Result<Port, ValueError> {
    let (written, kind) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    protocol(kind)?;
    let parts: Vec<&str> = written.rsplitn(3, ':').collect();
    match parts[..] {
        [target, host, ip] => {
            host_ip(ip)?;
            Ok(Port { published: published(host)?, target: port(target)? })
        }
        [target, host] => Err(ValueError::NoHostAddress(format!("127.0.0.1:{host}:{target}"))),
        _ => Err(ValueError::NoHostPort(written.to_owned())),
    }
}

/// Parses the condition of a dependency.
pub(super) fn condition(text: &str) -> Result<Condition, ValueError> {
    match text {
        "service_started" => Ok(Condition::Started),
        "service_healthy" => Ok(Condition::Healthy),
        _ => Err(ValueError::Condition),
    }
}

/// Parses the name of a service or a volume. A service's name is also its host name.
pub(super) fn name(text: &str) -> Result<String, ValueError> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let sane = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if starts && sane && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    Err(ValueError::Name)
}

/// Parses the name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, ValueError> {
    if !text.is_empty() && !text.contains(['=', '\0', ' ', '\n']) {
        return Ok(text.to_owned());
    }
    Err(ValueError::Variable)
}

/// Parses a path in a container.
pub(super) fn target(text: &str) -> Result<String, ValueError> {
    let plain = text.trim_end_matches('/');
    if text.starts_with('/') && !plain.is_empty() && !plain.contains(':') && !plain.split('/').any(|part| part == "..")
    {
        return Ok(plain.to_owned());
    }
    Err(ValueError::ContainerPath)
}

/// Parses a path in a URL.
pub(super) fn http_path(text: &str) -> Result<String, ValueError> {
    if text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(ValueError::UrlPath)
}

/// Parses any text that is not empty.
pub(super) fn text(text: &str) -> Result<String, ValueError> {
    if text.trim().is_empty() { Err(ValueError::Empty) } else { Ok(text.to_owned()) }
}

/// Splits a command line into words as a shell does, with quotes and backslashes only.
pub(super) fn words(line: &str) -> Result<Vec<String>, ValueError> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or(ValueError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ValueError::Quote);
    }
    words.extend(word);
    if words.is_empty() { Err(ValueError::Command) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, short_port, words};
    use crate::Port;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "5", "s", "5 s", "-1s", "1d", "1..5s", "1e3s", "99999h", "1s2"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("64m"), Ok(64 << 20));
        assert_eq!(bytes("1.5GB"), Ok(3 << 29));
        assert_eq!(bytes("100"), Ok(100));
        for bad in ["", "m", "0", "-1m", "1.5", "1t", "1 m", "99999999999999999999g"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_published_on_loopback() {
        assert_eq!(short_port("127.0.0.1:8080:80"), Ok(Port { published: Some(8080), target: 80 }));
        for free in ["127.0.0.1::80", "127.0.0.1:0:80/tcp"] {
            assert_eq!(short_port(free), Ok(Port { published: None, target: 80 }), "{free}");
        }
        assert!(short_port("8080:80").unwrap_err().to_string().ends_with("write `127.0.0.1:8080:80`"));
        assert!(short_port("80").unwrap_err().to_string().contains("write `127.0.0.1::80`"));
        for bad in ["0.0.0.0:80:80", "[::1]:80:80", "127.0.0.1:80:80/udp", "127.0.0.1:8000-8010:80", "127.0.0.1:x:80"] {
            assert!(short_port(bad).is_err(), "{bad}");
        }
        assert!(short_port("127.0.0.1:80:0").is_err());
    }

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let split = |line: &str| words(line).unwrap();
        assert_eq!(
            split(r#"nginx  -g 'daemon off;' "a \"b" c\ d ''"#),
            ["nginx", "-g", "daemon off;", "a \"b", "c d", ""]
        );
        for bad in ["", "  ", "'a", "a\\"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
