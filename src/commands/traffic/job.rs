//! Builds a [`Job`] from the arguments of `lab traffic`.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::cli::SendArgs;
use crate::commands::session::Session;
use lab_core::API_KEY_HEADER;
use lab_core::error::Failure;
use lab_runner::callers::CallersProcess;
use lab_scenario::{Expected, value};
use lab_traffic::{Amount, Arrivals, Caller, Job, Pace, RequestSpec, Stage, read_body, read_targets};

/// Number of requests, unless given.
const DEFAULT_REQUESTS: u64 = 40;
/// Rate in requests per second, unless given.
pub(in crate::commands) const DEFAULT_RATE: f64 = 20.0;
/// Duration of the closed model, unless given.
const DEFAULT_LENGTH: Duration = Duration::from_secs(10);
/// Assumed capacity of a connection in requests per second: responses within 20 ms.
const RATE_OF_A_CONNECTION: f64 = 50.0;
/// Upper limit of connections, unless given.
const DEFAULT_CONNECTIONS: u32 = 64;

/// Usage error of an option.
fn usage<E: Display>(option: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::usage(format!("--{option}: {error}"))
}

/// Sends to the given URL, or through the lab's gateway with the caller's key.
pub(super) async fn job(session: &Session, args: &SendArgs) -> anyhow::Result<Job> {
    if args.as_callers {
        return as_callers(session, args).await;
    }
    let (pace, amount, connections) = pace(args, DEFAULT_RATE)?;
    let time = |option, text: &Option<String>, read: fn(&str) -> Result<Duration, Expected>| {
        text.as_deref().map(|text| read(text).map_err(usage(option))).transpose()
    };
    let timeout = value::timeout(&args.timeout).map_err(usage("timeout"))?;
    let connect_timeout = time("connect-timeout", &args.connect_timeout, value::timeout)?;
    let warmup = time("warmup", &args.warmup, value::duration)?;
    let given = keys(&args.keys)?;
    let mut requests = requests(args)?;
    let mut default_key = None;
    // Paths need the lab; full URLs do not.
    if requests.iter().any(|request| request.url.starts_with('/')) {
        let base = if let Some(url) = &args.url {
            origin(url)?
        } else {
            let connected = session.connect()?;
            default_key = Some(connected.record.caller_key.clone());
            if given.is_empty() && !connected.record.callers.is_empty() {
                let callers: Vec<&str> = connected.record.callers.keys().map(String::as_str).collect();
                let callers = callers.join(", ");
                session
                    .term
                    .note(&format!("this lab also has the callers {callers}: lab traffic --as-callers sends as them"));
            }
            connected.describe().await?.endpoints.gateway
        };
        for request in requests.iter_mut().filter(|request| request.url.starts_with('/')) {
            request.url.insert_str(0, &base);
        }
    }
    Ok(Job {
        requests,
        callers: callers(given, default_key),
        pace,
        amount,
        warmup: warmup.unwrap_or_default(),
        connections,
        keepalive: !args.no_keepalive,
        connect_timeout: connect_timeout.unwrap_or(timeout),
        timeout,
    })
}

/// One round of the mix of the lab's callers.
async fn as_callers(session: &Session, args: &SendArgs) -> anyhow::Result<Job> {
    let connected = session.connect()?;
    let running = CallersProcess::new(&connected.lab);
    let mix = match running.state().filter(|_| running.is_running()) {
        Some(state) => state.mix,
        None => crate::commands::callers::mix(&connected.lab, None, &[])?,
    };
    let (pace, amount, connections) = pace(args, mix.rate())?;
    let gateway = connected.describe().await?.endpoints.gateway;
    let job = mix.job(&gateway, &connected.record, amount);
    let connections = if args.connections.is_some() { connections } else { job.connections };
    let warmup = args.warmup.as_deref().map(value::duration).transpose().map_err(usage("warmup"))?;
    Ok(Job { pace, connections, keepalive: !args.no_keepalive, warmup: warmup.unwrap_or_default(), ..job })
}

/// Resolves the pace, the end condition and the number of connections. `rate` is used unless one is given.
pub(in crate::commands) fn pace(args: &SendArgs, rate: f64) -> Result<(Pace, Amount, u32), Failure> {
    let connections = args.connections.as_deref().map(value::connections).transpose().map_err(usage("connections"))?;
    let amount = match (&args.requests, &args.duration) {
        (_, Some(duration)) => Some(Amount::Duration(value::duration(duration).map_err(usage("duration"))?)),
        (Some(requests), None) => Some(Amount::Requests(value::requests(requests).map_err(usage("requests"))?)),
        (None, None) => None,
    };
    let (stages, amount) = if !args.stages.is_empty() {
        let stages =
            args.stages.iter().map(|text| stage(text)).collect::<Result<Vec<_>, _>>().map_err(usage("stage"))?;
        let length = stages.iter().map(|stage| stage.length).sum();
        (stages, Amount::Duration(length))
    } else if let (Some(connections), None) = (connections, &args.rate) {
        if args.poisson {
            return Err(Failure::usage(
                "--poisson requires --rate: without it, each request waits for the previous response",
            ));
        }
        return Ok((Pace::Closed, amount.unwrap_or(Amount::Duration(DEFAULT_LENGTH)), connections));
    } else {
        let rate = args.rate.as_deref().map_or(Ok(rate), self::rate).map_err(usage("rate"))?;
        (vec![Stage::steady(rate)], amount.unwrap_or(Amount::Requests(DEFAULT_REQUESTS)))
    };
    let arrivals = if args.poisson { Arrivals::Poisson { seed: seed(args)? } } else { Arrivals::Even };
    let most = stages.iter().map(|stage| stage.from.max(stage.to)).fold(0.0, f64::max);
    let connections = connections.unwrap_or_else(|| default_connections(most));
    Ok((Pace::Open { stages, arrivals }, amount, connections))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is above 0, and the cast saturates"
)]
fn default_connections(rate: f64) -> u32 {
    ((rate / RATE_OF_A_CONNECTION).ceil() as u32).clamp(1, DEFAULT_CONNECTIONS)
}

fn seed(args: &SendArgs) -> Result<u64, Failure> {
    // 32 bits: short enough to retype and exact in every JSON parser.
    let random = || getrandom::u32().map(u64::from);
    args.seed.map_or_else(random, Ok).map_err(|error| Failure::failed(format!("cannot get a random number: {error}")))
}

/// Parses `20` or `20/s`.
fn rate(text: &str) -> Result<f64, Expected> {
    value::rate(text.strip_suffix("/s").unwrap_or(text))
}

/// Parses `30s:200` or `30s:0..200`.
fn stage(text: &str) -> Result<Stage, String> {
    const EXPECTED: &str = "expected a time and a rate, `30s:200`, or a ramp, `30s:0..200`";
    let (length, rate) = text.split_once(':').ok_or(EXPECTED)?;
    let length = value::duration(length.trim())?;
    if length.is_zero() {
        return Err("a stage must be longer than zero".to_owned());
    }
    // A ramp may start or end at 0.
    let read = |text: &str| if text.trim() == "0" { Ok(0.0) } else { self::rate(text.trim()) };
    let (from, to) = if let Some((from, to)) = rate.split_once("..") {
        (read(from)?, read(to)?)
    } else {
        let rate = self::rate(rate.trim())?;
        (rate, rate)
    };
    if from == 0.0 && to == 0.0 { Err(EXPECTED.to_owned()) } else { Ok(Stage { length, from, to }) }
}

/// Requests to send. A URL that starts with `/` is a path on the lab's gateway or on `--url`.
fn requests(args: &SendArgs) -> Result<Vec<RequestSpec>, Failure> {
    let mut headers = Vec::new();
    for header in &args.headers {
        let split = header.split_once(':').ok_or_else(|| format!("{header:?} has no colon: write 'Name: value'"));
        let (name, text) = split.map_err(usage("header"))?;
        let name = value::header_name(name.trim()).map_err(usage("header"))?;
        headers.push((name, value::header_value(text).map_err(usage("header"))?));
    }
    if let Some(file) = &args.targets {
        let mut requests = read_targets(file).map_err(|error| Failure::usage(format!("--targets: {error}")))?;
        for request in &mut requests {
            // Headers in the file override the headers of the command line.
            let own = |name: &str| request.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            let missing: Vec<_> = headers.iter().filter(|(name, _)| !own(name)).cloned().collect();
            request.headers.extend(missing);
        }
        return Ok(requests);
    }
    let body = args.body.as_deref().map(body).transpose()?;
    let default = if body.is_some() { "POST" } else { "GET" };
    let method = value::method(args.method.as_deref().unwrap_or(default)).map_err(usage("method"))?;
    let url = match &args.url {
        Some(url) => url.clone(),
        None => value::path(&args.path).map_err(usage("path"))?,
    };
    // An invalid URL must not be mistaken for a path.
    if args.url.is_some() && url.starts_with('/') {
        return Err(Failure::usage(format!("--url: {url:?} is not a URL: it must start with http://")));
    }
    Ok(vec![RequestSpec { url, method, headers, body: body.unwrap_or_default() }])
}

fn body(text: &str) -> Result<Vec<u8>, Failure> {
    match text.strip_prefix('@') {
        Some(file) => read_body(Path::new(file)).map_err(|error| Failure::usage(format!("--body: {error}"))),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// `http://host:port` of a URL.
fn origin(url: &str) -> Result<String, Failure> {
    let parsed = reqwest::Url::parse(url).ok().filter(reqwest::Url::has_host);
    let parsed =
        parsed.ok_or_else(|| Failure::usage(format!("--url: {url:?} is not a URL such as http://host:port")))?;
    Ok(parsed.origin().ascii_serialization())
}

/// Keys and their shares in percent.
fn keys(keys: &[String]) -> Result<Vec<(String, f64)>, Failure> {
    let mut read: Vec<(String, Option<f64>)> = Vec::new();
    for text in keys {
        let (key, share) = split_share(text);
        value::check_key(key).map_err(usage("key"))?;
        if read.iter().any(|(known, _)| known == key) {
            return Err(Failure::usage(format!("--key: {key} was given twice")));
        }
        read.push((key.to_owned(), share));
    }
    let wrong = |why: &str| Err(Failure::usage(format!("--key: {why}")));
    let given: f64 = read.iter().filter_map(|(_, share)| *share).sum();
    let others = read.iter().filter(|(_, share)| share.is_none()).count();
    if read.iter().any(|(_, share)| share.is_some_and(|share| share <= 0.0)) {
        return wrong("a share must be above 0%");
    }
    if given > 100.0 + 1e-9 || (others > 0 && given > 100.0 - 1e-9) {
        return wrong("the shares must add up to at most 100% and leave some for keys without a share");
    }
    if others == 0 && !read.is_empty() && given < 100.0 - 1e-9 {
        return wrong("the shares add up to less than 100%: omit one share to give that key the rest");
    }
    #[expect(clippy::cast_precision_loss, reason = "few keys")]
    let rest = (100.0 - given) / others.max(1) as f64;
    Ok(read.into_iter().map(|(key, share)| (key, share.unwrap_or(rest))).collect())
}

/// Splits `KEY=20%`; the key itself may contain an equals sign.
fn split_share(text: &str) -> (&str, Option<f64>) {
    let split = text.strip_suffix('%').and_then(|text| text.rsplit_once('='));
    match split.and_then(|(key, share)| Some((key, share.parse::<f64>().ok().filter(|share| share.is_finite())?))) {
        Some((key, share)) => (key, Some(share)),
        None => (text, None),
    }
}

/// Callers: the given keys, else the lab's caller, else one without a key.
fn callers(keys: Vec<(String, f64)>, default: Option<String>) -> Vec<Caller> {
    let header = |key: &str| vec![(API_KEY_HEADER.to_owned(), key.to_owned())];
    if keys.is_empty() {
        let headers = default.as_deref().map(header).unwrap_or_default();
        return vec![Caller::new(&default.unwrap_or_default(), headers, 1.0)];
    }
    keys.into_iter().map(|(name, share)| Caller::new(&name, header(&name), share / 100.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(texts: &[&str]) -> Result<Vec<(String, f64)>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        keys(&texts).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_without_a_share_get_the_rest() {
        let of = |texts: &[&str]| shares(texts).expect("valid").into_iter().map(|(_, share)| share).collect::<Vec<_>>();
        assert_eq!(of(&["a"]), [100.0]);
        assert_eq!(of(&["a", "b=20%"]), [80.0, 20.0]);
        assert_eq!(of(&["a", "b", "c=50%"]), [25.0, 25.0, 50.0]);
        assert_eq!(of(&["a=99.5%", "b=0.5%"]), [99.5, 0.5]);
        assert_eq!(shares(&["c2VjcmV0==10%", "x"]).expect("valid")[0].0, "c2VjcmV0=");
        assert_eq!(shares(&["c2VjcmV0="]).expect("valid")[0].0, "c2VjcmV0=");
    }

    #[test]
    fn shares_that_do_not_add_up_are_refused() {
        for texts in
            [&["a=0%", "b"] as &[_], &["a=100%", "b"], &["a=60%", "b=60%"], &["a=50%"], &["a", "a=5%"], &["=5%", "a"]]
        {
            let refused = shares(texts).expect_err("it must be refused");
            assert!(refused.starts_with("--key: "), "{refused}");
        }
    }

    #[test]
    fn a_stage_is_steady_or_a_ramp() {
        let stage = |text| stage(text).map(|stage| (stage.length.as_secs_f64(), stage.from, stage.to));
        assert_eq!(stage("10s:50"), Ok((10.0, 50.0, 50.0)));
        assert_eq!(stage("1.5s:0..200"), Ok((1.5, 0.0, 200.0)));
        assert_eq!(stage("2m: 200 .. 0"), Ok((120.0, 200.0, 0.0)));
        assert_eq!(stage("10s:50/s"), Ok((10.0, 50.0, 50.0)));
        assert_eq!(stage("10s:0..50/s"), Ok((10.0, 0.0, 50.0)));
        for wrong in ["", "10s", "10:50", "10s:0", "10s:0..0", "0s:5", "10s:-5", "10s:5..", "10s:1e7"] {
            assert!(stage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn connections_follow_the_rate() {
        assert_eq!([20.0, 50.0, 51.0, 1000.0, 1e6].map(default_connections), [1, 1, 2, 20, 64]);
    }
}
