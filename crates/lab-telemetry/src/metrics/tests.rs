//! Tests of parsing a page, and of the difference of two snapshots.

use chrono::Utc;
use proptest::prelude::*;

use super::names::{AUTH_FAILURES, COUNTERS, REQUESTS, REQUIRED, START_TIME};
use super::*;

const APP: &str = r#"# HELP app_requests_total Requests under /api/.
# TYPE app_requests_total counter
app_requests_total 80
# TYPE app_auth_success_total counter
app_auth_success_total 40
# TYPE app_auth_failures_total counter
app_auth_failures_total 40
# TYPE app_http_responses_total counter
app_http_responses_total{code="200"} 40
app_http_responses_total{code="401"} 40
# HELP app_http_request_duration_seconds Time, "quoted" and {braced}.
# TYPE app_http_request_duration_seconds histogram
app_http_request_duration_seconds_bucket{le="0.005"} 79
app_http_request_duration_seconds_bucket{le="+Inf"} 80
app_http_request_duration_seconds_sum 0.125
app_http_request_duration_seconds_count 80
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1764000000.125
"#;

fn page(content_type: Option<&str>, body: &str) -> Page {
    Page {
        url: "http://app/metrics".to_owned(),
        status: 200,
        content_type: content_type.map(str::to_owned),
        body: body.to_owned(),
    }
}

fn refused(page: &Page, required: &[&str]) -> String {
    Exposition::read(page, required).expect_err("it must be refused").to_string()
}

#[test]
fn the_page_of_the_app_is_read_completely() {
    let read = Exposition::read(&page(Some("text/plain; version=0.0.4"), APP), &REQUIRED).expect("it is metrics");
    assert_eq!(read.values.len(), 10);
    let value = |name, labels: &[(&str, &str)]| read.values.get(&Series::new(name, labels)).copied();
    assert_eq!(value("app_http_responses_total", &[("code", "401")]), Some(40.0));
    assert_eq!(value("app_http_request_duration_seconds_bucket", &[("le", "+Inf")]), Some(80.0));
    assert_eq!(value("app_http_request_duration_seconds_sum", &[]), Some(0.125));
    assert_eq!(read.value(START_TIME), Some(1_764_000_000.125));
    assert_eq!(read.gauges.into_iter().collect::<Vec<_>>(), [START_TIME]);
}

#[test]
fn labels_with_special_characters_are_read_correctly() {
    let text = r#"a{path="/users/{id}",query="x=1,y=2", quote="\"}\\\n" ,} 1
b{} 2
c{d="} 5"} 3 1395066363000
e +Inf
f NaN
"#;
    let read = Exposition::parse(text, None).expect("it is metrics");
    let first = Series::new("a", &[("path", "/users/{id}"), ("query", "x=1,y=2"), ("quote", "\"}\\\n")]);
    assert_eq!(read.values.get(&first), Some(&1.0));
    assert_eq!(read.value("b"), Some(2.0));
    assert_eq!(read.values.get(&Series::new("c", &[("d", "} 5")])), Some(&3.0));
    assert_eq!(read.value("e"), Some(f64::INFINITY));
    assert!(read.value("f").is_some_and(f64::is_nan));
}

#[test]
fn types_determine_the_counters() {
    let text = "# TYPE jobs counter\njobs_total 1\n# TYPE rpc summary\nrpc{quantile=\"0.5\"} 1\nrpc_sum 1\nrpc_count 1\n\
                # TYPE depth gauge\ndepth 1\ndepth_count 1\nuntyped_total 1\n# EOF\n";
    let read = Exposition::parse(text, Some("application/openmetrics-text; version=1.0.0")).expect("it is metrics");
    assert_eq!(
        read.gauges.into_iter().collect::<Vec<_>>(),
        ["depth", "depth_count", "rpc"],
        "untyped_total is a counter by its name"
    );
}

#[test]
fn a_page_without_metrics_is_an_error() {
    let html = "<!DOCTYPE html><html><body>app_requests_total 1</body></html>";
    let web = "http://app/metrics is a web page, not metrics";
    assert_eq!(refused(&page(Some("text/html; charset=utf-8"), "hello 1"), &[]), web);
    assert_eq!(refused(&page(None, html), &[]), web);
    assert_eq!(refused(&page(Some("text/plain"), &format!("\n <HTML>\n{html}")), &[]), web);
    let json = page(Some("application/json"), "{}");
    assert_eq!(refused(&json, &[]), "http://app/metrics is application/json, not metrics");
    let none = "http://app/metrics is empty: it has no metrics";
    assert_eq!(refused(&page(None, ""), &[]), none);
    assert_eq!(refused(&page(None, "# TYPE a counter\n# just comments 1\n"), &[]), none);
    let sentence = "http://app/metrics is not metrics: line 1 is \"Error 404 not found\"";
    assert_eq!(refused(&page(None, "Error 404 not found"), &[]), sentence);
    let greeting = page(Some("text/plain"), "a 1\nHello, world!\n");
    assert_eq!(refused(&greeting, &[]), "http://app/metrics is not metrics: line 2 is \"Hello, world!\"");
    for line in ["a{b=\"c} 1", "a{b=c} 1", "a{b=\"c\"", "a one", "a{b=\"c\" d=\"e\"} 1", "a=b 1"] {
        assert!(matches!(Exposition::parse(line, None), Err(NotMetrics::Line { line: 1, .. })), "{line}");
    }
    let status = Page { status: 502, ..page(None, APP) };
    assert_eq!(refused(&status, &[]), "http://app/metrics answers 502, not metrics");
}

#[test]
fn missing_metrics_are_named() {
    let page = page(None, "go_goroutines 9\napp_requests_total 1\n");
    assert_eq!(
        refused(&page, &[REQUESTS, AUTH_FAILURES]),
        "http://app/metrics has metrics, but lacks app_auth_failures_total"
    );
    assert!(Exposition::read(&page, &[]).is_ok());
}

fn exposition(started: f64, counters: &[(&str, f64)]) -> Exposition {
    let mut exposition = Exposition::default();
    exposition.values.insert(Series::new(START_TIME, &[]), started);
    exposition.values.extend(counters.iter().map(|(name, value)| (Series::new(name, &[]), *value)));
    exposition
}

fn snapshot(instances: &[(&str, Exposition)]) -> Snapshot {
    let instances = instances.iter().map(|(name, exposition)| ((*name).to_owned(), exposition.clone())).collect();
    Snapshot { at: Utc::now(), instances }
}

fn requests(started: f64, value: f64) -> Exposition {
    exposition(started, &[(REQUESTS, value)])
}

fn increase(before: &Snapshot, after: &Snapshot, retired: &[(String, Option<Exposition>)]) -> Option<f64> {
    delta::between(before, after, retired).sum(REQUESTS, &[])
}

#[test]
fn a_redeploy_counts_the_old_instance_to_its_end_and_the_new_one_from_0() {
    let (before, after) = (snapshot(&[("app-1", requests(1.0, 40.0))]), snapshot(&[("app-2", requests(2.0, 7.0))]));
    let last = |exposition| [("app-1".to_owned(), exposition)];
    assert_eq!(increase(&before, &after, &last(Some(requests(1.0, 45.0)))), Some(12.0));
    assert_eq!(increase(&before, &after, &last(None)), Some(7.0), "a killed instance counts up to its last scrape");
    assert_eq!(increase(&before, &snapshot(&[]), &[]), Some(0.0));
    let short_lived = [("app-9".to_owned(), Some(requests(1.5, 3.0)))];
    assert_eq!(increase(&before, &before, &short_lived), Some(3.0));
}

#[test]
fn a_restart_under_the_same_name_counts_from_0() {
    let before = snapshot(&[("app", requests(1.0, 40.0))]);
    assert_eq!(increase(&before, &snapshot(&[("app", requests(1.0, 45.0))]), &[]), Some(5.0));
    assert_eq!(
        increase(&before, &snapshot(&[("app", requests(1.001, 45.0))]), &[]),
        Some(45.0),
        "the start time changed"
    );
    assert_eq!(increase(&before, &snapshot(&[("app", requests(1.0, 39.0))]), &[]), Some(39.0), "the counter fell");
    let retired = [("app".to_owned(), Some(requests(1.0, 42.0)))];
    assert_eq!(increase(&before, &snapshot(&[("app", requests(2.0, 45.0))]), &retired), Some(47.0));
}

#[test]
fn counters_without_a_type_have_an_increase() {
    let page = |requests: u32| {
        let text =
            format!("app_requests_total {requests}\napp_auth_failures_total 0\nprocess_start_time_seconds 1.7e9\n");
        snapshot(&[("app", Exposition::parse(&text, None).expect("metrics"))])
    };
    let deltas = delta::between(&page(40), &page(100), &[]);
    assert_eq!((deltas.sum(REQUESTS, &[]), deltas.sum(START_TIME, &[])), (Some(60.0), None));
}

#[test]
fn sums_can_be_taken_by_label_and_by_name() {
    let after = snapshot(&[("app", Exposition::parse(APP, None).expect("it is metrics"))]);
    let mut deltas = delta::between(&snapshot(&[]), &after, &[]);
    let labels = |value: &str| [("code".to_owned(), value.to_owned())];
    assert_eq!(deltas.sum("app_http_responses_total", &labels("401")), Some(40.0));
    assert_eq!(deltas.sum("app_http_responses_total", &labels("500")), Some(0.0));
    assert_eq!(deltas.sum("app_http_responses_total", &[]), Some(80.0));
    assert_eq!(deltas.sum("app_auth_rejections_total", &[]), Some(0.0), "no series yet");
    assert_eq!(deltas.sum("app_nonsense_total", &[]), None);
    assert_eq!(deltas.sum(START_TIME, &[]), None, "not a counter");
    let by_name = deltas.by_name();
    assert_eq!(by_name.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut names = COUNTERS;
        names.sort_unstable();
        names
    });
    assert_eq!((by_name[REQUESTS], by_name["app_http_request_duration_seconds_count"]), (80.0, 80.0));
    deltas.merge(&deltas.clone());
    assert_eq!(deltas.sum("app_http_responses_total", &labels("401")), Some(80.0));
}

/// An event of an app: it receives requests, is scraped, is replaced, or restarts under the same name. Before a replacement
/// or restart it is scraped for the last time.
#[derive(Clone, Copy, Debug)]
enum AppEvent {
    Requests(u8),
    Scrape,
    Replace,
    Restart,
}

/// Snapshots, each with the instances that retired before it and the total number of requests up to it.
type History = Vec<(Snapshot, Vec<(String, Option<Exposition>)>, f64)>;

fn replay(events: &[AppEvent]) -> History {
    let (mut name, mut started, mut value, mut all) = (0, 1.0, 0.0, 0.0);
    let mut retired = Vec::new();
    let mut history = vec![(snapshot(&[("app-0", requests(started, value))]), Vec::new(), 0.0)];
    for event in events {
        match event {
            AppEvent::Requests(count) => {
                value += f64::from(*count);
                all += f64::from(*count);
            }
            AppEvent::Scrape => {
                let now = snapshot(&[(&format!("app-{name}"), requests(started, value))]);
                history.push((now, std::mem::take(&mut retired), all));
            }
            AppEvent::Replace | AppEvent::Restart => {
                retired.push((format!("app-{name}"), Some(requests(started, value))));
                name += i32::from(matches!(event, AppEvent::Replace));
                (started, value) = (started + 1.0, 0.0);
            }
        }
    }
    history
}

fn app_event() -> impl Strategy<Value = AppEvent> {
    prop_oneof![
        4 => (0u8..50).prop_map(AppEvent::Requests),
        3 => Just(AppEvent::Scrape),
        1 => Just(AppEvent::Replace),
        1 => Just(AppEvent::Restart),
    ]
}

proptest! {
    /// The increase over any interval is the number of requests in it, and the sum of the increases of its parts.
    #[test]
    fn the_increase_over_an_interval_is_the_number_of_requests(events in prop::collection::vec(app_event(), 0..60)) {
        let history = replay(&events);
        for from in 0..history.len() {
            let mut parts = Deltas::default();
            for to in from + 1..history.len() {
                parts.merge(&delta::between(&history[to - 1].0, &history[to].0, &history[to].1));
                let retired: Vec<_> = history[from + 1..=to].iter().flat_map(|(_, retired, _)| retired.clone()).collect();
                let whole = delta::between(&history[from].0, &history[to].0, &retired);
                prop_assert_eq!(whole.sum(REQUESTS, &[]), Some(history[to].2 - history[from].2));
                prop_assert_eq!(whole.sum(REQUESTS, &[]), parts.sum(REQUESTS, &[]));
            }
        }
    }

    /// No increase is negative, and the names of the instances do not matter.
    #[test]
    fn no_increase_is_negative_and_the_names_of_instances_do_not_matter(
        values in prop::collection::btree_map("[a-c]", (0u8..3, 0u32..100, 0u8..3, 0u32..100), 0..4),
    ) {
        let between = |name: &dyn Fn(usize, &str) -> String| {
            let (mut before, mut after) = (snapshot(&[]), snapshot(&[]));
            for (index, (key, (old_start, old, new_start, new))) in values.iter().enumerate() {
                // A start time of 0 means that the instance does not exist.
                for (snapshot, start, value) in [(&mut before, *old_start, *old), (&mut after, *new_start, *new)] {
                    if start > 0 {
                        snapshot.instances.insert(name(index, key), requests(start.into(), value.into()));
                    }
                }
            }
            delta::between(&before, &after, &[])
        };
        let deltas = between(&|_, key| key.to_owned());
        prop_assert!(deltas.increase.values().all(|increase| *increase >= 0.0));
        prop_assert_eq!(&deltas, &between(&|index, _| format!("{}", 9 - index)));
    }

    #[test]
    fn any_label_value_survives_a_round_trip(value in "[ -~äé\n]{0,12}", other in "[a-z{},=\"\\\\]{0,6}") {
        let escape = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let text = format!("a{{b=\"{}\",c=\"{}\"}} 1\n", escape(&value), escape(&other));
        let read = Exposition::parse(&text, None).expect("it is metrics");
        prop_assert_eq!(read.values.get(&Series::new("a", &[("b", &value), ("c", &other)])), Some(&1.0));
    }
}
