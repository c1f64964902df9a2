//! Callers of a scenario, and how they share the traffic of a step.

use std::time::Duration;

use super::file::CallerFile;
use super::plan::{Caller, CallerLoad};
use super::reader::Reader;
use super::value;
use lab_traffic::{Amount, Retry};
use lab_yaml::Diagnostic;
use lab_yaml::node::Text;

/// Maximum number of callers in a scenario.
const MAX_CALLERS: usize = 20;
/// Default rate of a caller, in requests per second. Also used without callers.
const RATE: f64 = 20.0;
/// Default path of a caller.
pub(super) const PATH: &str = "/api/users";
/// Default timeout of a caller.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// Parses the callers of a file.
pub(super) fn read(files: &[CallerFile], reader: &mut Reader<'_>) -> Vec<Caller> {
    let mut callers = Vec::new();
    for file in files {
        let name = reader.fixed("callers", &file.name, value::caller_name);
        let key = file.key.as_ref().map(|text| reader.fixed("key", text, value::server_key));
        let rate = file.rate.as_ref().map(|text| reader.fixed("rate", text, value::rate));
        let connections = file.connections.as_ref().map(|text| reader.fixed("connections", text, value::connections));
        let path = file.path.as_ref().map(|text| reader.fixed("path", text, value::path));
        let timeout = file.timeout.as_ref().map(|text| reader.fixed("timeout", text, value::timeout));
        let retry = retry(file, reader);
        let Some(name) = name else { continue };
        callers.push(Caller {
            name,
            key: key.flatten(),
            rate: rate.flatten().unwrap_or(RATE),
            connections: connections.flatten().unwrap_or(1),
            path: path.flatten().unwrap_or_else(|| PATH.to_owned()),
            timeout: timeout.flatten().unwrap_or(TIMEOUT),
            retry,
        });
    }
    callers.truncate(MAX_CALLERS);
    if let Some(file) = files.get(MAX_CALLERS) {
        let message = format!("{} callers are too many", files.len());
        reader.out.push(Diagnostic::at(message, &file.name.place).label(format!("the limit is {MAX_CALLERS}")));
    }
    callers
}

/// Parses how a caller retries.
fn retry(file: &CallerFile, reader: &mut Reader<'_>) -> Retry {
    let mut flag = |name: &str, text: &Option<Text>| {
        text.as_ref().and_then(|text| reader.fixed(name, text, value::boolean)).unwrap_or_default()
    };
    let (jitter, heed_retry_after) = (flag("jitter", &file.jitter), flag("heed_retry_after", &file.heed_retry_after));
    let retries = file.retries.as_ref().and_then(|text| reader.fixed("retries", text, value::retries));
    let backoff = file.backoff.as_ref().and_then(|text| reader.fixed("backoff", text, value::backoff));
    Retry { retries: retries.unwrap_or_default(), backoff: backoff.unwrap_or_default(), jitter, heed_retry_after }
}

/// Total requests per second.
pub(super) fn rate(callers: &[&Caller]) -> f64 {
    if callers.is_empty() { RATE } else { callers.iter().map(|caller| caller.rate).sum() }
}

/// Values of a step that replace those of its callers.
pub(super) struct StepValues {
    pub(super) connections: Option<u32>,
    pub(super) path: Option<String>,
    pub(super) timeout: Option<Duration>,
}

/// Distributes `amount` and `rate` (a total) over the callers in proportion to their own rates. Request counts are
/// rounded so that each caller sends at least one and the total is exact, if `amount` is large enough. `own` are the
/// values of the step, which replace those of the callers.
pub(super) fn share(callers: &[&Caller], amount: Amount, rate: f64, own: &StepValues) -> Vec<CallerLoad> {
    let whole = self::rate(callers);
    let amounts: Vec<Amount> = match amount {
        Amount::Duration(_) => vec![amount; callers.len()],
        Amount::Requests(count) => {
            let weights: Vec<f64> = callers.iter().map(|caller| caller.rate / whole).collect();
            split(count, &weights).into_iter().map(Amount::Requests).collect()
        }
    };
    let part = |(caller, amount): (&&Caller, Amount)| CallerLoad {
        name: caller.name.clone(),
        amount,
        rate: rate * caller.rate / whole,
        connections: own.connections.unwrap_or(caller.connections),
        path: own.path.clone().unwrap_or_else(|| caller.path.clone()),
        timeout: own.timeout.unwrap_or(caller.timeout),
        retry: caller.retry,
    };
    callers.iter().zip(amounts).map(part).collect()
}

/// Splits a count by the largest remainder method. No share is 0 if the count is large enough.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e7")]
fn split(count: u64, weights: &[f64]) -> Vec<u64> {
    let exact: Vec<f64> = weights.iter().map(|weight| count as f64 * weight).collect();
    let mut shares: Vec<u64> = exact.iter().map(|share| share.floor() as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let missing = count.saturating_sub(shares.iter().sum());
    for index in order.iter().cycle().take(usize::try_from(missing).unwrap_or(0)) {
        shares[*index] += 1;
    }
    while let Some(none) = shares.iter().position(|share| *share == 0) {
        let Some(most) = (0..shares.len()).max_by_key(|index| shares[*index]).filter(|most| shares[*most] > 1) else {
            break;
        };
        shares[most] -= 1;
        shares[none] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plan::Action;
    use super::super::{LoadOptions, Source, load};
    use super::{Duration, Retry, split};

    const TEXT: &str = "
title: T
parameters: { retries: { default: 3 } }
callers:
  reports: { path: /api/report, timeout: 400ms, retries: '${retries}', backoff: 0s }
  polite: { retries: 1, backoff: 2s, jitter: true, heed_retry_after: true }
steps:
  - traffic:
  - traffic: { path: /health, timeout: 1s }
";

    #[test]
    fn a_caller_has_a_path_a_timeout_and_retries_of_its_own() {
        let source = Source::Text { name: "test.yaml".into(), text: TEXT.into() };
        let plan = load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
        let loads = |index: usize| {
            let Action::Traffic(traffic) = &plan.steps[index].action else { panic!("{plan:?}") };
            let load = |load: &super::CallerLoad| (load.path.clone(), load.timeout.as_millis(), load.retry);
            traffic.callers.iter().map(load).collect::<Vec<_>>()
        };
        let reports = Retry { retries: 3, ..Retry::default() };
        let backoff = Duration::from_secs(2);
        let polite = Retry { retries: 1, backoff, jitter: true, heed_retry_after: true };
        let expected = [("/api/report".to_owned(), 400, reports), ("/api/users".to_owned(), 3000, polite)];
        assert_eq!(loads(0), expected);
        // The values of the step replace those of the callers, except for the retries.
        assert_eq!(loads(1), [("/health".to_owned(), 1000, reports), ("/health".to_owned(), 1000, polite)]);
    }

    #[test]
    fn shares_follow_the_rates() {
        assert_eq!(split(40, &[0.8, 0.2]), [32, 8]);
        assert_eq!(split(10, &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]), [4, 3, 3]);
        assert_eq!(split(3, &[0.98, 0.01, 0.01]), [1, 1, 1]);
        assert_eq!(split(1, &[0.5, 0.5]).iter().sum::<u64>(), 1);
        assert_eq!(split(5, &[]), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn shares_add_up_and_nobody_is_left_out(count in 0_u64..10_000, rates in prop::collection::vec(0.01_f64..1000.0, 1..20)) {
            let whole: f64 = rates.iter().sum();
            let weights: Vec<f64> = rates.iter().map(|rate| rate / whole).collect();
            let shares = split(count, &weights);
            prop_assert_eq!(shares.iter().sum::<u64>(), count);
            if count >= rates.len() as u64 {
                prop_assert!(shares.iter().all(|share| *share > 0), "{:?}", shares);
            }
        }
    }
}
