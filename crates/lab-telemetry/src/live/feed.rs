//! The app's metrics over the last hour, one point per second, computed like the stack's recording rules: rates over the last
//! second, failure ratio and latency over 30 s, redeploys over a minute.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::alerts::histogram_quantile;
use crate::metrics::{Deltas, Exposition, Moment, Snapshot, delta, names};

/// The most points: an hour.
const MOST: usize = 3_600;
/// Window of failure ratio and latency in seconds (`rate30s` in the recording rules).
const WINDOW: f64 = 30.0;
/// Window of the redeploy count in seconds.
const MINUTE: f64 = 60.0;
/// The histogram's buckets.
const BUCKETS: &str = "app_http_request_duration_seconds_bucket";
/// Responses by code.
const RESPONSES: &str = "app_http_responses_total";

/// Up to an hour of points.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    points: VecDeque<Point>,
    /// The number of the last point.
    last: u64,
    before: Option<(Moment, Snapshot)>,
    /// Increases within [`WINDOW`], each with its end.
    recent: VecDeque<(Moment, Deltas)>,
    /// Instances within [`MINUTE`] that followed another one.
    starts: VecDeque<Moment>,
    instance: Option<String>,
}

/// One second of metrics. Unknown values are null; all rates are in requests per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// From 1.
    pub n: u64,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The app answered the scrape.
    pub up: bool,
    /// Under `/api/`.
    pub requests: Option<f64>,
    /// Requests with an accepted key.
    pub accepted: Option<f64>,
    /// Requests with a refused key.
    pub refused: Option<f64>,
    /// Responses by code.
    pub codes: BTreeMap<String, f64>,
    /// Share of requests with a refused key, from 0 to 1, over 30 s. Null without requests.
    pub ratio: Option<f64>,
    /// Milliseconds, over 30 s.
    pub p50: Option<f64>,
    /// Milliseconds, over 30 s.
    pub p99: Option<f64>,
    /// Within a minute.
    pub redeploys: usize,
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

    /// Adds the metrics of an instance and its id, or `None` if no instance answered.
    pub fn take(&mut self, at: Moment, said: Option<(String, Exposition)>) {
        self.last += 1;
        let mut point = Point { n: self.last, t: at.wall.timestamp_millis(), up: said.is_some(), ..Point::default() };
        if let Some((instance, exposition)) = said {
            if self.instance.as_ref().is_some_and(|known| *known != instance) {
                self.starts.push_back(at);
            }
            self.instance = Some(instance.clone());
            let now = Snapshot { at: at.wall, instances: [(instance, exposition)].into() };
            if let Some((then, before)) = &self.before {
                let seconds = at.since(*then).as_secs_f64().max(0.001);
                let deltas = delta::between(before, &now, &[]);
                let rate = |name: &str| deltas.of(name, &[]).map(|increase| increase / seconds);
                point.requests = rate(names::REQUESTS);
                point.accepted = rate(names::AUTH_SUCCESS);
                point.refused = rate(names::AUTH_FAILURES);
                point.codes = by_label(&deltas, RESPONSES, "code");
                point.codes.values_mut().for_each(|increase| *increase /= seconds);
                point.codes.retain(|_, rate| *rate > 0.0);
                self.recent.push_back((at, deltas));
            }
            self.before = Some((at, now));
        }
        self.forget(at);
        point.redeploys = self.starts.len();
        let mut window = Deltas::default();
        for (_, deltas) in &self.recent {
            window.merge(deltas);
        }
        let requests = window.of(names::REQUESTS, &[]).filter(|requests| *requests > 0.0);
        point.ratio = requests.and_then(|all| Some(window.of(names::AUTH_FAILURES, &[])? / all));
        let buckets = buckets(&window);
        point.p50 = quantile(&buckets, 0.5).map(|seconds| seconds * 1000.0);
        point.p99 = quantile(&buckets, 0.99).map(|seconds| seconds * 1000.0);
        self.points.push_back(point);
        if self.points.len() > MOST {
            self.points.pop_front();
        }
    }

    fn forget(&mut self, at: Moment) {
        let age = |of: Moment| at.since(of).as_secs_f64();
        while self.recent.front().is_some_and(|(end, _)| age(*end) > WINDOW) {
            self.recent.pop_front();
        }
        while self.starts.front().is_some_and(|start| age(*start) > MINUTE) {
            self.starts.pop_front();
        }
    }
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

/// The histogram's buckets, by their upper ends in seconds; each counts those below it as well.
fn buckets(deltas: &Deltas) -> Vec<(f64, f64)> {
    let ends = by_label(deltas, BUCKETS, "le").into_iter();
    let mut buckets: Vec<(f64, f64)> = ends.filter_map(|(end, count)| Some((end.parse().ok()?, count))).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    buckets
}

/// Quantile of a histogram. `None` without observations.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    Some(histogram_quantile(quantile, buckets.to_vec())).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(instance: &str, accepted: u32, refused: u32) -> (String, Exposition) {
        let all = accepted + refused;
        let page = format!(
            "# TYPE app_requests_total counter\napp_requests_total {all}\n# TYPE app_auth_success_total counter\n\
             app_auth_success_total {accepted}\n# TYPE app_auth_failures_total counter\napp_auth_failures_total {refused}\n\
             # TYPE app_http_responses_total counter\napp_http_responses_total{{code=\"200\"}} {accepted}\n\
             app_http_responses_total{{code=\"401\"}} {refused}\n# TYPE app_http_request_duration_seconds histogram\n\
             app_http_request_duration_seconds_bucket{{le=\"0.001\"}} {accepted}\n\
             app_http_request_duration_seconds_bucket{{le=\"0.002\"}} {all}\n\
             app_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n\
             app_http_request_duration_seconds_sum 1\napp_http_request_duration_seconds_count {all}\n"
        );
        (instance.to_owned(), Exposition::parse(&page, None).expect("metrics"))
    }

    fn at(second: i64) -> Moment {
        chrono::DateTime::from_timestamp(1_795_515_330 + second, 0).expect("a time").into()
    }

    #[test]
    fn a_clock_that_is_set_changes_no_rate() {
        let mut feed = Feed::default();
        let hour = chrono::TimeDelta::hours(1);
        // Set back by an hour after the first second, forward by two after the second one.
        for (second, set, accepted) in [(0, 0, 100), (1, -1, 120), (2, 1, 140), (3, 1, 160)] {
            let moment = Moment { wall: at(second).wall + hour * set, ..at(second) };
            feed.take(moment, Some(said("app-1", accepted, 0)));
        }
        let points = feed.after(1);
        assert!(points.iter().all(|point| point.requests == Some(20.0) && point.ratio == Some(0.0)), "{points:?}");
        assert_eq!(points[0].t, at(1).wall.timestamp_millis() - 3_600_000, "the wall clock is what is shown");
    }

    #[test]
    fn an_outage_shows_within_a_second() {
        let mut feed = Feed::default();
        let mut take = |second, accepted, refused| {
            feed.take(at(second), Some(said("app-1", accepted, refused)));
            feed.after(0).pop().expect("a point")
        };
        let first = take(0, 100, 0);
        assert_eq!((first.requests, first.ratio, first.up), (None, None, true), "one scrape is no rate");
        let well = take(1, 120, 0);
        assert_eq!((well.requests, well.accepted, well.refused), (Some(20.0), Some(20.0), Some(0.0)));
        assert_eq!((well.ratio, &well.codes), (Some(0.0), &[("200".to_owned(), 20.0)].into()));
        let broken = take(2, 120, 20);
        assert_eq!((broken.accepted, broken.refused, broken.ratio), (Some(0.0), Some(20.0), Some(0.5)));
        assert_eq!(broken.p50, Some(1.0));
        assert!(broken.p99.is_some_and(|p99| (1.97..1.99).contains(&p99)), "{broken:?}");
        let later = take(33, 120, 20);
        assert_eq!((later.requests, later.ratio, later.p99), (Some(0.0), None, None), "30 s are over");
    }

    #[test]
    fn a_redeploy_is_counted_and_its_counters_begin_at_0() {
        let mut feed = Feed::default();
        feed.take(at(0), Some(said("app-1", 100, 0)));
        feed.take(at(1), None);
        feed.take(at(2), Some(said("app-2", 10, 0)));
        feed.take(at(63), Some(said("app-2", 10, 0)));
        let points = feed.after(1);
        assert_eq!((points[0].up, points[0].requests), (false, None));
        assert_eq!((points[1].requests, points[1].redeploys), (Some(5.0), 1));
        assert_eq!(points[2].redeploys, 0);
        assert_eq!(points.iter().map(|point| point.n).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn an_hour_is_kept() {
        let mut feed = Feed::default();
        for second in 0..3_700 {
            feed.take(at(second), None);
        }
        assert_eq!(feed.after(0).len(), MOST);
        assert_eq!(feed.after(3_699).len(), 1);
        assert_eq!(feed.after(3_700), []);
    }

    #[test]
    fn quantiles_are_prometheus_own() {
        let buckets = [(0.1, 10.0), (0.2, 20.0), (f64::INFINITY, 40.0)];
        assert_eq!(quantile(&buckets, 0.25), Some(0.1));
        assert!(quantile(&buckets, 0.375).is_some_and(|value| (value - 0.15).abs() < 1e-9));
        assert_eq!(quantile(&buckets, 0.99), Some(0.2));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
    }
}
