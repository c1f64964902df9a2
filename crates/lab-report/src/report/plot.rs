//! Time series of a run in columns of equal width: requests per second by response, keys accepted and refused by the app, and
//! latency. The number of columns is limited, regardless of the number of samples.

use std::collections::BTreeMap;

use super::journal::Journal;
use lab_core::event::{AlertState, StepResult};

/// Maximum number of columns.
pub(super) const COLUMNS: usize = 240;
/// Column widths in seconds. Longer runs use multiples of an hour.
const WIDTHS: [f64; 12] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// Time series of a run. Times are in seconds since its start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    /// End of the axis; above 0.
    pub(super) end: f64,
    /// Width of a column.
    pub(super) width: f64,
    /// Requests per second by response: status codes, then transport errors.
    pub(super) answers: Vec<Line>,
    /// Keys accepted and refused by the app, per second. Empty if its metrics were never read.
    pub(super) keys: Vec<Line>,
    /// Milliseconds: median, and the highest 99th percentile of a column.
    pub(super) latency: Vec<Line>,
    /// Start and end of the steps.
    pub(super) steps: Vec<Span>,
    /// Meaning of the marks at the start of [`Plot::steps`].
    pub(super) mark: &'static str,
    /// From the first failed request to the first success that lasted, or the end.
    pub(super) outage: Option<(f64, f64)>,
    /// Periods in which alerts were pending or firing.
    pub(super) alerts: Vec<Alert>,
}

/// One value per column; `None` if it is unknown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) values: Vec<Option<f64>>,
}

impl Line {
    /// The highest value.
    pub(super) fn peak(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

/// A step on the axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) phase: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// An alert on the axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    pub(super) name: String,
    /// True for firing, false for pending.
    pub(super) firing: bool,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Plot {
    /// Builds the time series. `None` without samples of traffic.
    pub(super) fn from_journal(journal: &Journal) -> Option<Self> {
        let samples: Vec<_> = journal.steps.iter().flat_map(|step| &step.samples).collect();
        let last = samples.iter().map(|sample| sample.at).fold(0.0, f64::max);
        samples.first()?;
        let end = journal.duration.max(last + 0.2);
        // The last sample of a step may be short, and a delayed one long.
        #[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
        let usual = samples.iter().map(|sample| sample.duration).sum::<f64>() / samples.len() as f64;
        let width = width(end, usual * 0.9);
        let grid = Grid { width, columns: columns(end, width) };
        let mut answers: BTreeMap<(bool, &str), Vec<f64>> = BTreeMap::new();
        for sample in &samples {
            let codes = sample.codes.iter().map(|(name, count)| ((false, name.as_str()), *count));
            let errors = sample.errors.iter().map(|(name, count)| ((true, name.as_str()), *count));
            for (name, count) in codes.chain(errors) {
                let column = answers.entry(name).or_insert_with(|| vec![0.0; grid.columns]);
                #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
                grid.spread(column, sample.at, sample.duration, count as f64 / width);
            }
        }
        let line = |((_, name), values): ((bool, &str), Vec<f64>)| Line {
            name: super::text::clean(name),
            values: values.into_iter().map(Some).collect(),
        };
        Some(Self {
            end,
            width,
            answers: answers.into_iter().map(line).collect(),
            keys: keys(journal, &grid),
            latency: latency(journal, &grid),
            steps: journal.steps.iter().map(span).collect(),
            mark: "start of a step",
            outage: journal.outage.map(|outage| (outage.impact_at, outage.recovered_at.unwrap_or(end))),
            alerts: alerts(journal, end),
        })
    }

    /// Number of columns.
    pub(super) fn columns(&self) -> usize {
        columns(self.end, self.width)
    }

    /// Reduces the plot to at most `most` columns, for a table. Rates are averaged; of latencies, the highest is kept.
    pub(super) fn coarser(&self, most: usize) -> Self {
        let factor = self.columns().div_ceil(most).max(1);
        let mean = |values: &[Option<f64>]| {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            #[expect(clippy::cast_precision_loss, reason = "there are at most a few hundred")]
            let count = known.len() as f64;
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
        };
        let worst = |values: &[Option<f64>]| values.iter().flatten().copied().reduce(f64::max);
        let each = |lines: &[Line], of: &dyn Fn(&[Option<f64>]) -> Option<f64>| {
            let line =
                |line: &Line| Line { name: line.name.clone(), values: line.values.chunks(factor).map(of).collect() };
            lines.iter().map(line).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let width = self.width * factor as f64;
        let (answers, keys, latency) =
            (each(&self.answers, &mean), each(&self.keys, &mean), each(&self.latency, &worst));
        Self { width, answers, keys, latency, ..self.clone() }
    }
}

/// Smallest column width that is not below `finest` and needs at most [`COLUMNS`].
fn width(end: f64, finest: f64) -> f64 {
    let hours = (1..).map(|hours| f64::from(hours) * 3_600.0);
    let fits = |width: &f64| *width >= finest && columns(end, *width) <= COLUMNS;
    WIDTHS.into_iter().chain(hours).find(fits).unwrap_or(end)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
fn columns(end: f64, width: f64) -> usize {
    ((end / width).ceil() as usize).max(1)
}

fn span(step: &StepResult) -> Span {
    let name = super::text::clean(&step.name);
    Span { name, phase: step.phase.name(), from: step.elapsed, to: step.elapsed + step.duration }
}

/// Periods in which alerts were pending or firing. A period without an end lasts to the end of the run.
fn alerts(journal: &Journal, end: f64) -> Vec<Alert> {
    let spans = journal.alerts.iter().enumerate().filter_map(|(index, alert)| {
        let firing = match alert.state {
            AlertState::Pending => false,
            AlertState::Firing => true,
            AlertState::Resolved | AlertState::Cleared => return None,
        };
        let next = journal.alerts[index + 1..].iter().find(|next| next.name == alert.name);
        let to = next.map_or(end, |next| next.since).clamp(alert.since, end.max(alert.since));
        Some(Alert { name: super::text::clean(&alert.name), firing, from: alert.since, to })
    });
    spans.collect()
}

struct Grid {
    width: f64,
    columns: usize,
}

impl Grid {
    /// Column of a time.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and capped")]
    fn column(&self, at: f64) -> usize {
        ((at.max(0.0) / self.width) as usize).min(self.columns - 1)
    }

    /// Distributes an amount evenly over a period.
    fn spread(&self, values: &mut [f64], at: f64, duration: f64, amount: f64) {
        let duration = duration.max(1e-6);
        let (first, last) = (self.column(at), self.column(at + duration));
        for (index, value) in values.iter_mut().enumerate().take(last + 1).skip(first) {
            #[expect(clippy::cast_precision_loss, reason = "there are at most a few hundred columns")]
            let from = index as f64 * self.width;
            let to = if index == self.columns - 1 { f64::INFINITY } else { from + self.width };
            let overlap = (at + duration).min(to) - at.max(from);
            *value += amount * (overlap / duration).max(0.0);
        }
    }
}

/// Counters of the app: samples, plus the part of a step's deltas that follows its last sample.
fn keys(journal: &Journal, grid: &Grid) -> Vec<Line> {
    let lines = [("accepted", "app_auth_success_total"), ("refused", "app_auth_failures_total")];
    let lines = lines.map(|(name, counter)| {
        let mut values = vec![0.0; grid.columns];
        let mut known = false;
        for step in journal.steps.iter().filter(|step| step.sent.is_some() || !step.background.is_empty()) {
            let mut rest = step.deltas.get(counter).copied().flatten();
            let mut at = step.elapsed;
            for sample in &step.counters {
                let increase = sample.deltas.get(counter).copied().unwrap_or(0.0);
                grid.spread(&mut values, sample.at, sample.duration, increase / grid.width);
                rest = rest.map(|rest| rest - increase);
                at = sample.at + sample.duration;
                known = true;
            }
            if let Some(rest) = rest {
                grid.spread(&mut values, at, step.elapsed + step.duration - at, rest.max(0.0) / grid.width);
                known = true;
            }
        }
        known.then(|| Line { name: name.to_owned(), values: values.into_iter().map(Some).collect() })
    });
    lines.into_iter().flatten().collect()
}

/// Median of the samples in a column, weighted by their responses, and the highest 99th percentile.
fn latency(journal: &Journal, grid: &Grid) -> Vec<Line> {
    let mut medians = vec![(0.0, 0.0); grid.columns];
    let mut tails: Vec<Option<f64>> = vec![None; grid.columns];
    for sample in journal.steps.iter().flat_map(|step| &step.samples) {
        let Some(latency) = sample.latency_ms else { continue };
        // Slightly less than the whole duration, because the next sample starts at the end.
        let (first, last) = (grid.column(sample.at), grid.column(sample.at + sample.duration * 0.99));
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let count = sample.codes.values().sum::<u64>() as f64;
        for column in first..=last {
            let (sum, weight) = &mut medians[column];
            *sum += latency.p50 * count;
            *weight += count;
            tails[column] = Some(tails[column].map_or(latency.p99, |tail| tail.max(latency.p99)));
        }
    }
    let median = medians.into_iter().map(|(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect();
    vec![Line { name: "median".to_owned(), values: median }, Line { name: "p99".to_owned(), values: tails }]
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Plot};
    use crate::report::journal::Journal;
    use lab_core::event::{CounterSample, Sample};
    use lab_testkit::sample_runs;

    fn journal() -> Journal {
        Journal::from_events(&sample_runs::sampled(sample_runs::rotate_key())).expect("a whole run")
    }

    /// Requests in the columns of a response.
    fn total(plot: &Plot, name: &str) -> f64 {
        let line = plot.answers.iter().find(|line| line.name == name).expect(name);
        line.values.iter().flatten().sum::<f64>() * plot.width
    }

    #[test]
    fn columns_contain_every_request() {
        let plot = Plot::from_journal(&journal()).expect("it has samples");
        assert_eq!(plot.columns(), 7, "columns have at most the resolution of the samples");
        assert!((total(&plot, "200") - 80.0).abs() < 1e-6);
        assert!((total(&plot, "401") - 40.0).abs() < 1e-6);
        let refused: f64 = plot.keys[1].values.iter().flatten().sum();
        assert!((refused - 40.0).abs() < 1e-6, "requests outside of samples come from the step's deltas: {refused}");
        assert_eq!(plot.outage, Some((2.1, 4.1)));
    }

    #[test]
    fn the_number_of_columns_is_limited() {
        for seconds in [1_u32, 59, 1_800, 36_000, 400_000] {
            let mut journal = journal();
            let sample = |second: u32| Sample {
                at: f64::from(second),
                duration: 1.0,
                codes: [("200".to_owned(), 20)].into(),
                errors: [].into(),
                latency_ms: None,
            };
            journal.steps.truncate(1);
            journal.duration = f64::from(seconds);
            journal.steps[0].samples = (0..seconds).map(sample).collect();
            let plot = Plot::from_journal(&journal).expect("it has samples");
            assert!(plot.columns() <= COLUMNS, "{seconds} s: {}", plot.columns());
            assert_eq!(plot.answers[0].values.len(), plot.columns());
            assert!((total(&plot, "200") - f64::from(seconds) * 20.0).abs() < 1e-3, "{seconds} s");
            let coarse = plot.coarser(40);
            assert!(coarse.answers[0].values.len() <= 40);
        }
    }

    #[test]
    fn counters_are_drawn_at_the_time_of_their_increase() {
        let mut journal = journal();
        let sample = |at, refused| CounterSample {
            at,
            duration: 1.0,
            deltas: [("app_auth_failures_total".to_owned(), refused)].into(),
        };
        journal.steps[2].counters = vec![sample(2.1, 30.0)];
        let plot = Plot::from_journal(&journal).expect("it has samples");
        let refused: Vec<f64> = plot.keys[1].values.iter().flatten().map(|value| value.round()).collect();
        assert_eq!(refused, [0.0, 0.0, 27.0, 12.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn background_traffic_is_drawn_as_requests_and_as_keys() {
        let mut journal = Journal::from_events(&sample_runs::grown()).expect("a whole run");
        let step = &mut journal.steps[4];
        assert_eq!((step.name.as_str(), step.sent), ("runbook", None));
        let codes = [("200".to_owned(), 6), ("401".to_owned(), 2)].into();
        step.samples = vec![Sample { at: step.elapsed, duration: 0.8, codes, errors: [].into(), latency_ms: None }];
        journal.steps.drain(..4);
        let plot = Plot::from_journal(&journal).expect("it has samples");
        assert!((total(&plot, "200") - 6.0).abs() < 1e-6 && (total(&plot, "401") - 2.0).abs() < 1e-6);
        let keys: Vec<f64> =
            plot.keys.iter().map(|line| line.values.iter().flatten().sum::<f64>() * plot.width).collect();
        assert!((keys[0] - 6.0).abs() < 1e-6 && (keys[1] - 2.0).abs() < 1e-6, "{keys:?}");
    }

    #[test]
    fn a_run_without_traffic_has_nothing_to_draw() {
        assert_eq!(Plot::from_journal(&Journal::from_events(&sample_runs::error()).expect("a run")), None);
    }
}
