//! [`MockWire`]: the sockets of the mock engine's stack. Traffic follows its schedule in tokio's time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::engine::{MockEngine, Reply};
use lab_telemetry::alerts::Monitor;
use lab_telemetry::metrics::{Exposition, Moment, ScrapeError, names};
use lab_telemetry::wire::{Probe, ProbeError, ProbeResponse, TrafficProgressFn, Wire};
use lab_traffic::{Amount, Cause, Interval, Load, Summary, TrafficCommands, TrafficProgress};

/// Latency of a response.
const LATENCY: Duration = Duration::from_millis(1);
/// Duration of a probe.
const PROBE: Duration = Duration::from_millis(100);
/// Time for requests in flight to finish after a cancellation.
const GRACE: Duration = Duration::from_millis(200);
/// Maximum number of app instances to look for.
const INSTANCES: u32 = 20;

/// Wire of a mock engine.
pub struct MockWire {
    engine: MockEngine,
    epoch: (DateTime<Utc>, Instant),
    /// Alerts that Prometheus would derive from the app's metrics.
    monitor: Mutex<Monitor>,
}

impl MockWire {
    /// Wire of this engine. Alerts start now.
    pub fn new(engine: MockEngine) -> Self {
        let rules =
            lab_telemetry::alerts::built_in_rules().unwrap_or_else(|error| panic!("lab's own rules: {error:?}"));
        Self { engine, epoch: (Utc::now(), Instant::now()), monitor: Mutex::new(Monitor::new(rules)) }
    }

    fn now(&self) -> DateTime<Utc> {
        self.epoch.0 + TimeDelta::from_std(self.epoch.1.elapsed()).unwrap_or_default()
    }

    fn monitor(&self) -> MutexGuard<'_, Monitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Metrics pages of the app's instances, newest first.
    fn expositions(&self) -> impl Iterator<Item = String> {
        (1..INSTANCES).rev().filter_map(|number| self.engine.exposition(&format!("app-{number}")))
    }

    /// Sends one request with a time limit.
    async fn request(&self, method: &str, url: &str, headers: &[(String, String)], limit: Duration) -> Reply {
        let path = url.strip_prefix("mock://gateway").unwrap_or(url);
        let answered = async {
            match self.engine.send(method, path, headers).await {
                Reply::Silence => std::future::pending().await,
                reply => reply,
            }
        };
        timeout(limit, answered).await.unwrap_or(Reply::Silence)
    }

    /// Sends one request of a load, with its retries. Returns the last reply and the number of attempts.
    async fn attempts(&self, load: &Load) -> (Reply, u64) {
        let mut attempts = 0;
        loop {
            let reply = self.request(&load.method, &load.url, &load.headers, load.timeout).await;
            sleep(LATENCY).await;
            attempts += 1;
            let temporary = reply.status().is_none_or(|status| matches!(status, 429 | 502 | 503 | 504));
            if !temporary || attempts > u64::from(load.retry.retries) {
                return (reply, attempts);
            }
            sleep(load.retry.backoff).await;
        }
    }

    async fn send(
        &self,
        load: &Load,
        progress: TrafficProgressFn,
        mut commands: TrafficCommands,
        cancel: &CancellationToken,
    ) -> Summary {
        assert!(!load.url.ends_with("/panic"), "a defect in the traffic");
        let (begun, start) = (Instant::now(), self.now());
        let mut planned = planned(load);
        let (mut waiting, mut done) = (FuturesUnordered::new(), Vec::new());
        let (mut started, mut interrupted) = (0, false);
        // Retries have connections of their own.
        let connections = if load.retry.retries > 0 { usize::MAX } else { load.connections as usize };
        while started < planned || !waiting.is_empty() {
            let due = due(load, started);
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    interrupted = true;
                    break;
                }
                Some(sent) = waiting.next() => {
                    done.push(sent);
                    progress(TrafficProgress { done: done.len() as u64, planned });
                }
                () = commands.halt.cancelled(), if started < planned => planned = started,
                Some(answer) = commands.summary_requests.recv() => drop(answer.send(summed(start, begun, std::mem::take(&mut done)))),
                () = sleep_until(begun + due), if started < planned && waiting.len() < connections => {
                    started += 1;
                    waiting.push(async move {
                        let (reply, attempts) = self.attempts(load).await;
                        Sent { due, reply, attempts, took: begun.elapsed().saturating_sub(due) }
                    });
                }
            }
        }
        let end = Instant::now() + GRACE;
        while let Ok(Some(sent)) = timeout_at(end, waiting.next()).await {
            done.push(sent);
        }
        Summary { interrupted, in_flight: waiting.len() as u64, ..summed(start, begun, done) }
    }

    /// Answers the query for the number of requests so far, and any other with an error.
    fn query(&self, query: &str) -> ProbeResponse {
        if query != names::REQUESTS {
            let body = r#"{"status":"error","error":"unknown function"}"#.to_owned();
            return ProbeResponse { status: 400, body };
        }
        let count = |page: String| {
            let mut samples = page.lines().filter_map(|line| line.split_once(' '));
            samples.find(|(name, _)| *name == names::REQUESTS).map(|(_, count)| count.to_owned())
        };
        let counts = self.expositions().filter_map(count);
        let series: Vec<String> = counts.map(|count| format!(r#"{{"metric":{{}},"value":[0,"{count}"]}}"#)).collect();
        let result = series.join(",");
        let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#);
        ProbeResponse { status: 200, body }
    }

    /// Scrapes the app and returns the state of the alerts.
    fn rules(&self) -> ProbeResponse {
        let app = self.expositions().next().and_then(|text| Exposition::parse(&text, None).ok());
        let mut monitor = self.monitor();
        monitor.add_scrapes(Moment { wall: self.now(), steady: self.epoch.1.elapsed() }, app.as_ref(), None);
        ProbeResponse { status: 200, body: serde_json::to_string(&monitor.response()).unwrap_or_default() }
    }
}

/// Request of a load: its due time, its result and its latency.
struct Sent {
    due: Duration,
    reply: Reply,
    attempts: u64,
    took: Duration,
}

fn count(summary: &mut Summary, sent: &Sent) {
    summary.sent += 1;
    summary.attempts += sent.attempts;
    match sent.reply {
        Reply::Answer { status, .. } => {
            *summary.codes.entry(status).or_default() += 1;
            let micros = u64::try_from(sent.took.as_micros()).unwrap_or(u64::MAX);
            summary.latency.record(micros).expect("a histogram that grows");
        }
        Reply::Refused => *summary.errors.entry(Cause::Refused).or_default() += 1,
        Reply::Silence => *summary.errors.entry(Cause::Timeout).or_default() += 1,
    }
    if sent.reply.status() == Some(200) {
        summary.lasting_success.get_or_insert(sent.due);
    } else {
        summary.first_failure.get_or_insert(sent.due);
        summary.last_failure = Some(sent.due);
        summary.lasting_success = None;
    }
}

/// Summary of these requests of a load.
fn summed(start: DateTime<Utc>, begun: Instant, mut done: Vec<Sent>) -> Summary {
    let mut summary = Summary::new(start);
    done.sort_by_key(|sent| sent.due);
    for sent in &done {
        count(&mut summary, sent);
    }
    summary.duration = begun.elapsed();
    summary.timeline.add(&whole(&summary));
    summary
}

/// A whole load as a single interval.
fn whole(summary: &Summary) -> Interval {
    Interval {
        start: Duration::ZERO,
        length: summary.duration,
        sent: summary.sent,
        unsent: 0,
        codes: summary.codes.clone(),
        errors: summary.errors.clone(),
        latency: summary.latency.clone(),
        callers: Vec::new(),
    }
}

/// Number of requests of a load.
fn planned(load: &Load) -> u64 {
    match load.amount {
        Amount::Requests(planned) => planned,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0 and small")]
        Amount::Duration(duration) => (duration.as_secs_f64() * load.rate).ceil() as u64,
    }
}

/// Due time of the request with this number.
#[expect(clippy::cast_precision_loss, reason = "a load in memory has few")]
fn due(load: &Load, number: u64) -> Duration {
    Duration::from_secs_f64(number as f64 / load.rate)
}

#[async_trait]
impl Wire for MockWire {
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary {
        self.send(load, progress, TrafficCommands::none(), cancel).await
    }

    async fn background_traffic(&self, load: &Load, commands: TrafficCommands, cancel: &CancellationToken) -> Summary {
        self.send(load, Arc::new(|_| {}), commands, cancel).await
    }

    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError> {
        let instance = url.strip_prefix("mock://").and_then(|rest| rest.strip_suffix("/metrics"));
        let text = instance.and_then(|instance| self.engine.exposition(instance));
        let unreachable = || ScrapeError::Unreachable { url: url.to_owned(), detail: "refused".to_owned() };
        Exposition::parse(&text.ok_or_else(unreachable)?, None).map_err(|_| unreachable())
    }

    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError> {
        sleep(PROBE).await;
        if let Some(query) = probe.url.strip_prefix("mock://prometheus/api/v1/query?query=") {
            return Ok(self.query(query));
        }
        if probe.url.starts_with("mock://prometheus/api/v1/rules") {
            return Ok(self.rules());
        }
        let headers: Vec<_> = probe.headers.clone().into_iter().collect();
        let error = |detail: &str| ProbeError { url: probe.url.clone(), detail: detail.to_owned() };
        match self.request(&probe.method, &probe.url, &headers, probe.timeout).await {
            Reply::Answer { status, body } => Ok(ProbeResponse { status, body }),
            Reply::Refused => Err(error("refused")),
            Reply::Silence => Err(error("timeout")),
        }
    }
}
