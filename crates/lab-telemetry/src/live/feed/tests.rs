use super::*;

fn scrape(instance: &str, accepted: u32, refused: u32) -> (String, Exposition) {
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
        feed.add_scrapes(moment, Some(scrape("app-1", accepted, 0)), None);
    }
    let points = feed.after(1);
    assert!(points.iter().all(|point| point.requests == Some(20.0) && point.ratio == Some(0.0)), "{points:?}");
    assert_eq!(points[0].t, at(1).wall.timestamp_millis() - 3_600_000, "the wall clock is what is shown");
}

#[test]
fn an_outage_shows_within_a_second() {
    let mut feed = Feed::default();
    let mut take = |second, accepted, refused| {
        feed.add_scrapes(at(second), Some(scrape("app-1", accepted, refused)), None);
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
    feed.add_scrapes(at(0), Some(scrape("app-1", 100, 0)), None);
    feed.add_scrapes(at(1), None, None);
    feed.add_scrapes(at(2), Some(scrape("app-2", 10, 0)), None);
    feed.add_scrapes(at(63), Some(scrape("app-2", 10, 0)), None);
    let points = feed.after(1);
    assert_eq!((points[0].up, points[0].requests), (false, None));
    assert_eq!((points[1].requests, points[1].redeploys), (Some(5.0), 1));
    assert_eq!(points[2].redeploys, 0);
    assert_eq!(points.iter().map(|point| point.n).collect::<Vec<_>>(), [2, 3, 4]);
}

fn edge(instance: &str, ok: u32, failed: u32) -> (String, Exposition) {
    let all = ok + failed;
    let page = format!(
        "# TYPE gateway_requests_total counter\ngateway_requests_total{{code=\"200\"}} {ok}\n\
         gateway_requests_total{{code=\"502\"}} {failed}\ngateway_requests_total{{code=\"499\"}} 0\n\
         # TYPE gateway_request_duration_seconds histogram\n\
         gateway_request_duration_seconds_bucket{{le=\"0.001\"}} {ok}\n\
         gateway_request_duration_seconds_bucket{{le=\"0.01\"}} {all}\n\
         gateway_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n"
    );
    (instance.to_owned(), Exposition::parse(&page, None).expect("metrics"))
}

#[test]
fn the_edge_counts_callers_while_the_app_is_down() {
    let mut feed = Feed::default();
    let mut take = |second, sample| {
        feed.add_scrapes(at(second), None, sample);
        feed.after(0).pop().expect("a point").edge
    };
    assert_eq!(take(0, Some(edge("gateway-1", 100, 0))), None, "one scrape is no rate");
    let healthy = take(1, Some(edge("gateway-1", 120, 0))).expect("an edge");
    assert_eq!((healthy.requests(), healthy.failing()), (20.0, Some(0.0)));
    let down = take(2, Some(edge("gateway-1", 120, 20))).expect("an edge");
    assert_eq!((down.requests(), down.failing(), down.most_frequent_failure()), (20.0, Some(0.5), Some("502")));
    assert_eq!((down.class('5'), down.class('2'), &down.codes), (20.0, 0.0, &[("502".to_owned(), 20.0)].into()));
    assert!(down.p99.is_some_and(|p99| p99 > 9.0) && down.p50.is_some_and(|p50| p50 <= 1.0), "{down:?}");
    assert_eq!(take(3, None), None, "the gateway does not answer");
    let replaced = take(4, Some(edge("gateway-2", 40, 0))).expect("a new gateway counts from 0");
    assert_eq!((replaced.requests(), replaced.class('5')), (20.0, 0.0));
    assert_eq!(take(9, Some(edge("gateway-2", 40, 0))).expect("an edge").failing(), Some(0.0));
    assert_eq!(take(15, Some(edge("gateway-2", 40, 0))).expect("an edge").p99, None, "no requests for 5 s");
}

#[test]
fn earlier_points_are_added_before_the_own_ones() {
    let mut feed = Feed::default();
    feed.add_scrapes(at(10), None, None);
    let other = |second: i64| Point { n: 7, t: at(second).wall.timestamp_millis(), up: true, ..Point::default() };
    feed.prepend(vec![other(8), other(9), other(10), other(11)]);
    let times: Vec<i64> = feed.points().map(|point| (point.t - at(0).wall.timestamp_millis()) / 1000).collect();
    assert_eq!(times, [8, 9, 10]);
    assert_eq!(feed.after(0).len(), 1, "only own points have numbers");
}

#[test]
fn an_hour_is_kept() {
    let mut feed = Feed::default();
    for second in 0..3_700 {
        feed.add_scrapes(at(second), None, None);
    }
    assert_eq!(feed.after(0).len(), MAX_POINTS);
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
