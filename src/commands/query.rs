//! `lab query`: queries the lab's Prometheus over its HTTP API (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::session::Session;
use super::time_span::parse_span;
use crate::cli::QueryArgs;
use lab_core::error::{Exit, Failure};
use lab_http::{Http, Request};
use lab_report::report::human;
use lab_report::report::spark::sparkline;
use lab_report::report::table::{Side, Table};
use lab_report::term::clean;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Number of points of a sparkline.
const POINTS: u32 = 40;

/// Response of the HTTP API.
#[derive(Deserialize)]
struct Response {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// One series, with one value for an instant query and several for a range.
#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

pub(super) async fn run(session: &Session, args: &QueryArgs) -> anyhow::Result<Exit> {
    let range = args.range.as_deref().map(parse_span).transpose();
    let range = range.map_err(|error| Failure::usage(format!("--range: {error}")))?;
    let connected = session.connect()?;
    let Some(base) = connected.describe().await?.endpoints.prometheus else {
        let message = format!("lab {} has no Prometheus", connected.lab.name());
        return Err(Failure::failed(message).hint("use a Docker lab: lab up --engine docker").into());
    };
    let text = ask(&base, &args.expression, range).await?;
    let data = read(&text)?;
    if args.json { session.foreign_line(text.trim_end()) } else { show(session, &data) }
}

async fn ask(base: &str, expression: &str, range: Option<Duration>) -> anyhow::Result<String> {
    let mut url = reqwest::Url::parse(base)?;
    let now = chrono::Utc::now().timestamp_millis();
    let mut query = vec![("query", expression.to_owned())];
    if let Some(range) = range {
        let step = range / POINTS;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^52")]
        let end = now as f64 / 1000.0;
        query.push(("start", (end - range.as_secs_f64()).to_string()));
        query.push(("end", end.to_string()));
        query.push(("step", step.as_secs_f64().max(0.001).to_string()));
        url.set_path("/api/v1/query_range");
    } else {
        url.set_path("/api/v1/query");
    }
    url.query_pairs_mut().extend_pairs(query);
    let request = Request::get(url.as_str()).timeout(TIMEOUT);
    let response = Http::new().request(&request).await.map_err(|error| {
        Failure::failed(format!("Prometheus at {base} does not answer: {error}")).hint("check it with lab status")
    })?;
    Ok(response.text())
}

/// Extracts the data of a response. An error in the expression is a usage error.
fn read(text: &str) -> anyhow::Result<Data> {
    let unexpected = |error: String| Failure::failed(format!("unexpected response from Prometheus: {error}"));
    let response: Response = serde_json::from_str(text).map_err(|error| unexpected(error.to_string()))?;
    match response.data {
        Some(data) if response.status == "success" => Ok(data),
        _ => Err(Failure::usage(format!("Prometheus: {}", response.error)).into()),
    }
}

fn show(session: &Session, data: &Data) -> anyhow::Result<Exit> {
    if let Ok((_, value)) = serde_json::from_value::<(f64, String)>(data.result.clone()) {
        return session.line(&clean(&value));
    }
    let series: Vec<Series> = serde_json::from_value(data.result.clone())
        .map_err(|error| Failure::failed(format!("unexpected {} from Prometheus: {error}", data.kind)))?;
    if series.is_empty() {
        return session.line("no data");
    }
    let last = if data.kind == "matrix" { "last" } else { "value" };
    let mut columns = vec![("series", Side::Left), (last, Side::Right)];
    if data.kind == "matrix" {
        columns.push(("min", Side::Right));
        columns.push(("max", Side::Right));
        columns.push(("", Side::Left));
    }
    let mut table = Table::new(&columns);
    for one in &series {
        table.row(row(one).into_iter().map(Into::into));
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(Exit::Passed)
}

fn row(series: &Series) -> Vec<String> {
    let number = |text: &String| text.parse::<f64>().map_or_else(|_| text.clone(), human::number);
    if let Some((_, value)) = &series.value {
        return vec![name(&series.metric), number(value)];
    }
    let values: Vec<f64> = series.values.iter().filter_map(|(_, value)| value.parse().ok()).collect();
    // 0/0 is a gap, not a number.
    let numbers = || values.iter().copied().filter(|value| value.is_finite());
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), human::number);
    let (min, max) = (numbers().reduce(f64::min), numbers().reduce(f64::max));
    let latest = shown(values.last().copied().filter(|value| value.is_finite()));
    let line = sparkline(&values, max.unwrap_or_default());
    vec![name(&series.metric), latest, shown(min), shown(max), line]
}

/// Name and labels in Prometheus notation.
fn name(labels: &BTreeMap<String, String>) -> String {
    let metric = labels.get("__name__").map_or("", String::as_str);
    let others: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    if others.is_empty() && metric.is_empty() {
        return "{}".to_owned();
    }
    if others.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", others.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_series_has_its_name_and_its_labels() {
        assert_eq!(name(&labels(&[("__name__", "up"), ("job", "app")])), "up{job=\"app\"}");
        assert_eq!(name(&labels(&[("job", "app")])), "{job=\"app\"}");
        assert_eq!(name(&labels(&[])), "{}");
    }

    #[test]
    fn non_numbers_are_gaps_in_a_range() {
        let range = |values: &[&str]| {
            let values = values.iter().map(|value| (0.0, (*value).to_owned())).collect();
            row(&Series { metric: labels(&[]), value: None, values })
        };
        assert_eq!(range(&["NaN", "NaN"]), ["{}", "-", "-", "-", "  "]);
        assert_eq!(range(&["1", "NaN", "2"])[..4], ["{}", "2", "1", "2"]);
    }

    #[test]
    fn an_invalid_expression_is_a_usage_error() {
        let error =
            read(r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#).err().expect("it is one");
        assert_eq!(error.downcast_ref::<Failure>().expect("ours").exit, Exit::Usage);
        assert!(read("<html>").err().expect("it is one").to_string().contains("unexpected response"));
    }
}
