//! Table of the counters that `lab metrics` prints, with rates if they are watched.

use std::collections::BTreeMap;

use super::human;
use super::table::{Side, Table};
use lab_telemetry::metrics::Series;

/// One row per series, with the change per second if `rates` is given (`?` if it is unknown).
pub fn table(values: &BTreeMap<Series, f64>, rates: Option<&BTreeMap<Series, f64>>) -> Table {
    let mut columns = vec![("metric", Side::Left), ("value", Side::Right)];
    if rates.is_some() {
        columns.push(("per second", Side::Right));
    }
    let mut table = Table::new(&columns);
    for (series, value) in values {
        let rate = rates.map(|rates| rates.get(series).map_or("?".to_owned(), |rate| human::number(*rate)));
        let cells = [Some(name(series)), Some(human::number(*value)), rate];
        table.row(cells.into_iter().flatten().map(Into::into));
    }
    table
}

/// A series as Prometheus writes it: `app_http_responses_total{code="200"}`; a name with other characters goes in quotes.
pub fn name(series: &Series) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let is_plain = |text: &str| {
        !text.starts_with(|char: char| char.is_ascii_digit())
            && text.chars().all(|char| char.is_ascii_alphanumeric() || "_:".contains(char))
    };
    let word = |text: &str| if is_plain(text) { text.to_owned() } else { quoted(text) };
    let mut labels: Vec<_> =
        series.labels.iter().map(|(name, value)| format!("{}={}", word(name), quoted(value))).collect();
    let mut name = series.name.as_str();
    if !is_plain(name) {
        labels.insert(0, quoted(name));
        name = "";
    }
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Series, table};
    use crate::term::Painter;

    #[test]
    fn a_name_with_other_characters_is_quoted() {
        let series = |name: &str, labels: &[(&str, &str)]| super::name(&Series::new(name, labels));
        assert_eq!(series("a:b", &[]), "a:b");
        assert_eq!(series("my.metric", &[]), "{\"my.metric\"}");
        assert_eq!(series("a b", &[("l.n", "\"")]), "{\"a b\",\"l.n\"=\"\\\"\"}");
    }

    #[test]
    fn tables_with_and_without_rates() {
        let series = |name: &str, labels: &[(&str, &str)]| Series {
            name: name.to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let failures = series("app_auth_failures_total", &[]);
        let responses = series("app_http_responses_total", &[("code", "200")]);
        let values = BTreeMap::from([(failures.clone(), 40.0), (responses, 1_200.0)]);
        let show = |rates| {
            let mut bytes = Vec::new();
            table(&values, rates).write(&mut bytes, 80, Painter::PLAIN).expect("in memory");
            String::from_utf8(bytes).expect("text")
        };
        insta::assert_snapshot!("once", show(None));
        insta::assert_snapshot!("watched", show(Some(&BTreeMap::from([(failures, 19.95)]))));
    }
}
