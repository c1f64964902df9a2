//! The metrics of the edge and the app over the last hour, one point per second, computed like the stack's recording rules:
//! rates over the last second, failure ratio and latency over 30 s, redeploys over a minute.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::alerts::histogram_quantile;
use crate::metrics::{Deltas, Exposition, Moment, Snapshot, delta, names};

/// Maximum number of points: an hour.
const MAX_POINTS: usize = 3_600;
/// Window of failure ratio and latency in seconds (`rate30s` in the recording rules).
const WINDOW: f64 = 30.0;
/// Window of the redeploy count in seconds.
const MINUTE: f64 = 60.0;
/// Window of recent requests in seconds, for the headline and for the end of a curve without requests. Short enough to follow
/// an outage, and long enough for callers that send one request per second.
const RECENT: f64 = 5.0;
/// Buckets of the app's histogram.
const BUCKETS: &str = "app_http_request_duration_seconds_bucket";
/// Responses of the app by code.
const RESPONSES: &str = "app_http_responses_total";

/// Up to an hour of points.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    points: VecDeque<Point>,
    /// The number of the last point.
    last: u64,
    app: Increases,
    edge: Increases,
    /// Start times of the instances that replaced another one within [`MINUTE`].
    starts: VecDeque<Moment>,
    instance: Option<String>,
}

/// Increases of one target's counters within [`WINDOW`].
#[derive(Clone, Debug, Default)]
struct Increases {
    before: Option<(Moment, Snapshot)>,
    /// Increases with the end of their interval.
    recent: VecDeque<(Moment, Deltas)>,
}

/// One second of metrics. Unknown values are null; all rates are in requests per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Number of the point, from 1.
    pub n: u64,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// What callers get at the gateway. Null if it is not known, or not counted by the stack.
    pub edge: Option<EdgePoint>,
    /// The edge answered the scrape.
    pub edge_up: bool,
    /// The app answered the scrape.
    pub up: bool,
    /// Requests under `/api/`.
    pub requests: Option<f64>,
    /// Requests with an accepted key.
    pub accepted: Option<f64>,
    /// Requests with a refused key.
    pub refused: Option<f64>,
    /// Responses by code.
    pub codes: BTreeMap<String, f64>,
    /// Share of requests with a refused key, from 0 to 1, over 30 s. Null without requests in the last 5 s.
    pub ratio: Option<f64>,
    /// Milliseconds, over 30 s. Null without requests in the last 5 s.
    pub p50: Option<f64>,
    /// Milliseconds, over 30 s. Null without requests in the last 5 s.
    pub p99: Option<f64>,
    /// Redeploys within the last minute.
    pub redeploys: usize,
}

/// One second of the edge: responses to callers, whether from the app or from the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgePoint {
    /// Requests per second by code, without those that are 0. 499 counts callers that disconnected.
    pub codes: BTreeMap<String, f64>,
    /// Milliseconds, over 30 s. Null without requests in the last 5 s, so that a curve ends with its data.
    pub p50: Option<f64>,
    /// Milliseconds, over 30 s. Null without requests in the last 5 s.
    pub p99: Option<f64>,
    /// Requests by code in the last 5 s.
    #[serde(skip)]
    pub recent: BTreeMap<String, f64>,
}

impl EdgePoint {
    /// Requests per second.
    pub fn requests(&self) -> f64 {
        self.codes.values().sum()
    }

    /// Requests in the last 5 s.
    pub fn recent_requests(&self) -> f64 {
        self.recent.values().sum()
    }

    /// Share of failed requests in the last 5 s, from 0 to 1. `None` without requests.
    pub fn failing(&self) -> Option<f64> {
        let failed: f64 = self.recent.iter().filter(|(code, _)| is_failed(code)).map(|(_, count)| count).sum();
        let all = self.recent_requests();
        (all > 0.0).then(|| failed / all)
    }

    /// Code of most failed requests in the last 5 s.
    pub fn most_frequent_failure(&self) -> Option<&str> {
        let failed = self.recent.iter().filter(|(code, count)| is_failed(code) && **count > 0.0);
        failed.max_by(|one, other| one.1.total_cmp(other.1)).map(|(code, _)| code.as_str())
    }

    /// The most frequent of these codes in the last 5 s, if there was any.
    pub fn recent_code<'a>(&self, codes: &[&'a str]) -> Option<&'a str> {
        let counted = codes.iter().filter_map(|code| Some((*code, *self.recent.get(*code)?)));
        counted.filter(|(_, count)| *count > 0.0).max_by(|one, other| one.1.total_cmp(&other.1)).map(|(code, _)| code)
    }

    /// Requests per second whose code begins with `class`, such as `5`. 499 belongs to 5: the server took too long.
    pub fn class(&self, class: char) -> f64 {
        let of = |code: &str| if code == CLOSED { '5' } else { code.chars().next().unwrap_or('5') };
        self.codes.iter().filter(|(code, _)| of(code) == class).map(|(_, rate)| rate).sum()
    }
}

/// Code of a request whose caller disconnected before the response, as in nginx.
const CLOSED: &str = "499";

/// Returns true if a caller counts a response with this code as failed.
fn is_failed(code: &str) -> bool {
    code.starts_with(['4', '5'])
}

impl Increases {
    /// Adds the metrics of an instance. Returns the increase since the previous ones, and the seconds in between.
    fn add(&mut self, at: Moment, scrape: (String, Exposition)) -> Option<(Deltas, f64)> {
        let now = Snapshot { at: at.wall, instances: [scrape].into() };
        let increase = self.before.as_ref().map(|(then, before)| {
            let seconds = at.since(*then).as_secs_f64().max(0.001);
            (delta::between(before, &now, &[]), seconds)
        });
        if let Some((deltas, _)) = &increase {
            self.recent.push_back((at, deltas.clone()));
        }
        self.before = Some((at, now));
        increase
    }

    fn forget(&mut self, at: Moment) {
        while self.recent.front().is_some_and(|(end, _)| at.since(*end).as_secs_f64() > WINDOW) {
            self.recent.pop_front();
        }
    }

    /// Increase over the last seconds, at most [`WINDOW`].
    fn over(&self, seconds: f64, at: Moment) -> Deltas {
        let mut sum = Deltas::default();
        for (_, deltas) in self.recent.iter().filter(|(end, _)| at.since(*end).as_secs_f64() < seconds + 0.5) {
            sum.merge(deltas);
        }
        sum
    }
}

impl Feed {
    /// The points after a number.
    pub fn after(&self, number: u64) -> Vec<Point> {
        self.points.iter().skip_while(|point| point.n <= number).cloned().collect()
    }

    /// All points, the oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Point> {
        self.points.iter()
    }

    /// Adds points that another feed of the same lab has recorded before the first one here.
    pub fn prepend(&mut self, earlier: Vec<Point>) {
        let first = self.points.front().map_or(i64::MAX, |point| point.t);
        let room = MAX_POINTS.saturating_sub(self.points.len());
        let earlier: Vec<Point> = earlier.into_iter().filter(|point| point.t < first).collect();
        for point in earlier.into_iter().rev().take(room) {
            self.points.push_front(Point { n: 0, ..point });
        }
    }

    /// Adds the metrics of the app and of the edge, each with the id of its instance, or `None` if it did not answer.
    pub fn add_scrapes(&mut self, at: Moment, app: Option<(String, Exposition)>, edge: Option<(String, Exposition)>) {
        self.last += 1;
        let (up, edge_up) = (app.is_some(), edge.is_some());
        let mut point = Point { n: self.last, t: at.wall.timestamp_millis(), up, edge_up, ..Point::default() };
        if let Some((instance, exposition)) = app {
            if self.instance.as_ref().is_some_and(|known| *known != instance) {
                self.starts.push_back(at);
            }
            self.instance = Some(instance.clone());
            if let Some((deltas, seconds)) = self.app.add(at, (instance, exposition)) {
                let rate = |name: &str| deltas.sum(name, &[]).map(|increase| rounded(increase / seconds));
                point.requests = rate(names::REQUESTS);
                point.accepted = rate(names::AUTH_SUCCESS);
                point.refused = rate(names::AUTH_FAILURES);
                point.codes = rates(&deltas, RESPONSES, seconds);
            }
        }
        let edge = edge.and_then(|edge| self.edge.add(at, edge));
        self.forget(at);
        point.edge = edge.map(|(deltas, seconds)| self.edge_point(at, &deltas, seconds));
        point.redeploys = self.starts.len();
        // A curve ends with its data.
        let recent = self.app.over(RECENT, at).sum(names::REQUESTS, &[]);
        let is_used = point.up && recent.is_some_and(|recent| recent > 0.0);
        let window = if is_used { self.app.over(WINDOW, at) } else { Deltas::default() };
        let requests = window.sum(names::REQUESTS, &[]).filter(|requests| *requests > 0.0);
        point.ratio = requests.and_then(|all| Some(rounded(window.sum(names::AUTH_FAILURES, &[])? / all)));
        [point.p50, point.p99] = latencies(&window, BUCKETS);
        self.points.push_back(point);
        if self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
    }

    fn edge_point(&self, at: Moment, deltas: &Deltas, seconds: f64) -> EdgePoint {
        let codes = rates(deltas, names::EDGE_REQUESTS, seconds);
        let recent = by_label(&self.edge.over(RECENT, at), names::EDGE_REQUESTS, "code");
        let is_used = recent.values().any(|count| *count > 0.0);
        let window = if is_used { self.edge.over(WINDOW, at) } else { Deltas::default() };
        let [p50, p99] = latencies(&window, names::EDGE_BUCKETS);
        EdgePoint { codes, p50, p99, recent }
    }

    fn forget(&mut self, at: Moment) {
        self.app.forget(at);
        self.edge.forget(at);
        while self.starts.front().is_some_and(|start| at.since(*start).as_secs_f64() > MINUTE) {
            self.starts.pop_front();
        }
    }
}

/// Rounds to four decimals, so that an hour of points stays small as JSON.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Rates of a counter by its codes, without those that are 0.
fn rates(deltas: &Deltas, counter: &str, seconds: f64) -> BTreeMap<String, f64> {
    let mut rates = by_label(deltas, counter, "code");
    for increase in rates.values_mut() {
        *increase = rounded(*increase / seconds);
    }
    rates.retain(|_, rate| *rate > 0.0);
    rates
}

/// Median and 99th percentile in milliseconds.
fn latencies(deltas: &Deltas, name: &str) -> [Option<f64>; 2] {
    let buckets = buckets(deltas, name);
    [0.5, 0.99].map(|rank| quantile(&buckets, rank).map(|seconds| rounded(seconds * 1000.0)))
}

/// The increase of a counter by the values of a label, other labels summed up.
fn by_label(deltas: &Deltas, counter: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (series, increase) in deltas.increase.iter().filter(|(series, _)| series.name == counter) {
        if let Some((_, value)) = series.labels.iter().find(|(name, _)| name == label) {
            *sums.entry(value.clone()).or_insert(0.0) += increase;
        }
    }
    sums
}

/// Buckets of a histogram, by their upper ends in seconds; each counts those below it as well.
fn buckets(deltas: &Deltas, name: &str) -> Vec<(f64, f64)> {
    let ends = by_label(deltas, name, "le").into_iter();
    let mut buckets: Vec<(f64, f64)> = ends.filter_map(|(end, count)| Some((end.parse().ok()?, count))).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    buckets
}

/// Quantile of a histogram. `None` without observations.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    Some(histogram_quantile(quantile, buckets.to_vec())).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests;
