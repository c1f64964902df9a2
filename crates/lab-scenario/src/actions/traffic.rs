//! `traffic`: sends requests through the gateway.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fields::ActionFields;
use super::{Action, Amounts, Definition, Profile, Reading, TrafficKind, keys, mapping_key};
use crate::callers::{self, StepValues};
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::value;
use lab_traffic::{Amount, Retry};
use lab_yaml::Diagnostic;

static KEYS: MappingSpec = MappingSpec {
    name: "traffic",
    label: "`traffic`",
    description: "Sends requests through the gateway.",
    keys: keys::load![
        KeySpec::new("requests", Shape::Scalar(kinds::REQUESTS), "number of requests, over all callers", "10")
            .default_value("40"),
        KeySpec::new("duration", Shape::Scalar(kinds::STEP_DURATION), "alternatively, how long to send", "5s"),
    ],
    one_of: &[],
    exclusive: &[("requests", "duration")],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "sends requests through the gateway", "{ requests: 40, rate: 20 }"),
    Reading::Fields(|fields| Some(read(fields))),
)
.with_outputs(&["sent", "failed", "status.200", "latency.p99"])
.with_traffic(TrafficKind::Step);

/// Traffic through the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Total amount of all senders.
    pub amount: lab_traffic::Amount,
    /// Total requests per second of all senders.
    pub rate: f64,
    /// Connections without callers. With callers, each has its own number.
    pub connections: u32,
    /// Empty: the lab's single caller.
    pub callers: Vec<CallerLoad>,
    /// Path without callers. With callers, each has its own.
    pub path: String,
    /// Such as `GET`.
    pub method: String,
    /// In addition to `X-API-Key`.
    pub headers: Vec<(String, String)>,
    /// Replaces the caller's key in `X-API-Key`. Empty: no such header.
    pub key: Option<String>,
    /// Timeout of a request without callers. With callers, each has its own.
    pub timeout: Duration,
}

/// Share of one caller in the traffic of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerLoad {
    /// Name of the caller, declared at the top of the file.
    pub name: String,
    /// Its share of the total amount.
    pub amount: lab_traffic::Amount,
    /// Requests per second.
    pub rate: f64,
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// Path of its requests.
    pub path: String,
    /// Timeout of an attempt.
    pub timeout: Duration,
    /// Further attempts of failed requests.
    pub retry: Retry,
}

fn read(mut fields: ActionFields<'_, '_>) -> Action {
    let requests = fields.value_or_default("requests", value::requests);
    let duration = fields.value("duration", value::step_duration);
    let rate = fields.value("rate", value::rate);
    if let (Some(_), Some(text)) = (fields.text("requests"), fields.text("duration")) {
        fields.reader.out.push(
            Diagnostic::at("`duration` cannot be combined with `requests`", &text.place)
                .label("remove one of the two: traffic ends after a number of requests or after a duration"),
        );
    }
    let amount = match duration {
        Some(duration) => Amount::Duration(duration),
        None => Amount::Requests(requests),
    };
    let traffic = load(&mut fields, amount, rate);
    if let (Some(duration), Some(text)) = (duration, fields.text("duration"))
        && duration.as_secs_f64() * traffic.rate > 1e7
    {
        let message = format!("{} requests per second for {duration:?} are too many", traffic.rate);
        fields.reader.out.push(Diagnostic::at(message, &text.place).label("the limit is 10000000 requests per step"));
    }
    let least = traffic.callers.len() as u64;
    if let Amount::Requests(requests) = amount
        && requests < least
        && !fields.is_sample("requests")
    {
        let place = fields.text("requests").map_or_else(|| fields.step.place.clone(), |text| text.place);
        let message = format!("{requests} requests are too few for {least} callers");
        fields.reader.out.push(Diagnostic::at(message, &place).label("expected at least one per caller"));
    }
    Action::Traffic(traffic)
}

pub(super) fn load(fields: &mut ActionFields<'_, '_>, amount: Amount, rate: Option<f64>) -> Traffic {
    let names = fields.callers();
    let own: Vec<_> = fields.reader.context.callers.iter().filter(|caller| names.contains(&caller.name)).collect();
    let whole = rate.unwrap_or_else(|| callers::rate(&own));
    let given = StepValues {
        connections: fields.value("connections", value::connections),
        path: fields.value("path", value::path),
        timeout: fields.value("timeout", value::timeout),
    };
    let own: Vec<_> = fields.reader.context.callers.iter().filter(|caller| names.contains(&caller.name)).collect();
    Traffic {
        amount,
        rate: whole,
        connections: given.connections.unwrap_or(1),
        callers: callers::share(&own, amount, whole, &given),
        path: given.path.unwrap_or_else(|| callers::PATH.to_owned()),
        method: fields.value_or_default("method", value::method),
        headers: fields.headers(),
        key: fields.value("key", value::sent_key),
        timeout: given.timeout.unwrap_or(callers::TIMEOUT),
    }
}

pub(super) fn profile(traffic: &Traffic) -> Profile<'_> {
    let (requests, seconds) = requests_and_seconds(traffic);
    let amounts = Amounts { requests: Some(requests), seconds: Some(seconds), deadline: None };
    Profile { amounts, ..Profile::observation() }
}

/// Requests and duration. The first request is sent immediately.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e7")]
fn requests_and_seconds(traffic: &Traffic) -> (u64, f64) {
    match traffic.amount {
        Amount::Requests(requests) => (requests, requests.saturating_sub(1) as f64 / traffic.rate),
        Amount::Duration(time) => ((time.as_secs_f64() * traffic.rate).ceil() as u64, time.as_secs_f64()),
    }
}

pub(super) fn describe(traffic: &Traffic) -> String {
    match traffic.amount {
        Amount::Requests(1) => "1 request".to_owned(),
        Amount::Requests(requests) => format!("{requests} requests at {}", describe_load(traffic)),
        Amount::Duration(time) => format!("for {time:?} at {}", describe_load(traffic)),
    }
}

/// Such as `20/s by web, batch`, with method and path if they are not the usual ones.
pub(crate) fn describe_load(traffic: &Traffic) -> String {
    let mut text = format!("{}/s", traffic.rate);
    if let [first, rest @ ..] = &traffic.callers[..] {
        text = format!("{text} by {}", first.name);
        text.extend(rest.iter().map(|caller| format!(", {}", caller.name)));
    }
    let paths: BTreeSet<&str> = match &traffic.callers[..] {
        [] => BTreeSet::from([traffic.path.as_str()]),
        callers => callers.iter().map(|caller| caller.path.as_str()).collect(),
    };
    if paths.iter().any(|path| *path != callers::PATH) || traffic.method != "GET" {
        text = format!("{text} to {} {}", traffic.method, paths.into_iter().collect::<Vec<_>>().join(" and "));
    }
    match traffic.key.as_deref() {
        Some("") => text + ", without a key",
        Some(key) => format!("{text}, with the key {key}"),
        None => text,
    }
}
