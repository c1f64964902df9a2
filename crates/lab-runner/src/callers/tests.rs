//! Mixes of the library's scenarios.

use std::time::Duration;

use super::CallerMix;
use crate::lab::Record;
use lab_scenario::{LoadOptions, Plan, Source, load};
use lab_traffic::{Amount, Retry};

fn plan(text: &str) -> Plan {
    let source = Source::Text { name: "test.yaml".to_owned(), text: text.to_owned() };
    load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
}

fn named(mix: &CallerMix) -> Vec<(&str, f64, &str)> {
    mix.senders.iter().map(|sender| (sender.name.as_str(), sender.rate, sender.path.as_str())).collect()
}

const TEXT: &str = "
title: T
callers: { web: { rate: 15 }, batch: { rate: 5, timeout: 400ms, retries: 3, backoff: 100ms } }
steps:
  - { name: users, background: { callers: [batch], rate: 2, path: /api/report } }
  - { name: other, background: { rate: 4 } }
  - stop_background: other
  - { traffic: { rate: 40, path: /health } }
  - rotate_key: { server: k2 }
  - { traffic: { requests: 8, headers: { Accept: text/plain } } }
  - align_key: { caller: server }
  - { traffic: { requests: 8, rate: 99, callers: [web] } }
";

#[test]
fn callers_send_what_showed_the_fault_and_the_background_traffic() {
    let plan = plan(TEXT);
    let mix = CallerMix::from_plan(&plan, 6, Some("7f3a"));
    let expected = [("web", 15.0, "/api/users"), ("batch", 5.0, "/api/users"), ("batch-2", 2.0, "/api/report")];
    assert_eq!(named(&mix), expected);
    assert_eq!(mix.senders[0].headers, [("Accept".to_owned(), "text/plain".to_owned())]);
    assert_eq!(named(&CallerMix::from_plan(&plan, 99, None)), expected, "the fault, not its verification");
    assert_eq!(named(&CallerMix::from_plan(&plan, 4, None))[0], ("web", 30.0, "/health"));
    let nothing = CallerMix::from_plan(&plan, 0, None);
    assert_eq!(named(&nothing), [("web", 15.0, "/api/users"), ("batch", 5.0, "/api/users")]);
    assert_eq!(named(&CallerMix::single()), [("caller", 20.0, "/api/users")]);
}

#[test]
fn callers_in_the_background_do_not_send_twice() {
    let text = "title: T\ncallers: { web: { rate: 15, path: /api/report }, batch: { rate: 5 } }\nsteps:\n  \
                - { name: customers, background: { callers: [web] } }\n  - pause: app\n";
    let mix = CallerMix::from_plan(&plan(text), 2, None);
    assert_eq!(named(&mix), [("batch", 5.0, "/api/users"), ("web", 15.0, "/api/report")]);
}

#[test]
fn a_job_has_the_shares_and_the_current_keys() {
    let mix = CallerMix::from_plan(&plan(TEXT), 6, None).with_rate(44.0);
    assert!((mix.senders[0].rate - 30.0).abs() < 1e-9);
    let mut record = Record::new("mock", 0);
    record.callers.insert("batch".to_owned(), "old".to_owned());
    let job = mix.job("http://127.0.0.1:1", &record, Amount::Requests(22));
    job.validate().unwrap();
    let keys: Vec<&str> = job.callers.iter().map(|caller| caller.headers[0].1.as_str()).collect();
    assert_eq!(keys, ["apikey-v1", "old", "old"]);
    let urls: Vec<&str> = job.requests.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls, ["http://127.0.0.1:1/api/users", "http://127.0.0.1:1/api/users", "http://127.0.0.1:1/api/report"]);
    assert_eq!(job.callers.iter().map(|caller| caller.request).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(job.connections, 128, "a request may hang for three seconds");
    let limits: Vec<_> =
        job.callers.iter().map(|caller| (caller.timeout.map(|time| time.as_millis()), caller.retry)).collect();
    let retry = Retry { retries: 3, backoff: Duration::from_millis(100), ..Retry::default() };
    assert_eq!(limits, [(Some(3000), Retry::default()), (Some(400), retry), (Some(400), retry)]);
}

#[test]
fn every_scenario_of_the_library_has_a_mix_that_can_be_sent() {
    for name in lab_scenario::library::names() {
        let plan = load(&Source::Library(name.to_owned()), &LoadOptions::default()).unwrap();
        let mix = CallerMix::from_plan(&plan, plan.steps.len(), None);
        mix.job("http://127.0.0.1:1", &Record::new("mock", 0), Amount::Requests(1000)).validate().unwrap();
    }
}
