//! `lab traffic`: sends requests to a lab or to any HTTP URL and reports the responses.

use std::path::Path;

use super::session::Session;
use super::signals;
use crate::cli::{SendArgs, TrafficArgs, TrafficCommand};
use lab_core::error::{Exit, Failure};
use lab_report::report::traffic::compare::Comparison;
use lab_report::report::traffic::table::write_table;
use lab_report::report::traffic::{TrafficReport, write_json};
use lab_runner::runner::{Signal, evaluate_traffic};
pub(crate) use lab_scenario::expect::{self, UnknownMetric};
use lab_scenario::plan::Expectation;
use lab_system::files;
use lab_traffic::{Outcome, raise_file_limit};

mod job;
mod watch;

pub(super) use job::{DEFAULT_RATE, pace};

use watch::Watch;

/// Size limit of a result to compare, in bytes. Results of `lab traffic --json` have a few hundred kilobytes.
const RESULT_LIMIT: u64 = 64 << 20;

pub(super) async fn run(session: &Session, args: &TrafficArgs) -> anyhow::Result<Exit> {
    match &args.command {
        Some(TrafficCommand::Compare { before, after, json }) => compare(session, before, after, *json),
        None => send(session, &args.send).await,
    }
}

async fn send(session: &Session, args: &SendArgs) -> anyhow::Result<Exit> {
    if args.json && watch::is_stdout(args.csv.as_deref()) {
        return Err(Failure::usage("--json and --csv - both write to standard output: give --csv a file").into());
    }
    let expectations = args.expects.iter().map(|text| expectation(text)).collect::<Result<Vec<_>, _>>()?;
    let job = job::job(session, args).await?;
    job.validate().map_err(|error| Failure::usage(error.to_string()))?;
    raise_file_limit(job.connections).map_err(|most| {
        let message = format!("--connections: {} need more open files than this process may have", job.connections);
        Failure::usage(message).hint(format!("use at most {most}, or raise the limit of open files with `ulimit -n`"))
    })?;
    let watch = Watch::new(&session.term, &job, args.csv.as_deref())?;
    let interrupt = signals::install()?;
    let outcome = lab_traffic::run_job(&job, &|update| watch.update(&update), interrupt.stop()).await;
    let outcome = outcome.map_err(|error| Failure::failed(error.to_string()))?;
    let written = watch.end();
    let results: Vec<_> =
        expectations.iter().map(|expectation| evaluate_traffic(expectation, &outcome.summary)).collect();
    let report = TrafficReport::new(&job, &outcome, results);
    if args.json {
        let mut document = Vec::new();
        write_json(&mut document, &report)?;
        session.document(&document)?;
    } else if !watch::is_stdout(args.csv.as_deref()) {
        write_table(&mut session.term.out(), &report, session.term.width(), session.term.painter())?;
    }
    // Reported after the result, which matters more than the CSV rows.
    written?;
    let verdict = verdict(&report, &outcome);
    Ok(interrupt.signal().map_or(verdict, |signal| verdict.worse(Signal::exit(signal))))
}

fn verdict(report: &TrafficReport, outcome: &Outcome) -> Exit {
    // With expectations they alone decide, even if there was no response at all.
    match report.expectations.as_slice() {
        [] if outcome.summary.codes.is_empty() => Exit::Failed,
        expected if expected.iter().all(|expected| expected.passed) => Exit::Passed,
        _ => Exit::NotPassed,
    }
}

/// Parses `METRIC: BOUND`, as in a scenario, with or without quotes.
fn expectation(text: &str) -> Result<Expectation, Failure> {
    let wrong = |why: String| Failure::usage(format!("--expect: {text:?}: {why}"));
    let example = "expected a metric and a bound, such as 'status.200: \">= 99.9%\"'";
    let (metric, bound) = text.split_once(':').ok_or_else(|| wrong(example.to_owned()))?;
    let (metric, bound) = (unquoted(metric), unquoted(bound));
    let subject = expect::metric_name(metric).map_err(|unknown| {
        wrong(match unknown {
            UnknownMetric::Because(why) => why.into(),
            UnknownMetric::Metric | UnknownMetric::Counter => {
                "expected one of status.200 (any code), latency.p99 (p50 to p99.99), sent, attempts, failed".to_owned()
            }
        })
    })?;
    if !subject.needs_traffic() {
        return Err(wrong("the app's counters and alerts are available only in scenarios".to_owned()));
    }
    expect::expectation(subject, metric, bound).map_err(|expected| wrong(expected.into()))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let quoted = |mark: char| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text).trim()
}

fn compare(session: &Session, before: &Path, after: &Path, json: bool) -> anyhow::Result<Exit> {
    let (a, b) = (read(before)?, read(after)?);
    let names = names(before, after);
    let comparison = Comparison::new((&names.0, &a), (&names.1, &b));
    if json {
        return session.json(&comparison);
    }
    comparison.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(Exit::Passed)
}

/// File names, or full paths if the names are equal.
fn names(before: &Path, after: &Path) -> (String, String) {
    let short = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let long = |path: &Path| path.display().to_string();
    match (short(before), short(after)) {
        (Some(a), Some(b)) if a != b => (a, b),
        _ => (long(before), long(after)),
    }
}

fn read(path: &Path) -> Result<TrafficReport, Failure> {
    let shown = path.display();
    let text = files::read_input(path, RESULT_LIMIT)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("{shown} is not a result of `lab traffic --json`: {error}"))
            .hint("create one with lab traffic --json > before.json")
    })
}

#[cfg(test)]
mod tests {
    use super::{expectation, names};

    #[test]
    fn an_expectation_is_read_as_in_a_scenario() {
        for text in ["status.200: \">= 99.9%\"", "status.200: >= 99.9%", "status.200:'>=99.9%'"] {
            let read = expectation(text).expect(text);
            assert_eq!((read.metric_text.as_str(), read.text.as_str()), ("status.200", ">= 99.9%"));
        }
        assert_eq!(expectation("latency.p99.99: < 50ms").expect("valid").text, "< 50ms");
    }

    #[test]
    fn invalid_expectations_are_explained() {
        let cases = [
            ("status.200", "expected a metric and a bound"),
            ("banana: 1", "expected one of status.200"),
            ("fialed: 0", "did you mean `failed`?"),
            ("auth_failures.delta: 4", "only in scenarios"),
            ("latency.p99: 50", "expected a duration"),
        ];
        for (text, why) in cases {
            let message = expectation(text).expect_err(text).to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn files_with_equal_names_are_shown_by_path() {
        let of = |a: &str, b: &str| names(a.as_ref(), b.as_ref());
        assert_eq!(of("x/a.json", "y/b.json"), ("a.json".to_owned(), "b.json".to_owned()));
        assert_eq!(of("x/a.json", "y/a.json"), ("x/a.json".to_owned(), "y/a.json".to_owned()));
    }
}
