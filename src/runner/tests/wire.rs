//! [`MockWire`]: the sockets of the mock engine's stack. Traffic keeps its schedule in tokio's time.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::mock::{MockEngine, Reply};
use crate::metrics::{Exposition, ScrapeError};
use crate::traffic::{Amount, Cause, Load, Summary, TrafficProgress};
use crate::wire::{Probe, ProbeError, ProbeResponse, TrafficProgressFn, Wire};

/// How long a response takes.
const LATENCY: Duration = Duration::from_millis(1);
/// How long a probe takes.
const PROBE: Duration = Duration::from_millis(100);

pub(super) struct MockWire {
    engine: MockEngine,
    epoch: (DateTime<Utc>, Instant),
}

impl MockWire {
    pub(super) fn new(engine: MockEngine) -> Self {
        Self { engine, epoch: (Utc::now(), Instant::now()) }
    }

    fn now(&self) -> DateTime<Utc> {
        self.epoch.0 + TimeDelta::from_std(self.epoch.1.elapsed()).unwrap()
    }

    fn request(&self, url: &str, key: Option<&str>) -> Reply {
        self.engine.request(url.strip_prefix("mock://gateway").unwrap(), key)
    }
}

fn key(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find(|(name, _)| name == "X-API-Key").map(|(_, value)| value.as_str())
}

fn count(summary: &mut Summary, reply: Reply, at: Duration) {
    summary.sent += 1;
    match reply {
        Reply::Code(code) => {
            *summary.codes.entry(code).or_default() += 1;
            summary.latency.record(u64::try_from(LATENCY.as_micros()).unwrap()).unwrap();
        }
        Reply::Refused => *summary.errors.entry(Cause::Refused).or_default() += 1,
        Reply::Timeout => *summary.errors.entry(Cause::Timeout).or_default() += 1,
    }
    if reply == Reply::Code(200) {
        summary.lasting_success.get_or_insert(at);
    } else {
        summary.first_failure.get_or_insert(at);
        summary.last_failure = Some(at);
        summary.lasting_success = None;
    }
}

#[async_trait]
impl Wire for MockWire {
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary {
        assert!(!load.url.ends_with("/panic"), "a defect in the traffic");
        let begun = Instant::now();
        let mut summary = Summary::new(self.now());
        let Amount::Requests(planned) = load.amount else { panic!("the tests count requests") };
        for number in 0..planned {
            let at = Duration::from_secs_f64(f64::from(u32::try_from(number).unwrap()) / load.rate);
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    summary.interrupted = true;
                    break;
                }
                () = tokio::time::sleep_until(begun + at) => {}
            }
            count(&mut summary, self.request(&load.url, key(&load.headers)), at);
            progress(TrafficProgress { done: number + 1, planned });
        }
        tokio::time::sleep(LATENCY).await;
        summary.duration = begun.elapsed();
        summary
    }

    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError> {
        let instance = url.strip_prefix("mock://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
        let unreachable = || ScrapeError::Unreachable { url: url.to_owned(), detail: "refused".to_owned() };
        let text = self.engine.exposition(instance).ok_or_else(unreachable)?;
        Ok(Exposition::parse(&text, None).unwrap())
    }

    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError> {
        tokio::time::sleep(PROBE).await;
        let headers: Vec<_> = probe.headers.clone().into_iter().collect();
        let error = |detail: &str| ProbeError { url: probe.url.clone(), detail: detail.to_owned() };
        match self.request(&probe.url, key(&headers)) {
            Reply::Code(200) => Ok(ProbeResponse { status: 200, body: "{\"status\": \"ok\"}".to_owned() }),
            Reply::Code(status) => Ok(ProbeResponse { status, body: "{\"error\": \"unauthorized\"}".to_owned() }),
            Reply::Refused => Err(error("refused")),
            Reply::Timeout => Err(error("timeout")),
        }
    }
}
