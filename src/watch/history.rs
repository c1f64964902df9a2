//! Points from before the view was opened: from lab's dashboard, which has recorded them, or else from Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use lab_core::engine::Endpoints;
use lab_http::{Http, Limit, Request};
use lab_telemetry::live::{EdgePoint, Point};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a response in bytes: an hour of points has about one MB.
const MAX_RESPONSE: usize = 8 << 20;
/// Range of the charts in seconds.
const RANGE: i64 = 3_600;
/// Seconds between two points from Prometheus, which scrapes every 2 s.
const STEP: i64 = 5;

/// Response of the dashboard.
#[derive(Deserialize)]
struct Data {
    points: Vec<Point>,
}

/// Response of Prometheus' `/api/v1/query_range`.
#[derive(Deserialize)]
struct Response {
    data: Matrix,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Reads the points of the last hour, oldest first. `None` if nothing has recorded them, or does not answer.
pub(super) async fn fetch(http: &Http, endpoints: &Endpoints) -> Option<Vec<Point>> {
    if let Some(dashboard) = &endpoints.dashboard {
        let url = format!("{}/data?after=0&marks=0", dashboard.trim_end_matches('/'));
        return Some(serde_json::from_str::<Data>(&get(http, &url).await?).ok()?.points);
    }
    from_prometheus(http, endpoints.prometheus.as_ref()?.trim_end_matches('/'), Utc::now()).await
}

async fn get(http: &Http, url: &str) -> Option<String> {
    let request = Request::get(url).timeout(TIMEOUT).limit(Limit::Fail(MAX_RESPONSE));
    http.request(&request).await.ok().filter(|response| response.status == 200).map(|response| response.text())
}

/// Sets a value of a point, from a series with this label `code`.
type Set = fn(&mut Point, &str, f64);

/// Expressions, and what their values are. Rates cover two scrapes.
const QUERIES: [(&str, Set); 7] = [
    ("up{job=\"app\"}", |point, _, value| point.up = value > 0.0),
    ("sum(rate(app_requests_total[10s]))", |point, _, value| point.requests = Some(value)),
    ("sum(rate(app_auth_success_total[10s]))", |point, _, value| point.accepted = Some(value)),
    ("sum(rate(app_auth_failures_total[10s]))", |point, _, value| point.refused = Some(value)),
    ("job:app_request_duration_seconds:p99_rate30s", |point, _, value| point.p99 = Some(value * 1000.0)),
    ("sum by (code) (rate(gateway_requests_total[10s]))", |point, code, value| {
        point.edge_up = true;
        let edge = point.edge.get_or_insert_with(EdgePoint::default);
        if value > 0.0 {
            edge.codes.insert(code.to_owned(), value);
        }
    }),
    ("job:gateway_request_duration_seconds:p99_rate30s", |point, _, value| {
        point.edge.get_or_insert_with(EdgePoint::default).p99 = Some(value * 1000.0);
    }),
];

async fn from_prometheus(http: &Http, base: &str, now: DateTime<Utc>) -> Option<Vec<Point>> {
    let end = now.timestamp() / STEP * STEP;
    let mut points: BTreeMap<i64, Point> = BTreeMap::new();
    for (expression, set) in QUERIES {
        let mut url = reqwest::Url::parse(&format!("{base}/api/v1/query_range")).ok()?;
        let range = [("start", end - RANGE), ("end", end), ("step", STEP)];
        url.query_pairs_mut()
            .append_pair("query", expression)
            .extend_pairs(range.map(|(name, value)| (name, value.to_string())));
        add(&mut points, &get(http, url.as_str()).await?, set)?;
    }
    Some(points.into_values().collect())
}

/// Adds the values of a response to the points.
fn add(points: &mut BTreeMap<i64, Point>, text: &str, set: Set) -> Option<()> {
    let response: Response = serde_json::from_str(text).ok()?;
    for series in response.data.result {
        let code = series.metric.get("code").map(String::as_str).unwrap_or_default();
        for (at, value) in &series.values {
            let Some(value) = value.parse::<f64>().ok().filter(|value| value.is_finite()) else { continue };
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
            let t = (at * 1000.0) as i64;
            set(points.entry(t).or_insert_with(|| Point { t, ..Point::default() }), code, value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_prometheus_become_points() {
        let text = |code: &str, value: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"code":"{code}"}},
                "values":[[1795515330,"{value}"],[1795515335,"NaN"]]}}]}}}}"#
            )
        };
        let mut points = BTreeMap::new();
        let set = |wanted: &str| QUERIES.iter().find(|(text, _)| text.contains(wanted)).expect("a query").1;
        add(&mut points, &text("502", "20"), set("by (code)")).expect("JSON");
        add(&mut points, &text("200", "0"), set("by (code)")).expect("JSON");
        add(&mut points, &text("", "0.25"), set("gateway_request_duration")).expect("JSON");
        add(&mut points, &text("", "1"), set("up{")).expect("JSON");
        assert_eq!(add(&mut points, "no JSON", set("up{")), None);
        let points: Vec<Point> = points.into_values().collect();
        assert_eq!((points.len(), points[0].t, points[0].up), (1, 1_795_515_330_000, true));
        let edge = points[0].edge.as_ref().expect("an edge");
        assert_eq!((edge.class('5'), edge.class('2'), edge.p99), (20.0, 0.0, Some(250.0)));
    }
}
