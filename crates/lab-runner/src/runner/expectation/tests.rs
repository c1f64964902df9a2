//! Expectations over summaries and deltas made by hand.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::*;
use crate::runner::error::StepError;
use lab_scenario::plan::Comparator;
use lab_telemetry::metrics::Series;
use lab_traffic::Cause;

fn summary() -> Summary {
    let mut summary = Summary::new(DateTime::UNIX_EPOCH);
    summary.sent = 40;
    summary.unsent = 10;
    summary.codes = BTreeMap::from([(200, 30), (401, 6)]);
    summary.errors = BTreeMap::from([(Cause::Refused, 4)]);
    summary.latency.record_n(1200, 36).unwrap();
    summary
}

fn deltas(failures: f64) -> Deltas {
    let series = |code: &str| Series {
        name: "app_http_responses_total".to_owned(),
        labels: vec![("code".to_owned(), code.to_owned())],
    };
    let failed = Series { name: "app_auth_failures_total".to_owned(), labels: Vec::new() };
    Deltas { increase: BTreeMap::from([(series("200"), 30.0), (series("401"), 6.0), (failed, failures)]) }
}

fn observed() -> Measurements {
    Measurements {
        traffic: Some(TrafficResults::new(None, summary())),
        deltas: Ok(deltas(6.0)),
        ..Measurements::default()
    }
}

fn seen(metric: Metric, observed: &Measurements) -> (Option<f64>, String) {
    let (metric_text, text) = ("metric".to_owned(), ">= 0".to_owned());
    let comparator = Comparator::AtLeast;
    let result = evaluate(
        &Expectation {
            sender: Sender::All,
            metric,
            metric_text,
            comparator,
            bound: 0.0,
            text,
            since: 0,
            deferred: None,
        },
        observed,
    );
    assert_eq!(result.passed, result.observed.is_some(), "what is unknown does not hold");
    (result.observed, result.observed_text)
}

fn delta(counter: &str, labels: &[(&str, &str)]) -> Metric {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Metric::Delta { counter: counter.to_owned(), labels }
}

#[test]
fn each_metric_is_measured_in_its_unit() {
    let cases = [
        (delta("app_auth_failures_total", &[]), 6.0, "6"),
        (delta("app_http_responses_total", &[("code", "200")]), 30.0, "30"),
        (delta("app_http_responses_total", &[]), 36.0, "36"),
        (delta("app_requests_total", &[]), 0.0, "0"),
        (Metric::StatusCount(401), 6.0, "6"),
        (Metric::StatusCount(500), 0.0, "0"),
        (Metric::StatusShare(401), 15.0, "15%"),
        (Metric::Sent, 40.0, "40"),
        (Metric::Failed, 10.0, "10"),
        (Metric::FailedShare, 25.0, "25%"),
        (Metric::Latency(99.0), 1.2, "1.2ms"),
    ];
    for (metric, value, text) in cases {
        let (observed, shown) = seen(metric.clone(), &observed());
        assert!((observed.unwrap() - value).abs() < 0.01, "{metric:?}: {observed:?}");
        assert_eq!(shown, text, "{metric:?}");
    }
}

#[test]
fn a_share_is_never_rounded_to_all_or_nothing() {
    let share = |failed, of| {
        let mut summary = Summary::new(DateTime::UNIX_EPOCH);
        (summary.sent, summary.codes) = (of, BTreeMap::from([(401, failed)]));
        seen(
            Metric::FailedShare,
            &Measurements { traffic: Some(TrafficResults::new(None, summary)), ..Measurements::default() },
        )
        .1
    };
    assert_eq!(share(3999, 4000), "99.975%");
    assert_eq!(share(1, 4000), "0.025%");
    assert_eq!(share(39, 40), "97.5%");
    assert_eq!(share(40, 40), "100%");
    assert_eq!(share(0, 40), "0%");
}

#[test]
fn a_missing_observation_is_unknown_with_its_reason() {
    let nothing = Measurements { traffic: None, deltas: Err(StepError::AppPaused.into()), ..Measurements::default() };
    let unanswered = Measurements {
        traffic: Some(TrafficResults::new(None, Summary::new(DateTime::UNIX_EPOCH))),
        ..Measurements::default()
    };
    let cases = [
        (delta("app_requests_total", &[]), &nothing, "unknown: the app is paused"),
        (Metric::Sent, &nothing, "unknown: nothing was sent"),
        (Metric::StatusCount(200), &nothing, "unknown: nothing was sent"),
        (Metric::StatusShare(200), &unanswered, "unknown: nothing was sent"),
        (Metric::FailedShare, &unanswered, "unknown: nothing was sent"),
        (Metric::Latency(50.0), &unanswered, "unknown: nothing was answered"),
    ];
    for (metric, observed, text) in cases {
        assert_eq!(seen(metric.clone(), observed), (None, text.to_owned()), "{metric:?}");
    }
    assert_eq!(seen(Metric::Sent, &unanswered).1, "0");
}

#[test]
fn several_steps_add_up_and_one_unknown_makes_the_sum_unknown() {
    let quiet = Measurements { traffic: None, deltas: Ok(deltas(1.0)), ..Measurements::default() };
    let both = Measurements::merged(&[quiet.clone(), observed(), observed()]);
    assert_eq!(seen(Metric::Sent, &both).0, Some(80.0));
    assert_eq!(seen(delta("app_auth_failures_total", &[]), &both).0, Some(13.0));
    let blind = Measurements { traffic: None, deltas: Err(StepError::AppPaused.into()), ..Measurements::default() };
    let some = Measurements::merged(&[observed(), blind, quiet]);
    assert_eq!(seen(Metric::Sent, &some).0, Some(40.0));
    assert_eq!(seen(delta("app_auth_failures_total", &[]), &some).1, "unknown: the app is paused");
}

#[test]
fn traffic_in_the_background_that_had_nothing_to_send_has_failed_in_nothing() {
    let sent_nothing = Measurements {
        background: SliceResults::from([(3, ("users".to_owned(), TrafficResults::default()))]),
        ..Measurements::default()
    };
    let measured = |id, metric, observed: &Measurements| measure(&Sender::Background(id), &metric, observed);
    for count in [Metric::Failed, Metric::Sent, Metric::StatusCount(200)] {
        assert_eq!(measured(3, count.clone(), &sent_nothing).ok(), Some(0.0));
        // Of traffic that could not be started nothing is known.
        assert!(measured(4, count, &sent_nothing).is_err());
    }
    for unknown in [Metric::FailedShare, Metric::StatusShare(200), Metric::Latency(99.0)] {
        assert!(measured(3, unknown, &sent_nothing).is_err());
    }
}
