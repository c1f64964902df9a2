//! Comparison of two runs: status, outage, and the traffic of each step.

use std::io::{self, Write};

use serde::Serialize;

use super::journal::Journal;
use super::table::{Cell, Side, Table};
use super::{human, review, short_id, status_name, status_tone, text};
use crate::term::{Painter, Tone};
use lab_core::event::{Status, StepResult};

/// Differences of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Both runs, in the order of the arguments.
    pub runs: [Run; 2],
    /// Parameters with different values.
    pub parameters: Vec<Parameter>,
    /// Steps of both runs, in order.
    pub steps: Vec<Pair>,
}

/// A run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Run id.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// The engine's name.
    pub engine: String,
    /// Value of `--pace`; empty for the scenario's own pace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pace: String,
    /// Result.
    pub status: Status,
    /// Duration in seconds.
    pub duration: f64,
    /// Duration of the outage in seconds; `None` if no request failed.
    pub outage: Option<f64>,
    /// Requests sent.
    pub sent: u64,
    /// Failed requests.
    pub failed_requests: u64,
}

/// Parameter and its value in each run; `None` if the run does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// One for each run.
    pub values: [Option<String>; 2],
}

/// Step in each run; `None` if the run did not execute it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Name.
    pub name: String,
    /// One for each run.
    pub runs: [Option<Step>; 2],
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Result.
    pub status: Status,
    /// Duration in seconds.
    pub duration: f64,
    /// Requests sent; `None` for a step without traffic.
    pub sent: Option<u64>,
    /// Failed requests.
    pub failed_requests: u64,
    /// Responses such as `200 x40`, or the detail of a step without traffic.
    pub seen: String,
    /// 99th percentile of the latency; `None` without responses.
    pub p99_ms: Option<f64>,
}

impl Diff {
    /// Compares two runs, which may be of different scenarios.
    pub fn new(one: &Journal, other: &Journal) -> Self {
        let mut names: Vec<&String> = one.parameters.keys().chain(other.parameters.keys()).collect();
        names.sort();
        names.dedup();
        let values = |name: &&String| [one, other].map(|journal| journal.parameters.get(*name).cloned());
        let parameters = names.iter().map(|name| Parameter { name: (*name).clone(), values: values(name) });
        let steps = order(one, other).into_iter().map(|name| Pair {
            name: name.to_owned(),
            runs: [one, other]
                .map(|journal| journal.steps.iter().find(|step| step.name == name).map(Step::from_journal)),
        });
        Self {
            runs: [Run::from_journal(one), Run::from_journal(other)],
            parameters: parameters.filter(|parameter| parameter.values[0] != parameter.values[1]).collect(),
            steps: steps.collect(),
        }
    }

    /// Writes two tables of at most `width` columns.
    pub fn write(&self, out: &mut impl Write, width: usize, painter: Painter) -> io::Result<()> {
        let [one, other] = &self.runs;
        let heads = [one, other].map(|run| format!("{} {}", short_id(&run.id), run.scenario));
        let columns = [("", Side::Left), (&*heads[0], Side::Left), (&*heads[1], Side::Left), ("change", Side::Right)];
        let mut table = Table::new(&columns);
        let verdict = |run: &Run| Cell::new(status_tone(run.status), status_name(run.status));
        table.row(["verdict".into(), verdict(one), verdict(other), "".into()]);
        if one.engine != other.engine {
            table.row(["engine".into(), one.engine.as_str().into(), other.engine.as_str().into(), "".into()]);
        }
        if one.pace != other.pace {
            let pace = |run: &Run| if run.pace.is_empty() { "-".to_owned() } else { text::clean(&run.pace) };
            table.row(["--pace".into(), pace(one).into(), pace(other).into(), "".into()]);
        }
        let clock = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), human::clock);
        let times = [("took", [Some(one.duration), Some(other.duration)]), ("outage", [one.outage, other.outage])];
        for (name, [first, second]) in times {
            let change = first.zip(second).map_or(0.0, |(first, second)| second - first);
            let change = signed(change, &human::clock(change.abs()), 0.05);
            table.row([name.into(), clock(first).into(), clock(second).into(), change.into()]);
        }
        for (name, [first, second]) in
            [("sent", [one.sent, other.sent]), ("failed", [one.failed_requests, other.failed_requests])]
        {
            #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
            let change = second as f64 - first as f64;
            let change = signed(change, &first.abs_diff(second).to_string(), 0.5);
            table.row([name.into(), first.to_string().into(), second.to_string().into(), change.into()]);
        }
        for Parameter { name, values } in &self.parameters {
            let [first, second] = values.clone().map(|value| value.unwrap_or_else(|| "-".to_owned()));
            table.row([Cell::new(Tone::Plain, format!("--set {name}")), first.into(), second.into(), "".into()]);
        }
        table.write(out, width, painter)?;
        writeln!(out)?;
        self.steps(&heads).write(out, width, painter)
    }

    fn steps(&self, heads: &[String; 2]) -> Table {
        let columns = [("step", Side::Left), (&*heads[0], Side::Left), (&*heads[1], Side::Left), ("p99", Side::Right)];
        let mut table = Table::new(&columns);
        for Pair { name, runs } in &self.steps {
            let differ = match runs {
                [Some(first), Some(second)] => (&first.seen, first.status) != (&second.seen, second.status),
                _ => true,
            };
            let cell = |step: &Option<Step>| match step {
                None => Cell::new(Tone::Dim, "not run"),
                Some(step) if step.status != Status::Passed => {
                    Cell::new(status_tone(step.status), format!("{} {}", step.seen, status_name(step.status)))
                }
                Some(step) => Cell::new(if differ { Tone::Plain } else { Tone::Dim }, step.seen.as_str()),
            };
            let p99 = match runs.each_ref().map(|run| run.as_ref().and_then(|step| step.p99_ms)) {
                [None, None] => String::new(),
                known => known.map(|p99| p99.map_or_else(|| "-".to_owned(), human::millis)).join(" > "),
            };
            let name = Cell::new(if differ { Tone::Strong } else { Tone::Plain }, text::clean(name));
            table.row([name, cell(&runs[0]), cell(&runs[1]), p99.into()]);
        }
        table
    }
}

/// `+2.0s`, `-3`; `=` if the change is below the displayed precision.
fn signed(change: f64, amount: &str, least: f64) -> String {
    match change {
        change if change >= least => format!("+{amount}"),
        change if change <= -least => format!("-{amount}"),
        _ => "=".to_owned(),
    }
}

/// Names of the steps of both runs: those of the first, with each additional step of the second after its predecessor.
fn order<'a>(one: &'a Journal, other: &'a Journal) -> Vec<&'a str> {
    let mut names: Vec<&str> = one.steps.iter().map(|step| step.name.as_str()).collect();
    let mut place = 0;
    for step in &other.steps {
        if let Some(known) = names.iter().position(|name| *name == step.name) {
            place = known + 1;
        } else {
            names.insert(place, &step.name);
            place += 1;
        }
    }
    names
}

impl Run {
    fn from_journal(journal: &Journal) -> Self {
        Self {
            id: journal.id.clone(),
            scenario: journal.scenario.clone(),
            engine: journal.engine.clone(),
            pace: journal.pace.clone(),
            status: journal.status,
            duration: journal.duration,
            outage: journal.outage.map(|outage| outage.duration),
            sent: review::sent(journal),
            failed_requests: review::failed(journal),
        }
    }
}

impl Step {
    fn from_journal(step: &StepResult) -> Self {
        let detail = || text::clean(step.detail.as_deref().unwrap_or(&step.action));
        Self {
            status: step.status,
            duration: step.duration,
            sent: step.sent,
            failed_requests: step.failed_requests,
            seen: if step.sent.is_some() { review::codes(step) } else { detail() },
            p99_ms: step.latency_ms.map(|latency| latency.p99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Diff;
    use crate::report::encode;
    use crate::report::journal::Journal;
    use crate::term::Painter;
    use lab_core::event::Event;
    use lab_testkit::sample_runs;

    fn diff(one: &[Event], other: &[Event]) -> Diff {
        let [one, mut other] = [one, other].map(|events| Journal::from_events(events).expect("a whole run"));
        other.id = "20261125T080000Z-91c0".to_owned();
        other.parameters.insert("rate".to_owned(), "50".to_owned());
        Diff::new(&one, &other)
    }

    fn rendered(diff: &Diff) -> String {
        let mut bytes = Vec::new();
        diff.write(&mut bytes, 80, Painter::PLAIN).expect("in memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn tables_and_document() {
        insta::assert_snapshot!("held_and_failed", rendered(&diff(&sample_runs::rotate_key(), &sample_runs::failed())));
        insta::assert_snapshot!(
            "unlike",
            rendered(&diff(&sample_runs::rotate_key(), &sample_runs::transport_errors()))
        );
        insta::assert_snapshot!("long_names", rendered(&diff(&sample_runs::long_names(), &sample_runs::long_names())));
        let document = encode::document(&diff(&sample_runs::rotate_key(), &sample_runs::failed())).expect("in memory");
        insta::assert_snapshot!("json", String::from_utf8_lossy(&document));
    }

    #[test]
    fn values_of_only_one_run_are_marked() {
        let rendered = rendered(&diff(&sample_runs::rotate_key(), &sample_runs::alerted()));
        assert!(rendered.contains("--pace      -"), "{rendered}");
        let rendered = self::rendered(&diff(&sample_runs::transport_errors(), &sample_runs::baseline()));
        assert!(rendered.contains("- > 2.1ms") && rendered.contains("5.0s > -"), "{rendered}");
    }
}
